"""The Kafka cluster: connection options, existing topics, and loading of files.

Imports all packages but `tollbook.cli`.
"""
