"""Refused credentials as metrics. The number of series is bounded, as unknown callers choose the credentials."""

from collections.abc import Mapping

from aggregate.landing.payloads import Seen
from tollbook.workers import metrics

OTHER = "other"
_DIGITS = 12  # of a hash, as `tollbook dead list` shows them
_US = 1_000_000


class UnknownCredentials:
    """The refused credentials since the worker started."""

    def __init__(self, limit: int = metrics.CREDENTIALS_MAX) -> None:
        self._limit = limit
        self._seen: dict[str, Seen] = {}

    def add(self, found: Mapping[str, Seen]) -> None:
        """Add the refused credentials of one commit. The first `limit` credentials have their own series."""
        for credential, seen in sorted(found.items()):
            name = credential[:_DIGITS]
            if name not in self._seen and len(self._seen) >= self._limit:
                name = OTHER
            known = self._seen.get(name)
            self._seen[name] = both = seen if known is None else known.plus(seen)
            metrics.UNKNOWN.labels(name).inc(seen.entries)
            metrics.UNKNOWN_FIRST.labels(name).set(both.first_us // _US)
            metrics.UNKNOWN_LAST.labels(name).set(both.last_us // _US)
