"""The public names of the product, one committed list a subject (`*.txt`): tables, topics, options, JSON keys and the
like.

Each list is made from the product's own objects. `python -m tests.public_names` writes them anew after a name was
added.
"""
