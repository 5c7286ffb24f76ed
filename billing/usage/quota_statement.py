"""What was used of each quota, for everybody who says so: alerts, totals on Kafka, the usage command and the invoice.

A quota is a partner's under one plan, in one quota period: its usage is what was counted while the partner had the plan within the
period. A plan that the partner left and took up again within a period is one agreement, and is added up.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

from billing.rating.periods import BillingPeriod, HeldQuota, Interval, Period, interval, quota_period
from billing.usage.warehouse import Calendar, Meters, Span
from schemas.catalog.records import Catalog, Partner, Quota
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
    """One quota on a statement, in the meter's unit. `interval`: from when until when the partner had the plan within the quota period."""

    meter: str
    quota_period: str
    plan: str
    used: Decimal
    limit: Decimal
    over: bool
    interval: Interval


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


def held_quotas(catalog: Catalog, partner: Partner, period: BillingPeriod) -> tuple[HeldQuota, ...]:
    """The monthly quotas of a partner in the month with which its billing period ends, one for each plan that it had in it.

    Where a billing period is not the calendar month (after a change of time zone), the quota's month is the calendar's.
    """
    zone = partner.time_zone
    month = quota_period("MONTH", period.end - _WINDOW, zone)
    return tuple(
        HeldQuota(promise.quota.meter, promise.plan, tuple(interval(*held, zone) for held in times))
        for promise in promises(catalog, [partner])
        if promise.quota.period == "MONTH" and (times := promise.held_in(month))
    )


def row(catalog: Catalog, held: HeldQuota, counted_in_field: Decimal) -> Row:
    """A quota's row on the statement, where its meter counted so much in its field at all the times together."""
    (quota,) = [q for q in catalog.plan(held.plan).quotas if (q.meter, q.period) == (held.meter, "MONTH")]
    used = EXACT.divide(counted_in_field, catalog.meter(held.meter).divide_by)
    first, last = held.held[0], held.held[-1]
    days = Interval(first.start, last.end, first.first_day, last.last_day)
    return Row(held.meter, quota.period, held.plan, used, quota.limit, is_reached(used, quota.limit), days)
