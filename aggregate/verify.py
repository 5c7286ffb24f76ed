"""The proof of the books, from the lake alone: nothing lost, nothing doubled, rollups are the fold of events."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import duckdb

from aggregate import engine, followers
from aggregate.engine import EVER
from schemas import history, integers, lake, tables
from schemas.following import FOLLOWERS, SUMMED, consistent_cut, taken_in
from schemas.lake import LakeError
from schemas.tables import EVENTS, TOPICS

_OUTCOMES = ("counted", "duplicates", "conflicts", "refused")


class Check(NamedTuple):
    """One thing that was proved or not. `problems` is empty when it holds."""

    name: str
    problems: list[str]


class Proof(NamedTuple):
    """All checks, and the books they rest on: one row per source and origin, columns of aggregate/sql/books.sql.

    `commits_on_the_way`: commits of `events` that some other table has not taken in yet; nothing is said of them.
    """

    checks: list[Check]
    books: list[dict[str, Any]]
    commits_on_the_way: int = 0

    @property
    def problems(self) -> list[str]:
        """Everything that does not hold."""
        return [p for check in self.checks for p in check.problems]

    def totals(self) -> dict[str, int]:
        """entries, and counted, duplicates, conflicts, refused of them; what remains unexplained; what is on its way."""
        sums = {name: sum(row[name] for row in self.books) for name in ("entries", *_OUTCOMES, "on_the_way")}
        return {**sums, "unexplained": sums["entries"] - sum(sums[name] for name in _OUTCOMES)}


def prove(
    root: Path,
    versions: Mapping[str, int] | None = None,
    *,
    start: datetime = EVER["start"],
    end: datetime = EVER["end"],
) -> Proof:
    """Check the whole lake, at its newest consistent cut or at the given table versions; identities and rollups between two instants."""
    con = engine.connect()
    shapes = (EVENTS, *SUMMED, TOPICS)
    try:
        cut = versions or consistent_cut(root)
        newest = lake.open_table(root, EVENTS).version()
        pinned = {s.name: cut[s.name] if s.name in cut else lake.open_table(root, s).version() for s in shapes}
    except LakeError as exc:
        return Proof([Check("the log of the lake is whole", [str(exc)])], [])
    for shape in shapes:
        engine.scan(con, shape.name, lake.pinned_files(root, shape, pinned[shape.name]), shape.schema)
    books = integers.rows(engine.run(con, "books"))
    span = {"start": start, "end": end}
    checks = [
        Check("the log of the lake is whole", list(_log(root))),
        Check("all tables have followed events", list(_followed(root, pinned))),
        Check("logs were read without a gap", list(_gaps(con))),
        Check("what was read is what stands in the tables", list(_stored(con))),
        Check("entries = counted + duplicates + conflicts + refused", list(_balance(books))),
        Check("each redriven entry was refused once and settled once", list(_redriven(con))),
        Check("no identity is counted twice", list(_twice(con, span))),
        Check("rollups are the sum of events", list(_differing(con, span))),
    ]
    return Proof(checks, books, newest - pinned[EVENTS.name])


def _log(root: Path) -> Iterator[str]:
    for shape in tables.ALL.values():
        try:
            lake.check_log(root, shape)
            if not shape.erasable:
                found = history.read(root, shape)
                yield from (*found.problems, *history.opening(root, shape, found))
        except LakeError as exc:
            yield str(exc)


def _followed(root: Path, versions: Mapping[str, int]) -> Iterator[str]:
    for shape in FOLLOWERS:
        ahead = taken_in(lake.open_table(root, shape))
        if ahead > (newest := lake.open_table(root, EVENTS).version()):
            yield f"{shape.name} has followed events to version {ahead} of {newest}: commits of events were lost; restore the lake from a backup"
        done = followers.followed(root, shape, versions[EVENTS.name], versions.get(shape.name))
        if done != versions[EVENTS.name]:
            yield f"{shape.name} has followed events to version {done} of {versions[EVENTS.name]}; `tollbook run` brings it up to date"


def _gaps(con: duckdb.DuckDBPyConnection) -> Iterator[str]:
    for row in engine.run(con, "gaps").to_pylist():
        yield f"{row['file']}: {row['generation']} goes on at {row['from_offset']}, but was read to {row['expected_from']}"


def _stored(con: duckdb.DuckDBPyConnection) -> Iterator[str]:
    for row in integers.rows(engine.run(con, "reads")):
        for name in _OUTCOMES:
            if row[name] != row[f"stored_{name}"]:
                yield f"{row['file']}: {row[name]} {name} by the log of reads, {row[f'stored_{name}']} in the tables"


def _balance(books: list[dict[str, Any]]) -> Iterator[str]:
    for row in books:
        outcomes = sum(row[name] for name in _OUTCOMES)
        if row["entries"] != outcomes:
            yield f"{row['source']}, {row['file'] or row['generation']}: {row['entries']} entries, but {outcomes} outcomes"


def _redriven(con: duckdb.DuckDBPyConnection) -> Iterator[str]:
    for row in engine.run(con, "redriven_wrong").to_pylist():
        yield (
            f"{row['generation']}, position {row['position']}, item {row['item']} of source {row['source']}: redriven {row['times']} "
            f"times, refused {row['refused']} times"
        )


def _twice(con: duckdb.DuckDBPyConnection, span: Mapping[str, datetime]) -> Iterator[str]:
    for row in engine.run(con, "twice", span).to_pylist():
        yield f"event {row['event_id']} of source {row['source']} is counted {row['copies']} times"


def _differing(con: duckdb.DuckDBPyConnection, span: Mapping[str, datetime]) -> Iterator[str]:
    con.register("folded", engine.run(con, "fold", span))
    for row in integers.rows(engine.run(con, "differing", span)):
        yield (
            f"partner {row['partner_id']}, window {row['window_start']:%Y-%m-%dT%H:%MZ}: "
            f"{row['requests_by_events'] or 0} requests by events, {row['requests_by_rollups'] or 0} by rollups, or other sums differ"
        )
