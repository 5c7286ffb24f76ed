"""The usage of quotas, for alerts, totals on Kafka, the usage command and invoices.

A quota applies to a partner under one plan in one quota period. Its usage is what the meter counted while the partner
had the plan in that period. If the partner left the plan and returned to it within the period, the usage of both times
is added up.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

from billing.periods import BillingPeriod, HeldGrant, HeldQuota, Interval, Period, interval, quota_period
from billing.usage.warehouse import Calendar, Meters, Span
from lake import duck
from schemas.catalog.records import Catalog, Partner, Quota
from schemas.grants import EffectiveLimit, Grants, effective_limit
from schemas.money import EXACT
from schemas.quotas import ALWAYS, is_reached
from schemas.windows import WINDOW_US, from_us, to_us

_WINDOW = timedelta(microseconds=WINDOW_US)
_INSTANT = timedelta(microseconds=1)
NO_GRANTS = Grants()
_END_US = to_us(datetime(2100, 1, 1, tzinfo=UTC))  # no event is later (schemas.reasons: TIME_RANGE)


class PartnerQuota(NamedTuple):
    """A quota of a partner's plan, and the times at which the partner has the plan: in order, without overlap."""

    partner: Partner
    plan: str
    quota: Quota
    held: tuple[Period, ...]

    def held_in(self, period: Period) -> tuple[Period, ...]:
        """The times within `period` at which the partner has the plan."""
        cut = (Period(max(h.start, period.start), min(h.end, period.end)) for h in self.held)
        return tuple(c for c in cut if c.start < c.end)

    def limit_in(self, period: Period, grants: Grants, *, now: datetime, since: datetime = ALWAYS) -> EffectiveLimit:
        """The limit in a quota period as of `now`. `since` is when the limit of the catalog took effect."""
        mine = grants.of(self.partner.id, self.quota.meter, self.quota.period)
        return effective_limit(self.quota.limit, since, mine, start=period.start, end=period.end, now=now)


class PartitionUsage(NamedTuple):
    """The usage of a partner's quota in one quota period from one partition of `usage.events`.

    `quantity` is in the field's unit.
    """

    partner_quota: int  # the index of the quota
    period: Period
    events_partition: int
    quantity: Decimal
    seen_until: datetime  # the end of the newest window with usage


class QuotaRow(NamedTuple):
    """A quota on a statement, in the meter's unit.

    `interval` runs from the first to the last instant with the plan in the period.
    """

    meter: str
    quota_period: str
    plan: str
    used: Decimal
    limit: Decimal
    over: bool
    interval: Interval
    granted: Decimal = Decimal(0)  # what grants added to the limit at the end of the month; it is not in `limit`
    grants: tuple[HeldGrant, ...] = ()  # of the month


def partner_quotas(catalog: Catalog, partners: Iterable[Partner]) -> list[PartnerQuota]:
    """Every quota of every plan that the partners have at any time, in the order of partners, plans and quotas."""
    found = []
    for partner in partners:
        held: dict[str, list[Period]] = {}
        for assigned in sorted(partner.plans, key=lambda a: a.valid_from):
            start, end = partner.validity_us(assigned)
            held.setdefault(assigned.plan, []).append(Period(from_us(start), from_us(min(end, _END_US))))
        found += [
            PartnerQuota(partner, plan, quota, tuple(times))
            for plan, times in held.items()
            for quota in catalog.plan(plan).quotas
        ]
    return found


def quota_usage(meters: Meters, catalog: Catalog, quotas: Sequence[PartnerQuota]) -> Iterator[PartitionUsage]:
    """The usage of each quota by quota period and partition (billing/sql/by_quota_period.sql).

    Rows without usage are left out.

    If a partner returned to the plan within a period, the quota has one row for each time.
    """
    spans = [
        (i, Span(p.partner.id, p.quota.meter, *held), Calendar(p.quota.period, p.partner.time_zone))
        for i, p in enumerate(quotas)
        for held in p.held
    ]
    if not spans:
        return
    for row in duck.each(meters.by_quota_period(catalog, [(span, calendar) for _, span, calendar in spans])):
        yield PartitionUsage(
            spans[row["span"]][0],
            Period(row["period_start"], row["period_end"]),
            row["events_partition"],
            row["quantity"],
            row["last_window"] + _WINDOW,
        )


def held_quotas(
    catalog: Catalog, partner: Partner, period: BillingPeriod, grants: Grants = NO_GRANTS
) -> tuple[HeldQuota, ...]:
    """The monthly quotas of a partner in the month in which its billing period ends, one for each plan of that month.

    Each has the grants to it in that month.

    After a change of the time zone a billing period may differ from the calendar month. Quotas use the calendar month.
    """
    zone = partner.time_zone
    month = quota_period("MONTH", period.end - _WINDOW, zone)
    return tuple(
        HeldQuota(
            partner_quota.quota.meter,
            partner_quota.plan,
            tuple(interval(*held, zone) for held in times),
            _held_grants(partner_quota, month, grants),
        )
        for partner_quota in partner_quotas(catalog, [partner])
        if partner_quota.quota.period == "MONTH" and (times := partner_quota.held_in(month))
    )


def _held_grants(promise: PartnerQuota, month: Period, grants: Grants) -> tuple[HeldGrant, ...]:
    """The grants of a month. Whether each holds at its end decides the statement."""
    return tuple(
        HeldGrant(
            grant.grant_id,
            grant.amount,
            grant.starts_at,
            grant.until,
            grant.is_active(month.end - _INSTANT),
            grant.reason,
            grant.recorded_by,
        )
        for grant in grants.of(promise.partner.id, promise.quota.meter, promise.quota.period)
        if grant.concerns(*month) and month.start < grant.until
    )


def statement_row(catalog: Catalog, held: HeldQuota, counted_in_field: Decimal) -> QuotaRow:
    """The row of a quota on the statement. It is over if usage reaches the limit with the grants at the month's end.

    `counted_in_field` is the usage of all its times together, in the field's unit.
    """
    (quota,) = [q for q in catalog.plan(held.plan).quotas if (q.meter, q.period) == (held.meter, "MONTH")]
    used = EXACT.divide(counted_in_field, catalog.meter(held.meter).divide_by)
    first, last = held.held[0], held.held[-1]
    days = Interval(first.start, last.end, first.first_day, last.last_day)
    granted = sum((grant.amount for grant in held.grants if grant.holds_at_end), Decimal(0))
    over = is_reached(used, EXACT.add(quota.limit, granted))
    return QuotaRow(held.meter, quota.period, held.plan, used, quota.limit, over, days, granted, held.grants)
