"""Catalogs as YAML files: loaded, checked, and imported from what gateways know. Imports only `schemas`."""
