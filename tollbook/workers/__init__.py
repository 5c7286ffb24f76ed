"""The worker processes and what they share: the loop, the watchdog, metrics, logs. Imports all packages but `tollbook.cli`."""
