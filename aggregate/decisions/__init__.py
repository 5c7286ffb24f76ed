"""Decisions for gateways: which credential is asked about, whether to allow it, and how the answer is written.

Pure functions. Imports `schemas`.
"""
