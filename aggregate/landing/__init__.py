"""From the log to the lake, exactly once: deduplication, batch files, commits and what follows them.

Imports `aggregate.engine`, `lake` and `schemas`.
"""
