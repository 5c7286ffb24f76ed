"""YAML as text: reading with bounds, writing in a readable style, and edits that keep the rest.

Imports only `schemas.money`.
"""
