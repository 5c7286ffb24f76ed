"""The invoice commands, with their screens. Imports all packages."""
