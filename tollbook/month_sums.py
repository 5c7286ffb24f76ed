"""The sums of a month: the usage of each partner and meter, and of each quota.

They equal those of alerts and invoices.
"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import ROUND_DOWN, Decimal, localcontext
from typing import Any, NamedTuple

from billing.periods import Period, month, quota_period
from billing.rating.drafts import in_unit
from billing.usage import quota_statement
from billing.usage.quota_statement import PartnerQuota
from billing.usage.warehouse import Span, Warehouse
from schemas.catalog.records import Catalog, Partner
from schemas.money import EXACT, plain

_TENTH = Decimal("0.1")
_INSTANT = timedelta(microseconds=1)


class QuotaUse(NamedTuple):
    """The use of a plan's quota in the period of the month with the highest usage.

    Quantities are in the meter's unit.
    """

    plan: str
    kind: str  # DAY | WEEK | MONTH
    start: datetime | None  # of that period; None: no usage
    used: Decimal
    limit: Decimal  # with grants

    @property
    def share_percent(self) -> Decimal:
        """The used percentage of the limit, truncated to a tenth. 100.0 means that the limit is reached."""
        with localcontext(prec=60, rounding=ROUND_DOWN):
            return (self.used * 100 / self.limit).quantize(_TENTH)


class MeterSum(NamedTuple):
    """The usage of one partner and meter in the month, in the meter's unit."""

    partner_id: str
    meter: str
    quantity: Decimal
    quotas: tuple[QuotaUse, ...]


def of_month(
    house: Warehouse, book: Catalog, partners: Sequence[Partner], label: str, *, now: datetime
) -> list[MeterSum]:
    """The sums of a month by partner and meter, in catalog order. Meters without usage and quota are omitted.

    Like an alert, a quota counts the usage under its plan in its whole day, week or month, and its limit includes
    grants, which are judged by `now`. Raises BadPeriod.
    """
    spans = [Span(p.id, m.id, *month(label, p.time_zone)) for p in partners for m in book.meters]
    quotas = _quotas(house, book, partners, label, now)
    sums = []
    for span, counted in zip(spans, house.usage(book, spans), strict=True):
        found = tuple(quotas.get((span.partner_id, span.meter), ()))
        if counted or found:
            sums.append(MeterSum(span.partner_id, span.meter, in_unit(book, span.meter, counted), found))
    return sums


def row(book: Catalog, found: MeterSum) -> dict[str, Any]:
    """A sum as JSON, with numbers as decimal strings."""
    return {
        "partner_id": found.partner_id,
        "meter": found.meter,
        "unit": book.meter(found.meter).unit,
        "quantity": plain(found.quantity),
        "quotas": [
            {
                "plan": q.plan,
                "quota_period": q.kind,
                "period_start": q.start,
                "used": plain(q.used),
                "limit": plain(q.limit),
                "share_percent": str(q.share_percent),
            }
            for q in found.quotas
        ],
    }


def _quotas(
    house: Warehouse, book: Catalog, partners: Sequence[Partner], label: str, now: datetime
) -> dict[tuple[str, str], list[QuotaUse]]:
    """The quotas of all plans that a partner had in the month, by partner and meter."""
    grants = house.grants()
    promised: list[PartnerQuota] = []
    for promise in quota_statement.partner_quotas(book, partners):
        zone, kind = promise.partner.time_zone, promise.quota.period
        period = month(label, zone)
        if promise.held_in(period):
            first, last = quota_period(kind, period.start, zone), quota_period(kind, period.end - _INSTANT, zone)
            promised.append(promise._replace(held=promise.held_in(Period(first.start, last.end))))
    used: list[dict[datetime, Decimal]] = [{} for _ in promised]
    for found in quota_statement.quota_usage(house, book, promised):
        sums = used[found.partner_quota]
        sums[found.period.start] = EXACT.add(sums.get(found.period.start, Decimal(0)), found.quantity)
    result: dict[tuple[str, str], list[QuotaUse]] = defaultdict(list)
    for promise, sums in zip(promised, used, strict=True):
        quota = promise.quota
        start, most = max(sums.items(), key=lambda each: each[1], default=(None, Decimal(0)))
        day = month(label, promise.partner.time_zone).start if start is None else start
        period = quota_period(quota.period, day, promise.partner.time_zone)
        limit = promise.limit_in(period, grants, now=now).limit
        use = QuotaUse(promise.plan, quota.period, start, in_unit(book, quota.meter, most), limit)
        result[promise.partner.id, quota.meter].append(use)
    return result
