"""The proof of the books from the lake: nothing is lost or counted twice, and rollups are the sums of events."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple

import duckdb

from aggregate import engine
from aggregate.engine import EVER
from aggregate.landing import derived_commits
from lake import duck
from lake.commit_log import History
from lake.derived_tables import FOLLOWERS, SUMMED, taken_in
from lake.errors import LakeError
from lake.lake import Lake
from schemas import tables
from schemas.tables import ALERTS, CLOSES, EVENTS, INVOICES, PAYLOADS, TOPICS, WITHDRAWN, TableShape

_WHOLE, _WRITTEN = "the log of the lake is whole", "files are what was written"
_SUMMED = (EVENTS, *SUMMED, TOPICS)
_REQUIRED = (*_SUMMED, ALERTS, CLOSES, INVOICES)
_OUTCOMES = ("counted", "duplicates", "conflicts", "refused")


class Check(NamedTuple):
    """One check. `problems` is empty if it holds."""

    name: str
    problems: list[str]


class Proof(NamedTuple):
    """All checks, and the books: one row per source and origin, with the columns of aggregate/sql/books.sql.

    `commits_on_the_way` is the number of commits of `events` that some derived table has not applied yet; they are not
    checked. `files_not_hashed` counts files of commits without recorded hashes, of which only names and sizes are
    known. If a file is damaged, there are no books.
    """

    checks: list[Check]
    books: list[dict[str, Any]]
    commits_on_the_way: int = 0
    files_not_hashed: int = 0

    @property
    def problems(self) -> list[str]:
        """The problems of all checks."""
        return [p for check in self.checks for p in check.problems]

    def totals(self) -> dict[str, int]:
        """The sums of entries and their outcomes, of unexplained entries, and of those on the way."""
        sums = {name: sum(row[name] for row in self.books) for name in ("entries", *_OUTCOMES, "on_the_way")}
        return {**sums, "unexplained": sums["entries"] - sum(sums[name] for name in _OUTCOMES)}


def prove(
    lake: Lake,
    versions: Mapping[str, int] | None = None,
    *,
    start: datetime = EVER["start"],
    end: datetime = EVER["end"],
) -> Proof:
    """Check the whole lake at its newest consistent cut, or at the given table versions.

    Event ids and rollups are checked between two instants.
    """
    try:
        cut = versions or lake.consistent_cut()
        newest = lake.open(EVENTS).version
        pinned = {s.name: _pinned(lake, s, cut) for s in _SUMMED if not lake.lacks(s)}
    except LakeError as exc:
        return Proof([Check(_WHOLE, [str(exc)])], [])
    histories, problems = _histories(lake, pinned)
    checks = [Check(_WHOLE, [*problems, *_log(lake, histories)]), Check(_WRITTEN, list(_changed(lake, histories)))]
    not_hashed = sum(not file.sha256 for found in histories.values() for file in found.files.values())
    left = newest - pinned[EVENTS.name]
    if checks[-1].problems or problems:
        return Proof(checks, [], left, not_hashed)
    try:
        checks.append(Check("all tables have followed events", list(_followed(lake, pinned, versions or pinned))))
        summed, books = _summed(lake, pinned, {"start": start, "end": end})
    except LakeError as exc:
        return Proof([*checks, Check("the books can be summed up", [str(exc)])], [], left, not_hashed)
    return Proof([*checks, *summed], books, left, not_hashed)


def _summed(
    lake: Lake, pinned: Mapping[str, int], span: Mapping[str, datetime]
) -> tuple[list[Check], list[dict[str, Any]]]:
    """The checks of the rows of all tables. Raises LakeError if a file cannot be read."""
    con = duck.connect()
    files = {s: lake.files(s, pinned[s.name]) if s.name in pinned else [] for s in _SUMMED}
    for shape in _SUMMED:
        if shape not in (EVENTS, WITHDRAWN):
            duck.scan(con, shape.name, files[shape], shape)
    duck.scan_counted(con, files[EVENTS], files[WITHDRAWN])
    books = duck.rows(engine.run(con, "books"))
    checks = [
        Check("logs were read without a gap", list(_gaps(con))),
        Check("what was read is what stands in the tables", list(_stored(con))),
        Check("entries = counted + duplicates + conflicts + refused", list(_balance(books))),
        Check("each redriven entry was refused once and settled once", list(_redriven(con))),
        Check("each withdrawn event has another of its identity that counts", list(_withdrawn(con, files))),
        Check("no identity is counted twice", list(_twice(con, span))),
        Check("rollups are the sum of events", list(_differing(con, span))),
    ]
    return checks, books


def _pinned(lake: Lake, shape: TableShape, versions: Mapping[str, int]) -> int:
    """The version of a table to check. Versions recorded before table withdrawn existed mean that it was empty."""
    if shape == WITHDRAWN and EVENTS.name in versions:
        return versions.get(shape.name, 0)
    return versions[shape.name] if shape.name in versions else lake.open(shape).version


def _histories(lake: Lake, pinned: Mapping[str, int]) -> tuple[dict[TableShape, History], list[str]]:
    """The histories of all kept tables at their pinned or newest versions, and the problems of unreadable ones."""
    found: dict[TableShape, History] = {}
    problems = []
    for shape in tables.KEPT.values():
        if lake.lacks(shape) or (shape not in _REQUIRED and not lake.has_folder(shape)):
            continue  # a table of a later version; the next write to the lake creates it
        try:
            found[shape] = lake.history(shape, pinned.get(shape.name))
        except LakeError as exc:
            problems.append(str(exc))
    return found, problems


def _log(lake: Lake, histories: Mapping[TableShape, History]) -> Iterator[str]:
    for shape in (*histories, PAYLOADS):
        try:
            lake.check_log(shape)
            if shape in histories:
                found = histories[shape]
                yield from (*found.problems, *lake.problems_behind(shape, found.version))
                yield from lake.opening_problems(shape, found)
        except LakeError as exc:
            yield str(exc)


def _changed(lake: Lake, histories: Mapping[TableShape, History]) -> Iterator[str]:
    for shape, found in histories.items():
        yield from lake.changed_files(shape, found)
    try:
        yield from lake.changed_texts()
    except LakeError as exc:
        yield str(exc)


def _followed(lake: Lake, versions: Mapping[str, int], given: Mapping[str, int]) -> Iterator[str]:
    for shape in FOLLOWERS:
        if shape == WITHDRAWN and shape.name not in given and shape.name in versions:
            continue  # the versions were recorded before this table existed
        ahead = 0 if lake.lacks(shape) else taken_in(lake.open(shape))
        if ahead > (newest := lake.open(EVENTS).version):
            yield f"{shape.name} has followed events to version {ahead} of {newest}: commits of events were lost; restore the lake from a backup"
        done = derived_commits.followed(lake, shape, versions[EVENTS.name], versions.get(shape.name))
        if done != versions[EVENTS.name]:
            yield f"{shape.name} has followed events to version {done} of {versions[EVENTS.name]}; `tollbook run` brings it up to date"


def _gaps(con: duckdb.DuckDBPyConnection) -> Iterator[str]:
    for row in engine.run(con, "gaps").to_pylist():
        yield f"{row['file']}: {row['generation']} continues at {row['from_offset']}, but was read to {row['expected_from']}"


def _stored(con: duckdb.DuckDBPyConnection) -> Iterator[str]:
    for row in duck.rows(engine.run(con, "reads")):
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
        yield f"event {row['event_id']} of source {row['source']} is counted {row['copies']} times; `tollbook settle` keeps the first"


def _withdrawn(con: duckdb.DuckDBPyConnection, files: Mapping[TableShape, list[str]]) -> Iterator[str]:
    if not files[WITHDRAWN]:
        return
    for row in engine.run(con, "withdrawn_wrong").to_pylist():
        yield (
            f"event {row['event_id']} of source {row['source']} was withdrawn {row['times']} times, landed {row['landed']} times, is a "
            f"conflict {row['conflicts']} times, and counts {row['kept']} times; each must be once"
        )


def _differing(con: duckdb.DuckDBPyConnection, span: Mapping[str, datetime]) -> Iterator[str]:
    con.register("folded", engine.run(con, "fold", span))
    for row in duck.rows(engine.run(con, "differing", span)):
        yield (
            f"partner {row['partner_id']}, window {row['window_start']:%Y-%m-%dT%H:%MZ}: "
            f"{row['requests_by_events'] or 0} requests by events, {row['requests_by_rollups'] or 0} by rollups, or other sums differ"
        )
