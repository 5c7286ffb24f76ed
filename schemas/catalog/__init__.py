"""The catalog's records, what a single value may be, and what must hold between records. Imports only `schemas`."""
