"""Messages of `usage.totals`: the usage of a quota in the partitions of events that one worker lands.

Totals are cumulative; the newest one of a partition counts.

The key names the quota, its period and the partitions. The value is JSON with numbers as text. It has everything that
the alert rule needs, so readers need no catalog.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any, NamedTuple

SCHEMA = "tollbook.totals/2"
_ONE_PARTITION = "tollbook.totals/1"  # of earlier versions: a message for each partition
_OF_A_PART = ("events_partition", "used", "seen_until")


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
    def quota_key(self) -> str:
        """The identity of the quota of the partner and its period."""
        return "|".join([self.partner_id, self.meter, self.plan, self.kind, self.start.isoformat()])


class TotalsMessage(NamedTuple):
    """A message, and the partner that chooses its partition. The topic is compacted by the key."""

    partner_id: str
    key: str
    value: bytes


def messages(totals: Iterable[Total]) -> list[TotalsMessage]:
    """The messages of totals: one for all partitions of a quota and period that rest on one commit and one limit."""
    together: dict[tuple[object, ...], list[Total]] = {}
    for total in totals:
        same = (
            *(total.partner_id, total.meter, total.plan, total.kind, total.start),
            *(total.events_version, total.limit, total.limit_since, total.held),
        )
        together.setdefault(same, []).append(total)
    return [_message(some) for some in together.values()]


def _message(totals: Sequence[Total]) -> TotalsMessage:
    first = totals[0]
    shared = {name: value for name, value in first._asdict().items() if name not in _OF_A_PART}
    parts = [[total.events_partition, total.used, total.seen_until] for total in totals]
    document = {"schema": SCHEMA, **shared, "thresholds": _texts(first.thresholds), "parts": parts}
    partitions = ",".join(str(total.events_partition) for total in totals)
    return TotalsMessage(
        first.partner_id, f"{first.quota_key}|{partitions}", json.dumps(document, default=_text).encode()
    )


class BadTotal(Exception):
    """The message holds no totals, or is of an unknown version."""


def decoded(value: bytes | None) -> list[Total]:
    """The totals in a message's value, at least one, all of one quota and period. Raises BadTotal."""
    try:
        fields: Mapping[str, Any] = json.loads(value or b"")
        if fields.get("schema") not in {SCHEMA, _ONE_PARTITION}:
            raise BadTotal(f"schema {str(fields.get('schema'))[:40]!r} is not known; known: {SCHEMA}")
        parts = fields["parts"] if fields["schema"] == SCHEMA else [[fields[name] for name in _OF_A_PART]]
        if not parts:
            raise BadTotal("the message has no partition")
        partition, used, seen_until = parts[0]
        at = {name: datetime.fromisoformat(fields[name]) for name in ("start", "end")}
        first = Total(
            partner_id=str(fields["partner_id"]),
            meter=str(fields["meter"]),
            unit=str(fields["unit"]),
            plan=str(fields["plan"]),
            kind=str(fields["kind"]),
            start=at["start"],
            end=at["end"],
            limit=Decimal(fields["limit"]),
            thresholds=_decimals(tuple(fields["thresholds"])),
            events_partition=int(partition),
            used=Decimal(used),
            seen_until=datetime.fromisoformat(seen_until),
            events_version=int(fields["events_version"]),
            limit_since=None if (since := fields.get("limit_since")) is None else datetime.fromisoformat(since),
            held=tuple(
                (datetime.fromisoformat(start), datetime.fromisoformat(end))
                for start, end in fields.get("held") or [(fields["start"], fields["end"])]
            ),
        )
        return [first, *(_part(first, *part) for part in parts[1:])]
    except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError) as exc:
        raise BadTotal(f"the message holds no totals: {exc!r}") from exc


def _part(first: Total, partition: int, used: str, seen_until: str) -> Total:
    return first._replace(
        events_partition=int(partition), used=Decimal(used), seen_until=datetime.fromisoformat(seen_until)
    )


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
