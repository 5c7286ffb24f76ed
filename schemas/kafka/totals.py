"""Messages of `usage.totals`: the usage of a quota in one partition of events.

Totals are cumulative; the newest one counts.

The key identifies the total. The value is JSON with numbers as text. It has everything that the alert rule needs, so
readers need no catalog.
"""

import json
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any, NamedTuple

SCHEMA = "tollbook.totals/1"


class Total(NamedTuple):
    """The usage of one quota in one period, from one partition of `usage.events`. In the meter's unit."""

    partner_id: str
    meter: str
    unit: str
    plan: str
    kind: str  # DAY | WEEK | MONTH
    start: datetime
    end: datetime
    limit: Decimal
    thresholds: tuple[Decimal, ...]
    events_partition: int
    used: Decimal
    seen_until: datetime  # the end of the newest window with usage
    events_version: int  # the commit of `events` that it was computed from
    limit_since: datetime | None = (
        None  # from when the limit applies; None: written by a version that did not record it
    )
    # The intervals of the period in which the partner has the plan. Earlier versions did not write it: the whole
    # period.
    held: tuple[tuple[datetime, datetime], ...] = ()

    @property
    def key(self) -> str:
        """The identity of the total. The topic is compacted by it."""
        return "|".join(
            [self.partner_id, self.meter, self.plan, self.kind, self.start.isoformat(), str(self.events_partition)]
        )

    def encoded(self) -> bytes:
        """The value of the message."""
        document = {"schema": SCHEMA, **self._asdict(), "thresholds": _texts(self.thresholds)}
        return json.dumps(document, default=_text).encode()


class BadTotal(Exception):
    """The message is not a total, or of an unknown version."""


def decoded(value: bytes | None) -> Total:
    """The total in a message's value. Raises BadTotal."""
    try:
        fields: Mapping[str, Any] = json.loads(value or b"")
        if fields.get("schema") != SCHEMA:
            raise BadTotal(f"schema {str(fields.get('schema'))[:40]!r} is not known; known: {SCHEMA}")
        at = {name: datetime.fromisoformat(fields[name]) for name in ("start", "end", "seen_until")}
        return Total(
            partner_id=str(fields["partner_id"]),
            meter=str(fields["meter"]),
            unit=str(fields["unit"]),
            plan=str(fields["plan"]),
            kind=str(fields["kind"]),
            start=at["start"],
            end=at["end"],
            limit=Decimal(fields["limit"]),
            thresholds=_decimals(tuple(fields["thresholds"])),
            events_partition=int(fields["events_partition"]),
            used=Decimal(fields["used"]),
            seen_until=at["seen_until"],
            events_version=int(fields["events_version"]),
            limit_since=None if (since := fields.get("limit_since")) is None else datetime.fromisoformat(since),
            held=tuple(
                (datetime.fromisoformat(start), datetime.fromisoformat(end))
                for start, end in fields.get("held") or [(fields["start"], fields["end"])]
            ),
        )
    except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError) as exc:
        raise BadTotal(f"the message is not a total: {exc!r}") from exc


@lru_cache(1024)
def _decimals(thresholds: tuple[str, ...]) -> tuple[Decimal, ...]:
    """The thresholds as numbers. Cached like their texts."""
    return tuple(Decimal(threshold) for threshold in thresholds)


@lru_cache(1024)
def _texts(thresholds: tuple[Decimal, ...]) -> list[str]:
    """The thresholds as text. Cached, as all totals of a plan share them."""
    return [str(threshold) for threshold in thresholds]


def _text(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
