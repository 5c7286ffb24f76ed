"""Usage of meters and quotas, from pinned tables of the lake.

Imports `billing.periods`, `lake` and `schemas`.
"""
