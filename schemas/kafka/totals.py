"""What stands in `usage.totals`: how much of a quota one partition of events has seen used. Cumulative, so that the newest counts.

Key: what the total is of. Value: JSON, numbers as text. Everything the alert rule needs is in it; its reader needs no catalog.
"""

import json
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any, NamedTuple

SCHEMA = "tollbook.totals/1"


class Total(NamedTuple):
    """Usage of one quota in one of its periods, as one partition of `usage.events` brought it. In the meter's unit."""

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
    events_version: int  # the commit this rests on
    limit_since: datetime | None = None  # from when the limit holds; None: an earlier version wrote it, and did not say
    held: tuple[
        tuple[datetime, datetime], ...
    ] = ()  # when the partner has the plan in the period; none said: all of it

    @property
    def key(self) -> str:
        """What the total is of; the topic is compacted by it."""
        return "|".join(
            [self.partner_id, self.meter, self.plan, self.kind, self.start.isoformat(), str(self.events_partition)]
        )

    def encoded(self) -> bytes:
        """The value of the message."""
        said = {"schema": SCHEMA, **self._asdict(), "thresholds": _texts(self.thresholds)}
        return json.dumps(said, default=_text).encode()


class BadTotal(Exception):
    """The message is no total, or of a version this program does not know."""


def decoded(value: bytes | None) -> Total:
    """The total of a message's value. Raises BadTotal."""
    try:
        said: Mapping[str, Any] = json.loads(value or b"")
        if said.get("schema") != SCHEMA:
            raise BadTotal(f"schema {str(said.get('schema'))[:40]!r} is not known; known: {SCHEMA}")
        at = {name: datetime.fromisoformat(said[name]) for name in ("start", "end", "seen_until")}
        return Total(
            partner_id=str(said["partner_id"]),
            meter=str(said["meter"]),
            unit=str(said["unit"]),
            plan=str(said["plan"]),
            kind=str(said["kind"]),
            start=at["start"],
            end=at["end"],
            limit=Decimal(said["limit"]),
            thresholds=tuple(Decimal(t) for t in said["thresholds"]),
            events_partition=int(said["events_partition"]),
            used=Decimal(said["used"]),
            seen_until=at["seen_until"],
            events_version=int(said["events_version"]),
            limit_since=None if (since := said.get("limit_since")) is None else datetime.fromisoformat(since),
            held=tuple(
                (datetime.fromisoformat(start), datetime.fromisoformat(end))
                for start, end in said.get("held") or [(said["start"], said["end"])]
            ),
        )
    except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError) as exc:
        raise BadTotal(f"it is no total: {exc!r}") from exc


@lru_cache(1024)
def _texts(thresholds: tuple[Decimal, ...]) -> list[str]:
    """The same for all totals of a plan."""
    return [str(threshold) for threshold in thresholds]


def _text(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
