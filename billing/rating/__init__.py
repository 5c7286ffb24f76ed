"""From usage to drafts: billing periods, lines and bills, pure and exact. Imports `billing.usage`, `billing.pricing` and `schemas`."""
