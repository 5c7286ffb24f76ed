"""Usage of meters and quotas, from pinned tables of the lake.

Imports `billing.rating.periods`, `lake` and `schemas`.
"""
