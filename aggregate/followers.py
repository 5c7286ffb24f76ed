"""The tables that follow `events`: rollups, duplicates, dead, redriven, reads, ingested. Each is a function of its commits.

The log of `events` says what every commit counted, where its duplicates and dead letters lie, and what was read. A
follower holds, as its own transaction version, the last commit it has taken in; a crash in between costs nothing.
"""

from collections.abc import Mapping
from pathlib import Path

import duckdb
import pyarrow as pa

from aggregate import engine
from schemas import lake
from schemas.lake import Part
from schemas.tables import DEAD, DUPLICATES, EVENTS, INGESTED, READS, REDRIVEN, ROLLUPS, TableShape

FOLLOWERS = (READS, INGESTED, DEAD, REDRIVEN, DUPLICATES, ROLLUPS)
_APP = "follow/events"


def catch_up(root: Path, con: duckdb.DuckDBPyConnection, folds: Mapping[int, pa.Table] | None = None) -> int:
    """Bring every follower up to the newest commit of `events`; that version.

    `folds` may hold the rollups of some commits, to save reading their events back. Safe to repeat, and for two
    processes at once: the slower one is fenced.
    """
    newest = lake.open_table(root, EVENTS).version()
    for shape in FOLLOWERS:
        table = lake.open_table(root, shape)
        done = table.transaction_version(_APP) or 0
        missing = range(done + 1, newest + 1)
        if not missing:
            continue
        infos = {version: lake.commit_info(root, EVENTS, version) for version in missing}
        if shape != ROLLUPS:
            parts = [Part(*part) for info in infos.values() for part in info.get(shape.name, [])]
        else:
            parts = _rollup_parts(root, con, {v: (folds or {}).get(v) for v in missing})
        lake.commit(table, shape, parts, versions={_APP: newest}, info={"events": [done, newest]})
    return newest


def _rollup_parts(root: Path, con: duckdb.DuckDBPyConnection, folds: Mapping[int, pa.Table | None]) -> list[Part]:
    rows = pa.concat_tables(
        [fold if fold is not None else folded(root, con, version) for version, fold in folds.items()]
    )
    return write_by_day(root, ROLLUPS, rows)


def folded(root: Path, con: duckdb.DuckDBPyConnection, version: int) -> pa.Table:
    """The rollups of one commit, from its events."""
    engine.scan(con, "events", lake.added_files(root, EVENTS, version), EVENTS.schema)
    return engine.run(con, "fold", engine.EVER)


def write_by_day(root: Path, shape: TableShape, rows: pa.Table) -> list[Part]:
    """One part per event day of `rows`."""
    days = rows["event_day"].unique().sort()
    parts = []
    for day in days:
        mask = pa.compute.equal(rows["event_day"], day)
        parts.append(lake.write_part(root, shape, rows.filter(mask).drop_columns(["event_day"]), day.as_py()))
    return parts
