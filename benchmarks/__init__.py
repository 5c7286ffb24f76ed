"""Measurements that are printed, side by side with what they are compared to."""
