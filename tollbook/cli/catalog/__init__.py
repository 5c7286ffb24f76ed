"""The commands that edit the catalog, with their screens. Imports all packages."""
