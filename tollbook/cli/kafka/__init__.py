"""The commands that start workers and manage topics. Imports all packages."""
