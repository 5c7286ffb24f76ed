"""Meters: what each counts, which events it counts, and the checks between meters and what names them."""
