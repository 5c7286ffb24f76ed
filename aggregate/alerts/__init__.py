"""Alerts of all kinds: the ledger in table `alerts`, and what is due when it is compared with what holds now."""
