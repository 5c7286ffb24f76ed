"""From events to rollups: exact dedup, windows, the commit protocol, quota rules, proof of the books.

Imports only `schemas`.
"""
