"""What the quota worker knows of one quota in one period: the newest total of each partition of events, and what has fired.

Pure. Both are kept as JSON in Faust's tables, and both only grow: of two totals of a partition the newer one stays, of two
ledgers everything. So it does not matter who wrote last, nor that a worker wrote once more after it had lost the partition.
"""

import json
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal, localcontext
from typing import NamedTuple

from aggregate.quota import Alert, Fired, Rule, due
from schemas.money import EXACT
from schemas.totals import Total


class Part(NamedTuple):
    """What one partition of events has brought, in the meter's unit."""

    used: Decimal
    seen_until: datetime
    events_version: int


Parts = Mapping[int, Part]  # by partition of events
NOTHING = Fired()


class Standing(NamedTuple):
    """A quota after one more total: what is known, and the alerts that are due now."""

    total: Total  # the one that was taken in
    parts: Parts
    fired: Fired
    alerts: tuple[Alert, ...]
    used: Decimal
    seen_until: datetime
    events_version: int  # the newest commit that this rests on


def key_of(total: Total) -> str:
    """One quota of one partner in one period. As the key of the total, but for the partition of events."""
    return total.key.rpartition("|")[0]


def standing(parts: Parts, fired: Fired, total: Total) -> Standing | None:
    """Take in a total. None: it is old news, and changes nothing. The same total again gives the same answer."""
    part = Part(total.used, total.seen_until, total.events_version)
    if newer(parts.get(total.events_partition), part) is not part:
        return None
    parts = {**parts, total.events_partition: part}
    with localcontext(EXACT):
        used = sum((p.used for p in parts.values()), Decimal(0))
    seen_until = max(p.seen_until for p in parts.values())
    alerts = due(rule_of(total), used, fired, seen_until=seen_until)
    version = max(p.events_version for p in parts.values())
    return Standing(total, parts, with_alerts(fired, alerts), tuple(alerts), used, seen_until, version)


def rule_of(total: Total) -> Rule:
    """The quota that a total is of."""
    return Rule(
        total.partner_id, total.meter, total.plan, total.kind, total.start, total.end, total.limit, total.thresholds
    )


def with_alerts(fired: Fired, alerts: list[Alert]) -> Fired:
    """The ledger, when these alerts have been sent."""
    return union(
        fired,
        Fired(
            [a.threshold_percent for a in alerts if a.kind == "quota"],
            [a.threshold_percent for a in alerts if a.kind == "withdrawn"],
        ),
    )


def newer(known: Part | None, said: Part) -> Part:
    """Which of two counts. Less usage at an earlier commit is old news; less at a later one is a correction."""
    if known is not None and said.used < known.used and said.events_version < known.events_version:
        return known
    return said


def merged(one: Parts, other: Parts) -> Parts:
    """Both, and of each partition the newer; of equals `other`."""
    return {**one, **{p: newer(one.get(p), part) for p, part in other.items()}}


def union(one: Fired, other: Fired) -> Fired:
    """All that has fired in either."""
    return Fired(tuple(sorted({*one.thresholds, *other.thresholds})), tuple(sorted({*one.withdrawn, *other.withdrawn})))


def parts_encoded(parts: Parts) -> bytes:
    """The value of table `latest`."""
    return json.dumps({p: [str(v.used), v.seen_until.isoformat(), v.events_version] for p, v in parts.items()}).encode()


def parts_decoded(value: bytes) -> Parts:
    """Raises ValueError, or what else Python says of a value that is none."""
    return {
        int(p): Part(Decimal(used), datetime.fromisoformat(seen), int(version))
        for p, (used, seen, version) in json.loads(value).items()
    }


def fired_encoded(fired: Fired) -> bytes:
    """The value of table `fired`."""
    return json.dumps({name: [str(t) for t in held] for name, held in fired._asdict().items()}).encode()


def fired_decoded(value: bytes) -> Fired:
    """Raises ValueError, or what else Python says of a value that is none."""
    said = json.loads(value)
    return Fired(*(tuple(Decimal(t) for t in said[name]) for name in Fired._fields))
