"""Who a line belongs to: credentials, policies, routes and own traffic, as the catalog says. Imports `ingest.decode`, `ingest.kafka` and `schemas`."""
