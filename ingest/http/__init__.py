"""Events over HTTP: who sends, how much, and what becomes of each event. Imports `ingest.decode`, `ingest.kafka` and `schemas`."""
