"""The state of the quota worker for one quota and period: the newest total of each events partition, and fired alerts.

The functions are pure. Both are stored as JSON in Faust's tables, and both only grow: of two totals of a partition the
newer one is kept, of two limits the later one, and ledgers are united. The order of writes therefore does not matter,
nor a late write of a worker that has lost the partition, nor a land worker with an older catalog, nor a redelivery:
two catalogs may give a partition different usage at one commit, and then only the offsets of the totals tell which came
later.
"""

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal, localcontext
from functools import lru_cache, reduce
from typing import Any, NamedTuple

from aggregate.quota.rule import AlertRule, Fired, Mark, ThresholdAlert, due, order
from schemas.kafka.totals import Total
from schemas.money import EXACT
from schemas.quotas import ALWAYS


class Terms(NamedTuple):
    """The terms of a quota in the catalog. `limit_since` is None if a land worker of an earlier version sent them."""

    limit: Decimal
    thresholds: tuple[Decimal, ...]
    limit_since: datetime | None
    held: tuple[tuple[datetime, datetime], ...]


class PartitionTotal(NamedTuple):
    """The usage from one events partition, in the meter's unit, and the newest terms that came with it."""

    used: Decimal
    seen_until: datetime
    events_version: int
    terms: Terms | None = None  # None: stored by an earlier version
    offset: int | None = None  # of the total in `usage.totals`; None: stored by an earlier version


Parts = Mapping[int, PartitionTotal]  # by partition of events
NOTHING = Fired()


class Standing(NamedTuple):
    """The state of a quota after more totals, and the alerts that are due now."""

    total: Total  # the last total that was added
    rule: AlertRule
    parts: Parts
    fired: Fired
    alerts: tuple[ThresholdAlert, ...]
    used: Decimal
    seen_until: datetime
    events_version: int  # the newest commit that it is based on


def standing(parts: Parts, fired: Fired, totals: Iterable[tuple[Total, int | None]]) -> Standing | None:
    """The state after adding totals of one quota and period, each with its offset. None if all are outdated.

    The same totals again give the same result. Alerts are those of the sum of all, not of the sums in between.
    """
    sums = dict(parts)
    last: tuple[Total, PartitionTotal, Terms] | None = None
    for total, offset in totals:
        terms = Terms(total.limit, total.thresholds, total.limit_since, total.held)
        received = PartitionTotal(total.used, total.seen_until, total.events_version, terms, offset)
        known = sums.get(total.events_partition)
        part = newer(known, received)
        if part == known != received:
            continue
        sums[total.events_partition] = part
        last = total, part, terms
    if last is None:
        return None
    total, part, terms = last
    with localcontext(EXACT):
        used = sum((p.used for p in sums.values()), Decimal(0))
    seen_until = max(p.seen_until for p in sums.values())
    rule = rule_of(total, reduce(_later, (p.terms for p in sums.values()), part.terms) or terms)
    alerts = due(rule, used, fired, seen_until=seen_until)
    version = max(p.events_version for p in sums.values())
    return Standing(total, rule, sums, with_alerts(fired, alerts), tuple(alerts), used, seen_until, version)


def rule_of(total: Total, terms: Terms) -> AlertRule:
    """The alert rule for the quota of a total, on the given terms."""
    t = total
    return AlertRule(
        t.partner_id,
        t.meter,
        t.plan,
        t.kind,
        t.start,
        t.end,
        terms.limit,
        terms.thresholds,
        terms.limit_since,
        terms.held,
    )


def with_alerts(fired: Fired, alerts: list[ThresholdAlert]) -> Fired:
    """The ledger after these alerts are sent."""
    return union(
        fired,
        Fired([a.mark for a in alerts if a.kind == "quota"], [a.mark for a in alerts if a.kind == "withdrawn"]),
    )


def newer(known: PartitionTotal | None, received: PartitionTotal) -> PartitionTotal:
    """The newer of two totals. Less usage at an earlier commit is outdated; at a later one it is a correction.

    A total that an older catalog computed from the same or an earlier commit is outdated as well, whatever its usage.
    So is one that is delivered again after a later one. Offsets of a topic that was made anew begin at 0, but its
    totals are of later commits.
    """
    if known is None:
        return received
    if _is_redelivery(known, received):
        return known
    less_usage = received.used < known.used and received.events_version < known.events_version
    older_terms = received.events_version <= known.events_version and _since(received.terms) < _since(known.terms)
    if less_usage or older_terms:
        return known._replace(terms=_later(known.terms, received.terms))
    terms = _later(received.terms, known.terms)
    return received if terms is received.terms else received._replace(terms=terms)


def _is_redelivery(known: PartitionTotal, received: PartitionTotal) -> bool:
    if known.offset is None or received.offset is None:
        return False
    return received.offset < known.offset and received.events_version <= known.events_version


def _later(one: Terms | None, other: Terms | None) -> Terms | None:
    """The terms whose limit took effect later; if equal, `one`."""
    return other if _since(other) > _since(one) else one


def _since(terms: Terms | None) -> tuple[bool, datetime]:
    """The sort key of terms. Those of earlier versions come first."""
    since = terms.limit_since if terms else None
    return since is not None, since or ALWAYS


def merged(one: Parts, other: Parts) -> Parts:
    """The union of both, with the newer total of each partition; if equal, that of `other`."""
    return {**one, **{p: newer(one.get(p), part) for p, part in other.items()}}


def union(one: Fired, other: Fired) -> Fired:
    """The union of both ledgers."""
    return Fired(_all(one.alerts, other.alerts), _all(one.withdrawn, other.withdrawn))


def _all(one: Iterable[Mark], other: Iterable[Mark]) -> tuple[Mark, ...]:
    return tuple(sorted({*one, *other}, key=order))


def parts_encoded(parts: Parts) -> bytes:
    """The value of table `latest`: JSON. Numbers are text."""
    return f"{{{', '.join(_part_encoded(p, part) for p, part in parts.items())}}}".encode()


def _part_encoded(partition: int, part: PartitionTotal) -> str:
    offset = "null" if part.offset is None else part.offset
    seen, terms = part.seen_until.isoformat(), _terms_encoded(part.terms)
    return f'"{partition}": ["{part.used}", "{seen}", {part.events_version}, {terms}, {offset}]'


def parts_decoded(value: bytes) -> Parts:
    """The decoded value of table `latest`. Raises ValueError or another exception for invalid values.

    Earlier versions stored no offset, and still earlier ones no terms.
    """
    return {int(p): _part_decoded(*stored) for p, stored in json.loads(value).items()}


def _part_decoded(
    used: str, seen_until: str, events_version: int, terms: list[Any] | None = None, offset: int | None = None
) -> PartitionTotal:
    seen = datetime.fromisoformat(seen_until)
    return PartitionTotal(
        Decimal(used), seen, int(events_version), _terms_decoded(terms), None if offset is None else int(offset)
    )


@lru_cache(1024)  # the parts of a quota share their terms, and so do all partners of a plan
def _terms_encoded(terms: Terms | None) -> str:
    if terms is None:
        return "null"
    held = [[start.isoformat(), end.isoformat()] for start, end in terms.held]
    return json.dumps([str(terms.limit), [str(t) for t in terms.thresholds], _text(terms.limit_since), held])


def _terms_decoded(stored: list[Any] | None) -> Terms | None:
    if stored is None:
        return None
    limit, thresholds, since, held = stored
    times = tuple((datetime.fromisoformat(start), datetime.fromisoformat(end)) for start, end in held)
    return Terms(Decimal(limit), tuple(Decimal(t) for t in thresholds), _instant(since), times)


def fired_encoded(fired: Fired) -> bytes:
    """The value of table `fired`."""
    return json.dumps({name: [_mark_encoded(m) for m in marks] for name, marks in fired._asdict().items()}).encode()


def fired_decoded(value: bytes) -> Fired:
    """The decoded value of table `fired`. Raises ValueError or another exception.

    Earlier versions stored only thresholds.
    """
    document = json.loads(value)
    alerts = document["thresholds"] if "thresholds" in document else document["alerts"]
    return Fired(tuple(_mark_decoded(m) for m in alerts), tuple(_mark_decoded(m) for m in document["withdrawn"]))


def _mark_encoded(mark: Mark) -> list[str | None]:
    limit = None if mark.limit is None else str(mark.limit)
    return [str(mark.threshold_percent), limit, _text(mark.limit_since)]


def _mark_decoded(stored: Any) -> Mark:
    threshold, limit, since = (stored, None, None) if isinstance(stored, str) else stored
    return Mark(Decimal(threshold), None if limit is None else Decimal(limit), _instant(since))


def _text(instant: datetime | None) -> str | None:
    return instant.isoformat() if instant else None


def _instant(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
