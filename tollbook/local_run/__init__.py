"""The local run without a broker: from log files to the lake, with alerts. Imports all packages but `tollbook.cli`."""
