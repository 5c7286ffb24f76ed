"""Grants in table `grants`: recorded, revoked, read, and watched by processes that alert. Rows are appended."""

import hashlib
import json
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

import pyarrow as pa

from aggregate import engine
from lake import duck
from lake.errors import Fenced
from lake.lake import Lake, Table
from schemas.grants import Grants, QuotaGrant, grants_of
from schemas.money import plain
from schemas.tables import GRANTS

_APP = "grants"
_ID_DIGITS = 16
_INSTANT = timedelta(microseconds=1)


class Asked(NamedTuple):
    """What is asked for. The same again is the same grant, unless that was revoked meanwhile."""

    partner_id: str
    meter: str
    quota_period: str
    amount: Decimal
    starts_at: datetime | None  # None: from when it is recorded
    ends_at: datetime
    reason: str


class NoGrant(Exception):
    """There is no grant with this id."""


def read(lake: Lake) -> Grants:
    """All grants. A lake of an earlier version has none."""
    return Grants() if lake.lacks(GRANTS) else _read(lake.open(GRANTS))


def record(lake: Lake, asked: Asked, *, by: str, now: datetime) -> tuple[QuotaGrant, bool]:
    """Record a grant. Returns it, and whether it is new. Raises LakeError."""

    def row(grants: Grants, at: datetime) -> Mapping[str, Any] | QuotaGrant:
        ids = (_id(asked, number) for number in range(len(grants.all) + 1))
        known = {grant.grant_id: grant for grant in grants.all}
        for grant_id in ids:
            if grant_id not in known:
                break
            if known[grant_id].revoked_at is None:
                return known[grant_id]
        return {
            **asked._asdict(), "grant_id": grant_id, "action": "granted", "starts_at": asked.starts_at or at,
            "recorded_by": by, "recorded_at": at,
        }  # fmt: skip

    return _recorded(lake, row, now)


def revoke(lake: Lake, grant_id: str, *, reason: str, by: str, now: datetime) -> tuple[QuotaGrant, bool]:
    """End a grant now. Returns it, and whether it was not ended before. Raises NoGrant, LakeError."""

    def row(grants: Grants, at: datetime) -> Mapping[str, Any] | QuotaGrant:
        found = next((grant for grant in grants.all if grant.grant_id == grant_id), None)
        if found is None:
            raise NoGrant(grant_id)
        if found.revoked_at is not None or found.ends_at <= at:
            return found
        return {
            "grant_id": grant_id, "action": "revoked", "partner_id": found.partner_id, "reason": reason,
            "recorded_by": by, "recorded_at": at,
        }  # fmt: skip

    return _recorded(lake, row, now)


class Watch:
    """Tells a process that alerts when limits may have changed: a grant was recorded, or began or ended."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._table: Table | None = None
        self._seen_at: datetime | None = None
        self.grants = Grants()

    def moved(self, now: datetime) -> bool:
        """Whether limits may have changed since the last call; at the first call, whether there are grants."""
        if self._table is None and self._lake.lacks(GRANTS):
            return False  # a lake of an earlier version
        before, seen_at = self.grants, self._seen_at
        if self._table is None or not self._lake.is_newest(self._table):
            self._table = self._lake.open(GRANTS)
            self.grants = _read(self._table)
        self._seen_at = now
        return self.grants != before or (seen_at is not None and self.grants.changes(seen_at, now))


def _recorded(
    lake: Lake, row_of: Callable[[Grants, datetime], Mapping[str, Any] | QuotaGrant], now: datetime
) -> tuple[QuotaGrant, bool]:
    """Append the row that is due, unless there is a grant already. Of two processes, the second reads the first's."""
    lake.check()
    lake.create()  # a lake of an earlier version has no such table
    while True:
        table = lake.open(GRANTS)
        grants = _read(table)
        times = [at for g in grants.all for at in (g.recorded_at, g.revoked_at) if at is not None]
        at = max([now, *(time + _INSTANT for time in times)])  # later than every earlier row, as clocks may go back
        row = row_of(grants, at)
        if isinstance(row, QuotaGrant):
            return row, False
        part = lake.write(GRANTS, pa.Table.from_pylist([row], GRANTS.schema))
        try:
            written = table.commit([part], versions={_APP: (table.transaction_version(_APP) or 0) + 1}, info={})
        except Fenced:
            continue
        return next(g for g in _read(written).all if g.grant_id == row["grant_id"]), True


def _read(table: Table) -> Grants:
    con = duck.connect()
    duck.scan(con, GRANTS.name, table.files(), GRANTS, mixed=table.is_mixed)
    return grants_of(engine.run(con, "grants").to_pylist())


def _id(asked: Asked, number: int) -> str:
    """The id of a grant. `number` is that of equal grants that were revoked before."""
    start = asked.starts_at and asked.starts_at.isoformat()
    parts = [
        asked.partner_id, asked.meter, asked.quota_period, plain(asked.amount), start, asked.ends_at.isoformat(), asked.reason,
        number,
    ]  # fmt: skip
    return hashlib.sha256(json.dumps(parts, ensure_ascii=False).encode()).hexdigest()[:_ID_DIGITS]
