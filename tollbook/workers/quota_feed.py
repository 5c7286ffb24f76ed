"""Running totals of quotas for `usage.totals`: sums from the lake at assignment, then the sums of each commit.

The sums are those of the invoice (billing/usage/quota_statement.py). If the worker dies between a commit and
publication, the next owner of the partition publishes the totals from the lake.
"""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

import pyarrow as pa

from aggregate.engine import EVER
from aggregate.quota import limits
from billing.periods import Period
from billing.rating.drafts import in_unit
from billing.usage import quota_statement
from billing.usage.quota_statement import PartitionUsage
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
    """The totals of this worker's partitions of `usage.events`."""

    def __init__(self, catalog: Catalog, since: Mapping[limits.Key, datetime]) -> None:
        """`since` is when each limit of the catalog took effect (aggregate.quota.limits)."""
        self._catalog = catalog
        self._since = since
        self._promises = quota_statement.partner_quotas(catalog, catalog.partners)
        self._sums: dict[_Key, _Sum] = {}
        self._folds = Meters()

    def reload(self, lake: Lake, partitions: Collection[int]) -> list[Total]:
        """Sum these partitions from the lake again, and return all their totals.

        Totals of zero are included if a partner has usage that its quota does not count. An earlier catalog may have
        counted it, and the total that was published then must be replaced.
        """
        self._sums = {key: total for key, total in self._sums.items() if key.events_partition not in partitions}
        house = Warehouse(lake, only=["events", "rollups"])
        rows = [row for row in self._counted(house) if row.events_partition in partitions]
        changed = self._add([*rows, *(row for row in self._nothing(house) if row.events_partition in partitions)])
        return [self._total(key, house.versions["events"]) for key in changed]

    def add(self, fold: pa.Table, events_version: int) -> list[Total]:
        """Add the sums of one commit (schemas.tables.ROLLUPS). Returns the totals that changed."""
        self._folds.con.register("rollups", fold)
        return [self._total(key, events_version) for key in self._add(self._counted(self._folds))]

    def _counted(self, meters: Meters) -> Iterable[PartitionUsage]:
        return quota_statement.quota_usage(meters, self._catalog, self._promises)

    def _nothing(self, house: Warehouse) -> Iterable[PartitionUsage]:
        """Zero for every quota in every period in which its partner has the plan and any usage."""
        meters = tuple(m.model_copy(update={"filter": Filter()}) for m in self._catalog.meters)
        always = [p._replace(held=(Period(EVER["start"], EVER["end"]),)) for p in self._promises]
        for row in quota_statement.quota_usage(house, self._catalog.model_copy(update={"meters": meters}), always):
            if held := self._promises[row.partner_quota].held_in(row.period):
                yield row._replace(quantity=Decimal(0), seen_until=held[0].start)

    def _add(self, rows: Iterable[PartitionUsage]) -> list[_Key]:
        changed: dict[_Key, None] = {}  # a plan that was resumed within a period has several rows
        for row in rows:
            key = _Key(row.partner_quota, row.period, row.events_partition)
            known = self._sums.get(key, _Sum(Decimal(0), row.seen_until))
            self._sums[key] = _Sum(EXACT.add(known.used, row.quantity), max(known.seen_until, row.seen_until))
            changed[key] = None
        return list(changed)

    def _total(self, key: _Key, events_version: int) -> Total:
        promise, total = self._promises[key.promise], self._sums[key]
        quota = promise.quota
        return Total(
            promise.partner.id, quota.meter, self._catalog.meter(quota.meter).unit, promise.plan, quota.period,
            key.period.start, key.period.end, quota.limit, quota.thresholds, key.events_partition,
            in_unit(self._catalog, quota.meter, total.used), total.seen_until, events_version,
            self._since[promise.plan, quota.meter, quota.period], promise.held_in(key.period),
        )  # fmt: skip
