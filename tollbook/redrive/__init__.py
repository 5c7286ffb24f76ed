"""Redrive of refused entries, and estimates of their worth. Imports all packages but `tollbook.cli`."""
