"""The commands that check and edit the catalog, with their screens. Imports all packages."""
