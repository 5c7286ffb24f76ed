"""What meters and quotas count, out of pinned tables of the lake. Imports `billing.rating.periods`, `lake` and `schemas`."""
