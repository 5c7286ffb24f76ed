"""The command `tollbook`: options, errors, exit codes, and the base of all screens. Imports all packages."""
