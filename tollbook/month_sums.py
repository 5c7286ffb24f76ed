"""A month in sums: what each meter of a partner counted, and how far each quota is. The numbers of alerts and invoices."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from decimal import ROUND_DOWN, Decimal, localcontext
from typing import Any, NamedTuple

from billing.periods import Period, month, quota_period
from billing.rating import in_unit
from billing.warehouse import Calendar, Span, Warehouse
from schemas import catalog as records
from schemas.catalog import Catalog, Partner, PlanAssignment
from schemas.money import plain
from schemas.windows import from_us, to_us

_TENTH = Decimal("0.1")
_INSTANT = timedelta(microseconds=1)


class QuotaUse(NamedTuple):
    """One quota of one plan in the period of the month in which most of it was used; quantities in the meter's unit."""

    plan: str
    kind: str  # DAY | WEEK | MONTH
    start: datetime | None  # of that period; None: nothing was used
    used: Decimal
    limit: Decimal

    @property
    def share_percent(self) -> Decimal:
        """How much of the limit was used, cut to a tenth: 100.0 means that it is reached."""
        with localcontext(prec=60, rounding=ROUND_DOWN):
            return (self.used * 100 / self.limit).quantize(_TENTH)


class MeterSum(NamedTuple):
    """What one meter of one partner counted in the month, in the meter's unit."""

    partner_id: str
    meter: str
    quantity: Decimal
    quotas: tuple[QuotaUse, ...]


class _Asked(NamedTuple):
    partner: Partner
    plan: str
    quota: records.Quota


def of_month(house: Warehouse, book: Catalog, partners: Sequence[Partner], label: str) -> list[MeterSum]:
    """The sums of a month, by partner and meter in catalog order, without meters that counted nothing and have no quota.

    A quota counts what the alert rule counts: the usage under its plan, in its whole day, week or month. Raises BadPeriod.
    """
    spans = [Span(p.id, m.id, *month(label, p.time_zone)) for p in partners for m in book.meters]
    quotas = _quotas(house, book, partners, label)
    sums = []
    for span, counted in zip(spans, house.usage(book, spans), strict=True):
        found = tuple(quotas.get((span.partner_id, span.meter), ()))
        if counted or found:
            sums.append(MeterSum(span.partner_id, span.meter, in_unit(book, span.meter, counted), found))
    return sums


def row(book: Catalog, found: MeterSum) -> dict[str, Any]:
    """A sum for programs; numbers as decimal strings."""
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
    house: Warehouse, book: Catalog, partners: Sequence[Partner], label: str
) -> dict[tuple[str, str], list[QuotaUse]]:
    """Every quota of a plan that a partner had in the month, by partner and meter."""
    asked: list[_Asked] = []
    spans: list[tuple[Span, Calendar]] = []
    for partner in partners:
        for assigned, quota, span in _held(book, partner, month(label, partner.time_zone)):
            asked.append(_Asked(partner, assigned.plan, quota))
            spans.append((span, Calendar(quota.period, partner.time_zone)))
    used: dict[_Key, dict[datetime, Decimal]] = defaultdict(lambda: defaultdict(Decimal))
    limits = {_key(each): each.quota.limit for each in asked}
    for found in house.by_quota_period(book, spans).to_pylist() if spans else ():
        used[_key(asked[found["span"]])][found["period_start"]] += found["quantity"]
    result: dict[tuple[str, str], list[QuotaUse]] = defaultdict(list)
    for key, limit in limits.items():
        partner_id, meter, plan, kind = key
        fullest = max(used[key].items(), key=lambda each: each[1], default=(None, Decimal(0)))
        result[partner_id, meter].append(QuotaUse(plan, kind, fullest[0], in_unit(book, meter, fullest[1]), limit))
    return result


_Key = tuple[str, str, str, str]  # partner, meter, plan, kind: a plan that was left and taken up again is one agreement


def _key(asked: _Asked) -> _Key:
    return asked.partner.id, asked.quota.meter, asked.plan, asked.quota.period


def _held(book: Catalog, partner: Partner, period: Period) -> Iterator[tuple[PlanAssignment, records.Quota, Span]]:
    """The quotas of the plans held in a period, each with what of its own periods that touch it lies under the plan."""
    for assigned in partner.plans:
        held = partner.validity_us(assigned)
        if held[0] >= to_us(period.end) or held[1] <= to_us(period.start):
            continue
        for quota in book.plan(assigned.plan).quotas:
            first = quota_period(quota.period, period.start, partner.time_zone).start
            last = quota_period(quota.period, period.end - _INSTANT, partner.time_zone).end
            start, end = max(held[0], to_us(first)), min(held[1], to_us(last))
            yield assigned, quota, Span(partner.id, quota.meter, from_us(start), from_us(end))
