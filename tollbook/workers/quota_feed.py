"""Running totals of quotas, for `usage.totals`: the lake's sums when a partition is assigned, then what each commit adds.

The sums are those of the invoice (billing/usage/quota_statement.py). What was added and not published, because the worker died in
between, is in the lake: the next owner of the partition publishes it.
"""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

import pyarrow as pa

from aggregate.engine import EVER
from aggregate.quota import limits
from billing.rating.drafts import in_unit
from billing.rating.periods import Period
from billing.usage import quota_statement
from billing.usage.quota_statement import Counted
from billing.usage.warehouse import Meters, Warehouse
from lake.lake import Lake
from schemas.catalog.records import Catalog, Filter
from schemas.kafka.totals import Total
from schemas.money import EXACT


class _Key(NamedTuple):
    promise: int
    period: Period
    events_partition: int


class _Sum(NamedTuple):
    used: Decimal  # in the meter's field
    seen_until: datetime


class Totals:
    """The totals of the partitions of `usage.events` that are this worker's."""

    def __init__(self, catalog: Catalog, since: Mapping[limits.Key, datetime]) -> None:
        """`since`: from when the limits of the catalog hold (aggregate.quota.limits)."""
        self._catalog = catalog
        self._since = since
        self._promises = quota_statement.promises(catalog, catalog.partners)
        self._sums: dict[_Key, _Sum] = {}
        self._folds = Meters()

    def reload(self, lake: Lake, partitions: Collection[int]) -> list[Total]:
        """Forget these partitions, and sum them up from the lake. All their totals.

        Among them are those of nothing, where a partner has used something and its quota counts none of it: with the catalog of
        before it may have counted, and what was told of that must not stay.
        """
        self._sums = {key: total for key, total in self._sums.items() if key.events_partition not in partitions}
        house = Warehouse(lake, only=["events", "rollups"])
        rows = [row for row in self._counted(house) if row.events_partition in partitions]
        changed = self._add([*rows, *(row for row in self._nothing(house) if row.events_partition in partitions)])
        return [self._total(key, house.versions["events"]) for key in changed]

    def add(self, fold: pa.Table, events_version: int) -> list[Total]:
        """Add what one commit counted (schemas.tables.ROLLUPS). The totals that changed."""
        self._folds.con.register("rollups", fold)
        return [self._total(key, events_version) for key in self._add(self._counted(self._folds))]

    def _counted(self, meters: Meters) -> Iterable[Counted]:
        return quota_statement.counted(meters, self._catalog, self._promises)

    def _nothing(self, house: Warehouse) -> Iterable[Counted]:
        """Zero of every quota in every period in which its partner has the plan, and has used anything at all."""
        meters = tuple(m.model_copy(update={"filter": Filter()}) for m in self._catalog.meters)
        always = [p._replace(held=(Period(EVER["start"], EVER["end"]),)) for p in self._promises]
        for row in quota_statement.counted(house, self._catalog.model_copy(update={"meters": meters}), always):
            if held := self._promises[row.promise].held_in(row.period):
                yield row._replace(quantity=Decimal(0), seen_until=held[0].start)

    def _add(self, rows: Iterable[Counted]) -> list[_Key]:
        changed: dict[_Key, None] = {}  # a plan that was taken up again within a period has several rows
        for row in rows:
            key = _Key(row.promise, row.period, row.events_partition)
            held = self._sums.get(key, _Sum(Decimal(0), row.seen_until))
            self._sums[key] = _Sum(EXACT.add(held.used, row.quantity), max(held.seen_until, row.seen_until))
            changed[key] = None
        return list(changed)

    def _total(self, key: _Key, events_version: int) -> Total:
        promise, held = self._promises[key.promise], self._sums[key]
        quota = promise.quota
        return Total(
            promise.partner.id, quota.meter, self._catalog.meter(quota.meter).unit, promise.plan, quota.period,
            key.period.start, key.period.end, quota.limit, quota.thresholds, key.events_partition,
            in_unit(self._catalog, quota.meter, held.used), held.seen_until, events_version,
            self._since[promise.plan, quota.meter, quota.period], promise.held_in(key.period),
        )  # fmt: skip
