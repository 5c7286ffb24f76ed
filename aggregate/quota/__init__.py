"""Quota alerts: the rule, the running totals, the worker on Faust and the ledger.

Imports `aggregate.engine`, `lake` and `schemas`.
"""
