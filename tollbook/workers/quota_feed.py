"""Running totals of quotas for `usage.totals`: sums from the lake at assignment, then the sums of each commit.

The sums are those of the invoice (billing/usage/quota_statement.py). If the worker dies between a commit and
publication, the next owner of the partition publishes the totals from the lake.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
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
from schemas.catalog.meters.meter import Filter
from schemas.catalog.records import Catalog
from schemas.grants import EffectiveLimit, Grants
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
        self._grants, self._now = Grants(), EVER["start"]
        self._version = 0  # of `events`, of the newest total
        self._promises = quota_statement.partner_quotas(catalog, catalog.partners)
        self._sums: dict[_Key, _Sum] = {}
        self._shared: dict[tuple[int, Period], Total] = {}  # what the totals of a quota and period have in common
        self._folds = Meters()
        self._of_partner: dict[str, list[int]] = {}
        for index, promise in enumerate(self._promises):
            self._of_partner.setdefault(promise.partner.id, []).append(index)

    def judge(self, grants: Grants, now: datetime) -> list[Total]:
        """Judge grants by this clock from here on. Returns the totals whose limit changes by that."""
        granted = {(g.partner_id, g.meter, g.quota_period) for g in (*self._grants.all, *grants.all)}
        before = {key: self._limit(key) for key in self._sums if self._quota(key) in granted}
        self._grants, self._now = grants, now
        self._shared.clear()  # they hold limits
        return [self._total(key, self._version) for key, limit in before.items() if self._limit(key) != limit]

    def reload(self, lake: Lake, partitions: Collection[int]) -> list[Total]:
        """Sum these partitions from the lake again, and return all their totals.

        Totals of zero are included if a partner has usage that its quota does not count. An earlier catalog may have
        counted it, and the total that was published then must be replaced.
        """
        self._sums = {key: total for key, total in self._sums.items() if key.events_partition not in partitions}
        house = Warehouse(lake, only=["events", "rollups"])
        rows = [row for row in self._counted(house, range(len(self._promises))) if row.events_partition in partitions]
        changed = self._add([*rows, *(row for row in self._nothing(house) if row.events_partition in partitions)])
        return [self._total(key, house.versions["events"]) for key in changed]

    def add(self, fold: pa.Table, events_version: int) -> list[Total]:
        """Add the sums of one commit (schemas.tables.ROLLUPS). Returns the totals that changed."""
        self._folds.con.register("rollups", fold)
        partners = fold["partner_id"].unique().to_pylist()
        mine = sorted(index for partner_id in partners for index in self._of_partner.get(partner_id, ()))
        return [self._total(key, events_version) for key in self._add(self._counted(self._folds, mine))]

    def _counted(self, meters: Meters, mine: Sequence[int]) -> Iterable[PartitionUsage]:
        """The usage of some promises, by their indexes."""
        rows = quota_statement.quota_usage(meters, self._catalog, [self._promises[index] for index in mine])
        return (row._replace(partner_quota=mine[row.partner_quota]) for row in rows)

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
        total = self._sums[key]
        self._version = max(self._version, events_version)
        if (shared := self._shared.get((key.promise, key.period))) is None:
            shared = self._shared[key.promise, key.period] = self._first_total(key)
        return shared._replace(
            events_partition=key.events_partition,
            used=in_unit(self._catalog, shared.meter, total.used),
            seen_until=total.seen_until,
            events_version=events_version,
        )

    def _first_total(self, key: _Key) -> Total:
        """The total of a quota and period before any usage."""
        promise = self._promises[key.promise]
        quota, limit = promise.quota, self._limit(key)
        return Total(
            promise.partner.id, quota.meter, self._catalog.meter(quota.meter).unit, promise.plan, quota.period,
            key.period.start, key.period.end, limit.limit, quota.thresholds, key.events_partition,
            Decimal(0), key.period.start, 0, limit.since, promise.held_in(key.period),
        )  # fmt: skip

    def _quota(self, key: _Key) -> tuple[str, str, str]:
        promise = self._promises[key.promise]
        return promise.partner.id, promise.quota.meter, promise.quota.period

    def _limit(self, key: _Key) -> EffectiveLimit:
        promise = self._promises[key.promise]
        since = self._since[promise.plan, promise.quota.meter, promise.quota.period]
        return promise.limit_in(key.period, self._grants, since=since, now=self._now)
