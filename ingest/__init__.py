"""Raw log lines to events: sources, formats, attribution, refusals. Imports `schemas`, `kernels` and `lake`."""
