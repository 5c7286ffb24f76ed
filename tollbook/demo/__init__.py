"""The demo: a month of sample logs, from access log to invoice. Imports all packages."""
