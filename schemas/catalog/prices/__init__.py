"""Price models, one module each: the fields of a price, what it asks for a quantity, and how an invoice explains it.

`price` says what a model is, `registry` which models there are. docs/design.md lists what a new model takes.
"""
