"""The Kafka cluster: how it is reached, its topics as they are, and files sent to it. Imports all packages but `tollbook.cli`."""
