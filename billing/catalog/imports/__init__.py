"""Imports catalog records from gateway configuration: Terraform, IAM policies and Kong.

A reader (`terraform`, `iam` or `deck`) turns a document into an `ImportModel`. `merge` compares it with the catalog and
with the import state, which records what an earlier import wrote. `proposal` applies the planned edits to the catalog
files and leaves all other bytes unchanged. The reasons are in docs/decisions/010-catalog-import.md.
"""
