"""The commands for entries and usage, with their screens. Imports all packages."""
