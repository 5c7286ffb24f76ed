"""Bytes to events and dead letters: framing, formats, templates, one SQL pipeline over Arrow tables.

Imports `schemas`, `kernels` and `ingest.attribution`.
"""
