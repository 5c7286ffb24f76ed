"""Upkeep: compaction, deletion of replaced files, cutting of logs, upgrade, and figures of a lake.

Imports the rest of `lake`.
"""
