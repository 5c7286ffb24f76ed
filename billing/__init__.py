"""Turns rollups into invoices: catalog, pricing, close, issue, documents and verification. Imports only `schemas`."""
