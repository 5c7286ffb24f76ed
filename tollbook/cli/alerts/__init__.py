"""The commands that show alerts, and send them again."""
