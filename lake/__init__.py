"""The lake: its tables, commits, fences and expiry, on a store. The only code that touches its files.

Imports `schemas` and `kernels`.
"""
