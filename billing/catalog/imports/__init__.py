"""Catalog records from what gateways already know: Terraform, IAM policies, Kong. Read, merge, show, write.

A reader (terraform, iam, deck) gives `Found`; `merge` settles it with the catalog and what an earlier import wrote; `edits`
puts the difference into the files, where everything else keeps its bytes. Why so: docs/decisions/010-catalog-import.md.
"""
