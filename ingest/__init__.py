"""From raw log lines to events: sources, formats, attribution, refusals. Imports only `schemas`."""
