"""The run on one machine without a broker: log files to the lake, alerts in the terminal. Imports all packages but `tollbook.cli`."""
