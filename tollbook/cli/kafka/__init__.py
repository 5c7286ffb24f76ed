"""Commands that start workers and look after topics. Imports all packages."""
