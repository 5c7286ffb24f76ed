"""Commands about entries and usage, beside their screens. Imports all packages."""
