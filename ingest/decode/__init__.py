"""From bytes to events and dead letters: framing, formats, templates, one pipeline over Arrow tables. Imports `schemas`, `kernels` and `ingest.attribution`."""
