"""Finance's commands, beside their screens. Imports all packages."""
