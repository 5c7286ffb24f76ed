"""The story of docs/finance.md: its commands, its logs, and the sum of its documents against the reckoning."""
