"""Closes months, issues invoices, renders documents and verifies them. Imports `billing`, `lake` and `schemas`."""
