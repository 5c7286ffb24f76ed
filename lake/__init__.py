"""The lake's storage: tables, commits, fences, the commit log. The only code that touches its files. Imports `schemas` and `kernels`."""
