"""The catalog: its records, their field types, and the checks between records. Imports only `schemas`."""
