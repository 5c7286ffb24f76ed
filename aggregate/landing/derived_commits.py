"""The derived tables: rollups, duplicates, dead, texts, redriven, withdrawn, reads, ingested. Each follows `events`.

The Delta log of `events` records for every commit what was counted, the files of its duplicates and dead letters, what
was read, and what a settlement withdrew. A derived table stores the last commit that it has applied as its own
transaction version, so after a crash it catches up.
"""

from collections.abc import Mapping
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from aggregate import engine
from aggregate.landing import payloads
from lake import duck
from lake.derived_tables import APP, FOLLOWERS, taken_in
from lake.errors import Fenced
from lake.lake import Lake, Table
from lake.tables import Part
from schemas.tables import EVENTS, PAYLOADS, ROLLUPS, WITHDRAWN, TableShape

_SUMS = ("requests", "request_bytes", "response_bytes", "latency_us")
_TEXTLESS_COMMITS = 50  # scanning up to this many commits again costs less than a commit


def catch_up(lake: Lake, con: duckdb.DuckDBPyConnection, folds: Mapping[int, pa.Table] | None = None) -> int:
    """Bring every derived table up to the newest commit of `events`, and return its version.

    `folds` may contain the rollups of some commits, which saves reading their events again. It is safe to repeat, and
    for two processes at once: the slower one is fenced.
    """
    newest = lake.open(EVENTS).version
    infos = _Infos(lake)
    for shape in FOLLOWERS:
        if lake.lacks(shape):
            lake.add_table(shape)
        if shape.erasable:
            for attempt in payloads.again():
                with attempt:
                    _follow_texts(lake, infos, newest)
            continue
        table, missing = _behind(lake, shape, newest)
        if not missing:
            continue
        known = {version: (folds or {}).get(version) for version in missing}
        parts = _rollup_parts(lake, con, known) if shape == ROLLUPS else _named(shape, infos, missing)
        _commit(table, shape, parts, missing)
    return newest


def settle(lake: Lake, con: duckdb.DuckDBPyConnection) -> None:
    """`catch_up` while other workers do the same. It retries when fenced; each attempt completes one of the two."""
    while True:
        try:
            catch_up(lake, con)
        except Fenced:
            continue
        return


def followed(lake: Lake, shape: TableShape, newest: int, version: int | None = None) -> int:
    """The commit of `events` up to which a version of a derived table is complete; `newest` if nothing is missing."""
    absent = version is None and lake.lacks(shape)
    missing = range(1, newest + 1) if absent else _behind(lake, shape, newest, version)[1]
    if (absent or shape.erasable) and not _named(shape, _Infos(lake), missing):
        return newest
    return missing.start - 1


class _Infos(dict[int, dict[str, Any]]):
    """The info of commits of `events`, each read once."""

    def __init__(self, lake: Lake) -> None:
        super().__init__()
        self._lake = lake

    def __missing__(self, version: int) -> dict[str, Any]:
        return self.setdefault(version, self._lake.commit_info(EVENTS, version))


def _follow_texts(lake: Lake, infos: _Infos, newest: int) -> None:
    """Bring the payloads up to date. Most commits have none, so they are skipped until _TEXTLESS_COMMITS have passed.

    Files may be missing if the lake was restored from a backup without payloads.
    """
    table, missing = _behind(lake, PAYLOADS, newest)
    parts = _named(PAYLOADS, infos, missing)
    if parts or len(missing) >= _TEXTLESS_COMMITS:
        _commit(table, PAYLOADS, [part for part in parts if lake.has_file(PAYLOADS, part.path)], missing)


def _behind(lake: Lake, shape: TableShape, newest: int, version: int | None = None) -> tuple[Table, range]:
    """A version of a derived table, and the commits of `events` that it has not applied."""
    table = lake.open(shape, version)
    return table, range(taken_in(table) + 1, newest + 1)


def _named(shape: TableShape, infos: _Infos, versions: range) -> list[Part]:
    """The files of a derived table that commits of `events` name."""
    return [Part(*part) for version in versions for part in infos[version].get(shape.name, [])]


def _commit(table: Table, shape: TableShape, parts: list[Part], taken: range) -> None:
    table.commit(parts, versions={APP: taken[-1]}, info={"events": [taken[0] - 1, taken[-1]]})


def _rollup_parts(lake: Lake, con: duckdb.DuckDBPyConnection, folds: Mapping[int, pa.Table | None]) -> list[Part]:
    rows = pa.concat_tables(
        [fold if fold is not None else folded(lake, con, version) for version, fold in folds.items()]
    )
    return write_by_day(lake, ROLLUPS, rows)


def folded(lake: Lake, con: duckdb.DuckDBPyConnection, version: int) -> pa.Table:
    """The rollups of one commit: the sums of the events that it added, minus those of the events that it withdrew."""
    duck.scan(con, "events", lake.added_files(EVENTS, version), EVENTS)
    added = engine.run(con, "fold", engine.EVER)
    taken = [
        lake.address(WITHDRAWN, part.path) for part in _named(WITHDRAWN, _Infos(lake), range(version, version + 1))
    ]
    if not taken:
        return added
    duck.scan(con, "events", taken, WITHDRAWN)
    less = engine.run(con, "fold", engine.EVER)
    for name in _SUMS:
        less = less.set_column(less.schema.get_field_index(name), name, pc.negate_checked(less[name]))
    return pa.concat_tables([added, less])


def write_by_day(lake: Lake, shape: TableShape, rows: pa.Table) -> list[Part]:
    """One file per event day of `rows`."""
    days = rows["event_day"].unique().sort()
    parts = []
    for day in days:
        mask = pa.compute.equal(rows["event_day"], day)
        parts.append(lake.write(shape, rows.filter(mask).drop_columns(["event_day"]), day.as_py()))
    return parts
