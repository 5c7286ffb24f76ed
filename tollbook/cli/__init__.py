"""The command `tollbook`: options, errors and exit codes, and what every screen shares. Imports all packages."""
