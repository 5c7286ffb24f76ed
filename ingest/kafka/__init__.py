"""Records of `gateway.access` to messages of `usage.events` and `usage.dead`. Imports `ingest.decode` and `schemas`."""
