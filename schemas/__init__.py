"""The shapes of data: tables, catalog records, messages, reason codes, money. Imports only `kernels`."""
