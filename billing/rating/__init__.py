"""Turns usage into drafts: billing periods, lines and bills, computed by pure functions with exact arithmetic.

Imports `billing.usage`, `billing.pricing` and `schemas`.
"""
