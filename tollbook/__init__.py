"""The composition root: the one command `tollbook`. Imports the four packages; imported by none."""
