"""Loads and checks catalogs of YAML files, and imports records from gateway configuration. Imports only `schemas`."""
