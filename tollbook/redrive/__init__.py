"""Refused entries read again and counted, or valued. Imports all packages but `tollbook.cli`."""
