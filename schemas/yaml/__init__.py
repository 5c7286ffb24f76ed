"""YAML as text: read without surprises, written as people write it, and edited without touching anything else. Imports only `schemas.money`."""
