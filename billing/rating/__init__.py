"""Turns usage into drafts of invoices: lines and bills, computed by pure functions with exact arithmetic.

Imports `billing.periods`, `billing.usage`, `billing.pricing` and `schemas`.
"""
