"""Detectors: pure functions from counts of events to the alerts that hold. They know no lake and no clock."""
