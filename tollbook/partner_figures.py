"""Figures of quotas and partners for metrics: how far each quota is, and how the traffic of the last hour fares.

Usage comes from the same SQL as invoices and alerts. The number of partners is bounded: those with the highest usage by
limit have figures of their own, and all others share the name `other`.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

import pyarrow as pa

from billing.periods import Period, quota_period
from billing.rating.drafts import in_unit
from billing.usage import quota_statement
from billing.usage.quota_statement import PartnerQuota
from billing.usage.warehouse import Span, Warehouse
from lake import duck
from lake.lake import Lake
from schemas.catalog.records import Catalog
from schemas.money import EXACT
from schemas.windows import WINDOW_US, from_us, to_us

OTHER = "other"
TOP = 100  # partners with figures of their own, by default
_HOUR = timedelta(hours=1)
_US = timedelta(microseconds=1)
_SHOWN = pa.schema([("partner_id", pa.string())])
_ZERO = Decimal(0)


class QuotaFigures(NamedTuple):
    """A quota in its current period, with its grants, in the meter's unit.

    Of `other`, the sums of its quotas on a meter and period.
    """

    partner: str
    meter: str
    period: str  # DAY | WEEK | MONTH
    used: Decimal
    limit: Decimal
    last_hour: Decimal  # usage of the last four quarters of an hour that are complete
    projected: Decimal  # usage at the end of the period or plan, at the average rate so far

    @property
    def ratio(self) -> Decimal:
        """Usage by limit."""
        return self.used / self.limit if self.limit else _ZERO

    @property
    def projected_ratio(self) -> Decimal:
        """Projected usage by limit."""
        return self.projected / self.limit if self.limit else _ZERO


class TrafficFigures(NamedTuple):
    """The requests of a partner in the last hour."""

    partner: str
    requests: int
    response_bytes: int
    throttled: int  # 429
    errors: int  # 5xx
    latency_p95_us: int | None  # None: the log has no latency


class Figures(NamedTuple):
    """All figures, partners in order."""

    quotas: list[QuotaFigures]
    traffic: list[TrafficFigures]


def figures(lake: Lake, catalog: Catalog, *, now: datetime, top: int = TOP) -> Figures:
    """The figures at `now`, of at most `top` partners and `other`. Raises LakeError."""
    house = Warehouse(lake, only=["events", "rollups", "grants"])
    quotas = _quotas(house, catalog, now)
    hour = {"start": now - _HOUR, "end": now, "days": sorted({(now - _HOUR).date(), now.date()})}
    requests = {row["partner_id"]: row["requests"] for row in house.ask(_sql("partner_requests"), hour).to_pylist()}
    shown = _shown(quotas, requests, top)
    house.con.register("shown", pa.Table.from_pylist([{"partner_id": p} for p in sorted(shown)], _SHOWN))
    rows = house.ask(_sql("partner_traffic"), {**hour, "other": OTHER}).to_pylist()
    return Figures(_summed(quotas, shown), [_traffic(row) for row in rows])


def _quotas(house: Warehouse, catalog: Catalog, now: datetime) -> list[QuotaFigures]:
    """Every quota that a partner has now, with its usage in the period that contains `now`."""
    current: list[tuple[PartnerQuota, Period]] = []
    for promise in quota_statement.partner_quotas(catalog, catalog.partners):
        period = quota_period(promise.quota.period, now, promise.partner.time_zone)
        if any(start <= now < end for start, end in promise.held):
            current.append((promise._replace(held=promise.held_in(period)), period))
    used = dict.fromkeys(range(len(current)), _ZERO)
    for row in quota_statement.quota_usage(house, catalog, [promise for promise, _ in current]):
        used[row.partner_quota] = EXACT.add(used[row.partner_quota], row.quantity)
    end = from_us(to_us(now) // WINDOW_US * WINDOW_US)
    recent = house.usage(catalog, [Span(p.partner.id, p.quota.meter, end - _HOUR, end) for p, _ in current])
    grants = house.grants()
    found = []
    for place, ((promise, period), last_hour) in enumerate(zip(current, recent, strict=True)):
        meter = promise.quota.meter
        amount = in_unit(catalog, meter, used[place])
        found.append(
            QuotaFigures(
                promise.partner.id, meter, promise.quota.period, amount, promise.limit_in(period, grants, now=now).limit,
                in_unit(catalog, meter, last_hour), _projected(amount, promise.held, now),
            )
        )  # fmt: skip
    return found


def _projected(used: Decimal, held: Iterable[Period], now: datetime) -> Decimal:
    """Usage at the average rate so far, at the end of the time with the plan."""
    whole = sum((end - start for start, end in held), timedelta()) // _US
    passed = sum((min(end, now) - start for start, end in held if start < now), timedelta()) // _US
    return used * whole / passed if passed else used


def _shown(quotas: Iterable[QuotaFigures], requests: Mapping[str, int], top: int) -> set[str]:
    """The partners with figures of their own: by usage of any of their quotas by its limit, then by requests."""
    ratios = dict.fromkeys(requests, _ZERO)
    for quota in quotas:
        ratios[quota.partner] = max(ratios.get(quota.partner, _ZERO), quota.ratio)
    ratios.pop(OTHER, None)  # a partner of this name is among the others
    order = sorted(ratios, key=lambda partner: (-ratios[partner], -requests.get(partner, 0), partner))
    return set(order[:top])


def _summed(quotas: Iterable[QuotaFigures], shown: set[str]) -> list[QuotaFigures]:
    """One row for each partner, meter and period. Quotas of several plans, and those of `other`, are added up."""
    found: dict[tuple[str, str, str], QuotaFigures] = {}
    for quota in quotas:
        partner = quota.partner if quota.partner in shown else OTHER
        key = (partner, quota.meter, quota.period)
        known = found.get(key, QuotaFigures(*key, _ZERO, _ZERO, _ZERO, _ZERO))
        found[key] = known._replace(
            used=known.used + quota.used,
            limit=known.limit + quota.limit,
            last_hour=known.last_hour + quota.last_hour,
            projected=known.projected + quota.projected,
        )
    return [found[key] for key in sorted(found)]


def _traffic(row: Mapping[str, object]) -> TrafficFigures:
    return TrafficFigures(**{"partner": row["partner_id"], **{n: row[n] for n in TrafficFigures._fields[1:]}})  # type: ignore[arg-type]


def _sql(name: str) -> str:
    return duck.statement("tollbook.sql", name)
