"""The log of a Delta table on any store: entries, checkpoints, snapshots, and the commit.

Imports `lake.storage` and `lake.errors`.
"""
