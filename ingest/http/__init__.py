"""Events over HTTP: authentication, rate limits, verdicts, delivery.

Imports `ingest.decode`, `ingest.kafka` and `schemas`.
"""
