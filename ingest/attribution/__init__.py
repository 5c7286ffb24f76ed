"""The owner of a line, by the catalog: credentials, policies, routes, own traffic.

Imports `ingest.decode`, `ingest.kafka` and `schemas`.
"""
