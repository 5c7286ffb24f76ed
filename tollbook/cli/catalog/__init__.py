"""Commands that edit the catalog, beside their screens. Imports all packages."""
