"""Writes the files of a batch before its commit: counted events, duplicates and conflicts."""

import json
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from aggregate import engine
from aggregate.landing import dedup
from aggregate.landing.dedup import CONFLICT, DUPLICATE, Keys
from kernels.dictionaries import without_unused
from lake import duck
from lake.lake import Lake, Table
from lake.tables import Part
from schemas.tables import DEAD, DUPLICATES, EVENTS, TableShape

_WRITERS = 2  # each day is a file of its own
_EPOCH_DAY = date(1970, 1, 1)


def writers() -> ThreadPoolExecutor:
    """A pool that writes files while other work goes on. When it exits, all files are written."""
    return ThreadPoolExecutor(_WRITERS, "write")


def write_events(
    pool: ThreadPoolExecutor, lake: Lake, events: pa.Table, counted: npt.NDArray[np.bool_], days: npt.NDArray[np.int64]
) -> tuple[pa.Table, Iterator[Part]]:
    """The counted events sorted by day, and one file per day. `pool` writes the files; the iterator waits for them."""
    rows = np.flatnonzero(counted)
    if np.any(np.diff(days[rows]) < 0):
        rows = rows[np.argsort(days[rows], kind="stable")]
    kept = events if len(rows) == events.num_rows and np.all(np.diff(rows) > 0) else events.take(pa.array(rows))
    kept = without_unused(kept)
    bounds = [*np.flatnonzero(np.diff(days[rows], prepend=-1)), len(rows)]

    def write_day(start: int, end: int) -> Part:
        of_day = kept.slice(start, end - start)
        return lake.write(
            EVENTS, of_day.append_column("landed_in", pa.nulls(of_day.num_rows, pa.int64())), _day(days[rows[start]])
        )

    return kept, pool.map(write_day, bounds[:-1], bounds[1:])


def write(lake: Lake, shape: TableShape, rows: pa.Table) -> list[Part]:
    """`rows` as one file, or none if there are no rows."""
    return [lake.write(shape, rows)] if rows.num_rows else []


def known_of_day(con: duckdb.DuckDBPyConnection, table: Table, day: int, numbers: Collection[int]) -> Keys:
    """The dedup keys of one event day in a version of `events`, for some events partitions."""
    if not _scan_day(con, table, day):
        return dedup.NONE
    own = pa.table({"events_partition": pa.array(sorted(numbers), pa.int16())})
    return dedup.keys(con, engine.run(con, "stored", own=own))


def met_of_day(con: duckdb.DuckDBPyConnection, table: Table, day: int, fresh: pa.Table) -> Keys:
    """The dedup keys of one event day in a version of `events` that are also in `fresh` (source, event_id)."""
    if not _scan_day(con, table, day):
        return dedup.NONE
    return dedup.keys(con, engine.run(con, "met", fresh=fresh))


def duplicates(events: pa.Table, verdicts: npt.NDArray[np.int8]) -> pa.Table:
    """Duplicates as rows of table `duplicates`."""
    return events.select(DUPLICATES.schema.names).take(pa.array(np.flatnonzero(verdicts == DUPLICATE)))


def conflicts(events: pa.Table, verdicts: npt.NDArray[np.int8]) -> pa.Table:
    """Conflicts as dead letters, with the whole normalized entry in `raw`."""
    found = events.take(pa.array(np.flatnonzero(verdicts == CONFLICT)))
    return conflicting(found, "the same id was counted before with a different payload; the first one is kept")


def conflicting(events: pa.Table, detail: str) -> pa.Table:
    """Events as dead letters of conflicts, each with its row in `raw`."""
    rows = [
        {name: row.get(name) for name in DEAD.schema.names}
        | {
            "outcome": "conflict",
            "reason": "ID_CONFLICT",
            "detail": detail,
            "raw": json.dumps(row, default=str, ensure_ascii=False).encode(),
            "raw_sha256": None,
            "credential": None,  # none was refused
        }
        for row in events.to_pylist()  # few rows, each for a person to look at
    ]
    return pa.Table.from_pylist(rows, DEAD.schema)


def _scan_day(con: duckdb.DuckDBPyConnection, table: Table, day: int) -> bool:
    """Scan the events of a day as `stored`.

    Returns False if there are none, as in a month that is landed for the first time.
    """
    folder = f"/event_day={_day(day)}/"
    files = [path for path in table.files() if folder in path]
    if files:
        duck.scan(con, "stored", files, EVENTS, mixed=table.is_mixed)
    return bool(files)


def _day(days_since_epoch: int | np.int64) -> date:
    return _EPOCH_DAY + timedelta(days=int(days_since_epoch))
