"""What was used of each quota, for everybody who says so: alerts, totals on Kafka, the usage command and the invoice.

A quota is a partner's under one plan, in one quota period: its usage is what was counted while the partner had the plan within the
period. A plan that the partner left and took up again within a period is one agreement, and is added up.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

from billing.periods import Period, quota_period
from billing.warehouse import Calendar, Meters, Span
from schemas.catalog import Catalog, Partner, Quota
from schemas.money import EXACT
from schemas.quotas import is_reached
from schemas.windows import WINDOW_US, from_us, to_us

_WINDOW = timedelta(microseconds=WINDOW_US)
_EVER_US = to_us(datetime(2100, 1, 1, tzinfo=UTC))  # no event lies beyond it (schemas.reasons: TIME_RANGE)


class Promise(NamedTuple):
    """A quota that a partner's plan gives, and when the partner has the plan: in time order, apart."""

    partner: Partner
    plan: str
    quota: Quota
    held: tuple[Period, ...]

    def held_in(self, period: Period) -> tuple[Period, ...]:
        """When the partner has the plan within a period."""
        cut = (Period(max(h.start, period.start), min(h.end, period.end)) for h in self.held)
        return tuple(c for c in cut if c.start < c.end)


class Counted(NamedTuple):
    """What one partition of the log of events brought of a promise in one quota period. `quantity` is in the meter's field."""

    promise: int  # its place
    period: Period
    events_partition: int
    quantity: Decimal
    seen_until: datetime  # the end of the newest window with usage


class Row(NamedTuple):
    """One quota on a statement, in the meter's unit. Bounds are UTC: when the partner had the plan within the quota period."""

    meter: str
    quota_period: str
    plan: str
    used: Decimal
    limit: Decimal
    over: bool
    start: datetime
    end: datetime


def promises(catalog: Catalog, partners: Iterable[Partner]) -> list[Promise]:
    """Every quota of every plan that the partners have at any time; in the order of partners, plans and quotas."""
    found = []
    for partner in partners:
        held: dict[str, list[Period]] = {}
        for assigned in sorted(partner.plans, key=lambda a: a.valid_from):
            start, end = partner.validity_us(assigned)
            held.setdefault(assigned.plan, []).append(Period(from_us(start), from_us(min(end, _EVER_US))))
        found += [
            Promise(partner, plan, quota, tuple(times))
            for plan, times in held.items()
            for quota in catalog.plan(plan).quotas
        ]
    return found


def counted(meters: Meters, catalog: Catalog, promised: Sequence[Promise]) -> Iterator[Counted]:
    """What each promise's meter counted, by quota period and partition (billing/sql/by_quota_period.sql); those with usage.

    A promise whose plan was taken up again within a period has a row for each time.
    """
    asked = [
        (i, Span(p.partner.id, p.quota.meter, *held), Calendar(p.quota.period, p.partner.time_zone))
        for i, p in enumerate(promised)
        for held in p.held
    ]
    if not asked:
        return
    for row in meters.by_quota_period(catalog, [(span, calendar) for _, span, calendar in asked]).to_pylist():
        yield Counted(
            asked[row["span"]][0],
            Period(row["period_start"].astimezone(UTC), row["period_end"].astimezone(UTC)),
            row["events_partition"],
            row["quantity"],
            row["last_window"].astimezone(UTC) + _WINDOW,
        )


def statements(meters: Meters, catalog: Catalog, asked: Sequence[tuple[Partner, Period]]) -> list[tuple[Row, ...]]:
    """The monthly quotas of each partner in the month with which its billing period ends, one row per plan that it had in it.

    The same sums and the same rule as the alerts: where a billing period is not the calendar month (after a change of time zone),
    the quota's month is the calendar's.
    """
    months = [quota_period("MONTH", period.end - _WINDOW, partner.time_zone) for partner, period in asked]
    promised: list[Promise] = []
    places: list[list[int]] = []
    for (partner, _), month in zip(asked, months, strict=True):
        cut = [p._replace(held=p.held_in(month)) for p in promises(catalog, [partner]) if p.quota.period == "MONTH"]
        kept = [p for p in cut if p.held]
        places.append(list(range(len(promised), len(promised) + len(kept))))
        promised += kept
    used = [Decimal(0)] * len(promised)
    for row in counted(meters, catalog, promised):
        used[row.promise] = EXACT.add(used[row.promise], row.quantity)
    return [tuple(_row(catalog, promised[i], used[i]) for i in mine) for mine in places]


def _row(catalog: Catalog, promise: Promise, quantity: Decimal) -> Row:
    used, limit = EXACT.divide(quantity, catalog.meter(promise.quota.meter).divide_by), promise.quota.limit
    return Row(
        promise.quota.meter, promise.quota.period, promise.plan, used, limit, is_reached(used, limit), promise.held[0].start, promise.held[-1].end
    )  # fmt: skip
