"""The composition root: the command `tollbook`. Imports all other packages and is imported by none."""
