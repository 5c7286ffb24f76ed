"""The shapes of data: tables, catalog records, messages, reason codes, money. Imports no other package but `kernels`."""
