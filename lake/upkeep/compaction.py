"""Compaction: small files of a table are rewritten as large ones with the same rows, in a fenced commit.

Readers and writers go on meanwhile: a reader keeps the files of its version until they are deleted
(lake.upkeep.vacuum), and a writer's commit does not conflict with a compaction. Rows of `events` keep the commit that
landed them, and `rollups` of the same key become one row (docs/decisions/052-lake-format-3.md).
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime
from typing import Any, NamedTuple

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from lake import commit_log, damage, duck, tables
from lake.delta import cutting
from lake.delta.snapshot import Snapshot
from lake.derived_tables import consistent_cut
from lake.errors import Damaged, Fenced
from lake.storage.store import Store
from lake.upkeep import vacuum
from lake.upkeep.groups import GROUP_BYTES, MIN_FILES, Group, groups
from schemas.tables import EVENTS, ROLLUPS, TableShape

_EMPTY_EVENTS = tables.file_schema(EVENTS).empty_table()
APP = "compact"  # the transaction version that fences two compactions of a table


class Compacted(NamedTuple):
    """One commit of a compaction."""

    table: str
    day: str | None
    files: int  # replaced by one
    bytes_before: int
    bytes_after: int
    rows_before: int
    rows_after: int


def pinned_paths(store: Store, shape: TableShape) -> set[str]:
    """The files of a table that closes list, by their paths within the table."""
    versions = cutting.pinned(store, shape.name)
    return {path for version in versions for path in tables.open_table(store, shape, version).files}


def compact(
    store: Store,
    shape: TableShape,
    *,
    now: datetime,
    min_files: int = MIN_FILES,
    group_bytes: int = GROUP_BYTES,
    until: int | None = None,
    go_on: Callable[[], bool] = lambda: True,
) -> Iterator[Compacted]:
    """Compact a table, one commit for each group of files. Safe to kill and to repeat, and beside readers and writers.

    Only files of commits up to `until` are rewritten (default: that all derived tables hold). `go_on` is asked before
    each group. A group that another process has changed meanwhile is left to the next run. Raises LakeError.
    """
    limit = consistent_cut(store).get(shape.name) if until is None else until
    table = tables.open_table(store, shape)
    listed = pinned_paths(store, shape)
    for group in groups(
        tables.listed(store, shape, table).values(),
        listed=listed,
        until=table.version if limit is None else limit,
        min_files=min_files,
        group_bytes=group_bytes,
    ):
        if not go_on():
            return
        try:
            table, done = _rewrite(store, shape, table, group, now)
        except Fenced:
            return
        yield done


def _rewrite(
    store: Store, shape: TableShape, table: Snapshot, group: Group, now: datetime
) -> tuple[Snapshot, Compacted]:
    paths = [store.address(f"{shape.name}/{file.path}") for file in group.files]
    con = duck.connect()
    mixed = tables.is_mixed(table)
    rows = _compacted(con, shape, group, paths, mixed=mixed)
    if shape.partition_by:
        rows = rows.drop_columns(list(shape.partition_by))
    part = tables.write_part(store, shape, rows, None if group.day is None else date.fromisoformat(group.day))
    before = _proved(con, shape, paths, store.address(f"{shape.name}/{part.path}"), mixed=mixed)
    size = group.size_bytes
    done = Compacted(shape.name, group.day, len(paths), size, part.size_bytes, before, part.rows)
    vacuum.note(store, shape, [file.path for file in group.files], now)
    made = tables.commit(
        store,
        shape,
        table,
        [part],
        versions={APP: table.apps.get(APP, 0) + 1},
        info={commit_log.COMPACTED: done._asdict()},
        instead_of=paths,
        rewritten_at_ms=round(now.timestamp() * 1000),
    )
    return made, done


def _compacted(
    con: duckdb.DuckDBPyConnection, shape: TableShape, group: Group, paths: Sequence[str], *, mixed: bool
) -> pa.Table:
    """The rows of the new file, with the columns of the table."""
    if shape == EVENTS:
        con.register("small_events", _with_commits(group, paths))
        statement = duck.statement("lake.sql", "compacted_events")
    elif shape == ROLLUPS:
        duck.scan(con, "small_rollups", list(paths), shape, mixed=mixed)
        statement = duck.statement("lake.sql", "compacted_rollups")
    else:
        duck.scan(con, "small", list(paths), shape, mixed=mixed)
        statement = "SELECT * FROM small"
    return duck.ask(con, statement).select(shape.schema.names).cast(shape.schema)


def _with_commits(group: Group, paths: Sequence[str]) -> pa.Table:
    """The events of files, each with the commit that landed it."""
    files = [_landed(damage.read(path), file.commit) for path, file in zip(paths, group.files, strict=True)]
    rows = pa.concat_tables([_EMPTY_EVENTS, *files], promote_options="default")
    return rows.append_column("event_day", pa.repeat(pa.scalar(group.day).cast(pa.date32()), rows.num_rows))


def _landed(rows: pa.Table, commit: int) -> pa.Table:
    """Rows of a file that `commit` added. Those of an earlier compaction know their own commits."""
    known = rows["landed_in"] if "landed_in" in rows.column_names else pa.nulls(rows.num_rows, pa.int64())
    column = pc.fill_null(known, pa.scalar(commit, pa.int64()))
    if "landed_in" not in rows.column_names:
        return rows.append_column("landed_in", column)
    return rows.set_column(rows.schema.get_field_index("landed_in"), "landed_in", column)


def _proved(con: duckdb.DuckDBPyConnection, shape: TableShape, paths: Sequence[str], made: str, *, mixed: bool) -> int:
    """How many rows the old files have. Raises Damaged unless the new file holds the same."""
    duck.scan(con, "before", list(paths), shape, mixed=mixed)
    duck.scan(con, "after", [made], shape)
    if _digest(con, shape, "before") != _digest(con, shape, "after"):
        raise Damaged(
            f"the new file {made} does not hold the rows of the {len(paths)} files that it would replace, so these stay; check the memory and "
            f"the disk of this machine, then repeat the command"
        )
    (count,) = duck.ask(con, "SELECT count(*) AS rows FROM before")["rows"].to_pylist()
    return int(count)


def _digest(con: duckdb.DuckDBPyConnection, shape: TableShape, view: str) -> list[dict[str, Any]]:
    """A digest of what may not change: of all rows, or of the sums of each key."""
    rows = con.table(view).project(", ".join(name for name in shape.schema.names if name != "landed_in"))
    if shape == ROLLUPS:
        con.register("rollups", rows)
        rows = con.sql(duck.statement("lake.sql", "rollup_sums"))
    con.register("hashed", rows)
    return duck.rows(duck.ask(con, duck.statement("lake.sql", "row_hashes")))
