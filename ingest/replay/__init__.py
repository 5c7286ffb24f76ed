"""Refused entries read again, from what the lake keeps of them, the file or the topic. Imports `ingest` and `schemas`."""
