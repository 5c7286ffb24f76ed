"""The commands that gateways act on."""
