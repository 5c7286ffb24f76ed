"""Price models, one module each: the fields of a price, what it charges for a quantity, and how an invoice explains it.

`price` defines what a model is, and `registry` lists the models. docs/design.md lists the steps to add one.
"""
