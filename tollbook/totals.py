"""Running totals of quotas, for `usage.totals`: the lake's sums when a partition is assigned, then what each commit adds.

The sums are those of the invoice (billing/sql/metered.sql). What was added and not published, because the worker died in
between, is in the lake: the next owner of the partition publishes it.
"""

from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from billing.periods import Period
from billing.rating import in_unit
from billing.warehouse import Calendar, Meters, Span, Warehouse
from schemas.catalog import Catalog, Partner, Quota
from schemas.totals import Total
from schemas.windows import WINDOW_US

_WINDOW = timedelta(microseconds=WINDOW_US)
_EVER = datetime(2100, 1, 1, tzinfo=UTC)


class _Promise(NamedTuple):
    """A quota as a partner's plan gives it, for the time of the plan."""

    partner: Partner
    quota: Quota
    plan: str
    span: Span
    calendar: Calendar


class _Key(NamedTuple):
    promise: int
    period: Period
    events_partition: int


class _Sum(NamedTuple):
    used: Decimal  # in the meter's field
    seen_until: datetime


class Totals:
    """The totals of the partitions of `usage.events` that are this worker's."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._promises = list(_promises(catalog))
        self._sums: dict[_Key, _Sum] = {}
        self._folds = Meters()

    def reload(self, root: Path, partitions: Collection[int]) -> list[Total]:
        """Forget these partitions, and sum them up from the lake. All their totals."""
        self._sums = {key: total for key, total in self._sums.items() if key.events_partition not in partitions}
        house = Warehouse(root, only=["events", "rollups"])
        changed = self._add(row for row in self._by_period(house) if row["events_partition"] in partitions)
        return [self._total(key, house.versions["events"]) for key in changed]

    def add(self, fold: pa.Table, events_version: int) -> list[Total]:
        """Add what one commit counted (schemas.tables.ROLLUPS). The totals that changed."""
        self._folds.con.register("rollups", fold)
        return [self._total(key, events_version) for key in self._add(iter(self._by_period(self._folds)))]

    def _by_period(self, meters: Meters) -> list[dict[str, Any]]:
        if not self._promises:
            return []
        return meters.by_quota_period(self._catalog, [(p.span, p.calendar) for p in self._promises]).to_pylist()  # type: ignore[no-any-return]

    def _add(self, rows: Iterator[Mapping[str, Any]]) -> list[_Key]:
        changed = []
        for row in rows:
            period = Period(row["period_start"].astimezone(UTC), row["period_end"].astimezone(UTC))
            key = _Key(row["span"], period, row["events_partition"])
            seen_until = row["last_window"].astimezone(UTC) + _WINDOW
            held = self._sums.get(key, _Sum(Decimal(0), seen_until))
            self._sums[key] = _Sum(held.used + row["quantity"], max(held.seen_until, seen_until))
            changed.append(key)
        return changed

    def _total(self, key: _Key, events_version: int) -> Total:
        promise, held = self._promises[key.promise], self._sums[key]
        quota = promise.quota
        return Total(
            promise.partner.id, quota.meter, self._catalog.meter(quota.meter).unit, promise.plan, quota.period,
            key.period.start, key.period.end, quota.limit, quota.thresholds, key.events_partition,
            in_unit(self._catalog, quota.meter, held.used), held.seen_until, events_version,
        )  # fmt: skip


def _promises(catalog: Catalog) -> Iterator[_Promise]:
    for partner in catalog.partners:
        for assigned in partner.plans:
            start = partner.instant(assigned.valid_from)
            end = _EVER if assigned.valid_to is None else partner.instant(assigned.valid_to)
            for quota in catalog.plan(assigned.plan).quotas:
                span = Span(partner.id, quota.meter, start, end)
                yield _Promise(partner, quota, assigned.plan, span, Calendar(quota.period, partner.time_zone))
