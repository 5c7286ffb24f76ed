"""Alerts: the registry of detectors, and the evaluation of all of them over one ledger."""
