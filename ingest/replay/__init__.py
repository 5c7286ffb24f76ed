"""Refused entries decoded again, from the lake, the file or the topic. Imports `ingest` and `schemas`."""
