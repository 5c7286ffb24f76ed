"""Storage below a lake: the protocol `Store`, local files and memory. Imports `lake.atomic_file` and `lake.lock`."""
