"""What data is: table shapes, catalog records, reason codes, money. Imports nothing of ours."""
