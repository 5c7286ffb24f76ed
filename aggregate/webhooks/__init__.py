"""Alerts as Standard Webhooks: who gets them, and their delivery. Imports `aggregate.quota` and `schemas`."""
