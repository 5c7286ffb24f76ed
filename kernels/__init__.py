"""Compiled loops over bytes and arrays. A kernel knows no log format and imports nothing outside this package."""
