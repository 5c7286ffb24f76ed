"""Log files as a log: opened, followed through rotation, read in blocks. Imports `ingest.decode` and `schemas`."""
