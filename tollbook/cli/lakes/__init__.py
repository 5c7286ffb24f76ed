"""`tollbook lake`: the upkeep of a lake. Imports the options and screens of `tollbook.cli`."""
