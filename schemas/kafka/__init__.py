"""What stands in the topics of Kafka: their settings, messages and headers. Imports `schemas` and `kernels`."""
