"""The worker processes, with their loop, watchdog, metrics and logs. Imports all packages but `tollbook.cli`."""
