"""When the limit of each quota took effect, in table `limits`. A catalog has no dates for limits, so first use decides.

The process that alerts records it before alerting, so a repeated run finds the same instant.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal

import pyarrow as pa

from aggregate import engine
from lake import duck
from lake.errors import Fenced
from lake.lake import Lake
from schemas.catalog.records import Catalog
from schemas.quotas import ALWAYS
from schemas.tables import LIMITS

_APP = "limits"
Key = tuple[str, str, str]  # plan, meter, DAY | WEEK | MONTH


def since(lake: Lake, catalog: Catalog, *, now: datetime) -> Mapping[Key, datetime]:
    """When the limit of each quota of the catalog took effect. A changed limit takes effect at `now`, and is recorded.

    Raises LakeError. Of two processes that record at the same time, the second reads what the first has written.
    """
    lake.create()  # a lake of an earlier version has no such table
    asked = {(p.id, q.meter, q.period): q.limit for p in catalog.plans for q in p.quotas}
    while True:
        con = duck.connect()
        table = lake.open(LIMITS)
        duck.scan(con, LIMITS.name, table.files(), LIMITS, mixed=table.is_mixed)
        rows = engine.run(con, "limits").to_pylist()
        known = {(r["plan"], r["meter"], r["quota_period"]): (r["quota"], r["limit_since"]) for r in rows}
        new = {key: _from(known.get(key), now) for key, limit in asked.items() if _limit(known, key) != limit}
        if not new:
            return {key: known[key][1] for key in asked}
        records = [
            {**dict(zip(("plan", "meter", "quota_period"), key, strict=True)), "quota": asked[key], "limit_since": at}
            for key, at in sorted(new.items())
        ]
        part = lake.write(LIMITS, pa.Table.from_pylist(records, LIMITS.schema))
        try:
            table.commit([part], versions={_APP: (table.transaction_version(_APP) or 0) + 1}, info={})
        except Fenced:
            continue
        return {key: new.get(key) or known[key][1] for key in asked}


def _limit(known: Mapping[Key, tuple[Decimal, datetime]], key: Key) -> Decimal | None:
    return known[key][0] if key in known else None


def _from(known: tuple[Decimal, datetime] | None, now: datetime) -> datetime:
    """ALWAYS for a first limit, otherwise `now`, but later than the limit it replaces, as clocks may go back."""
    return ALWAYS if known is None else max(now, known[1] + timedelta(microseconds=1))
