"""The Kafka topics: their settings, messages and headers. Imports `schemas` and `kernels`."""
