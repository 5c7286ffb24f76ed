"""Corrects issued invoices: credit notes, voids, rebills, and adjustments for late usage. Nothing is changed."""
