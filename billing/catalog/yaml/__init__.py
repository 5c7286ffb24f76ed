"""YAML text and edits that leave all else as it is. Imports only `schemas`."""
