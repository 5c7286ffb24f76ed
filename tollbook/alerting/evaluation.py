"""Evaluates all detectors at the newest state of a lake, and records what is due in one commit to the ledger."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import duckdb

from aggregate import engine
from aggregate.alerts import ledger
from aggregate.alerts.ledger import Ledger
from aggregate.alerts.reconcile import reconciled
from aggregate.quota import limits
from billing.usage.warehouse import Warehouse
from lake import duck
from lake.errors import Fenced
from lake.lake import Lake
from schemas.alerts import Statement
from schemas.catalog.records import Catalog
from schemas.tables import LETTERS, ROLLUPS, TableShape
from schemas.windows import WINDOW_US, from_us, to_us
from tollbook.alerting.detectors import DETECTORS
from tollbook.alerting.scene import Detector, Scene

_WINDOW = timedelta(microseconds=WINDOW_US)
# Transaction versions of table `alerts`: up to which versions it was evaluated, and by which catalog.
_ROLLUPS_SEEN = "watch-rollups"
_DEAD_SEEN = "watch-dead"
_CATALOG_SEEN = "watch-catalog"
_WINDOW_SEEN = "watch-window"  # the end of the newest window with usage, as a number of windows since the epoch
EPOCH_DAY = date(1970, 1, 1)
_CATALOG_DIGITS = 15  # hexadecimal digits of the catalog's hash: as many as a transaction version holds


def alert(
    lake: Lake, catalog: Catalog, *, now: datetime, detectors: Iterable[Detector] = DETECTORS, follows: bool = False
) -> list[Statement]:
    """Record the statements that are due at the newest state of the lake, each once, and return them.

    Late usage fires alerts in its own period. A limit that is new to the lake takes effect at `now`. If another process
    records statements meanwhile, the comparison is repeated. `follows`: the process goes on reading logs, so a source
    can be behind `now`.
    """
    since = limits.since(lake, catalog, now=now)
    house = Warehouse(lake, lake.consistent_cut(), only=["events", "rollups", "dead", "redriven", "grants"])
    version = house.versions["events"]
    while True:
        book = ledger.read(lake)
        marks = {
            _ROLLUPS_SEEN: house.versions["rollups"],
            _DEAD_SEEN: house.versions["dead"],
            _CATALOG_SEEN: int(catalog.sha256[:_CATALOG_DIGITS], 16),
        }
        scene = scene_of(house, catalog, book, since, now=now, follows=follows)
        if scene.seen_until is not None:
            marks[_WINDOW_SEEN] = to_us(scene.seen_until) // WINDOW_US
        moved = {name: mark for name, mark in marks.items() if book.mark(name) != mark}
        due = _due(scene, book, detectors)
        if not due and not moved:
            return []
        try:
            ledger.record(lake, book.table, due, events_version=version, marks=moved)
        except Fenced:
            continue
        return due


def _due(scene: Scene, book: Ledger, detectors: Iterable[Detector]) -> list[Statement]:
    due = []
    for detector in detectors:
        mine = replace(scene, statements=book.of(detector.kind))
        due += reconciled(
            mine.statements,
            detector.evaluate(mine),
            lambda alert, detector=detector, mine=mine: detector.covers(mine, alert),  # type: ignore[misc]
            events_version=scene.house.versions["events"],
            material=detector.material,
            refuted_by=lambda alert, detector=detector, mine=mine: detector.refuted_by(mine, alert),  # type: ignore[misc]
        )
    return due


def scene_of(
    house: Warehouse,
    catalog: Catalog,
    book: Ledger,
    since: Mapping[limits.Key, datetime],
    *,
    now: datetime,
    follows: bool = False,
) -> Scene:
    """The scene of a pinned lake. What changed is what its tables gained since the marks of the ledger."""
    is_new = book.mark(_CATALOG_SEEN) != int(catalog.sha256[:_CATALOG_DIGITS], 16)
    rollups = _added(house, ROLLUPS, 0 if is_new else book.mark(_ROLLUPS_SEEN) or 0)
    rows = engine.run(rollups, "changed_windows").to_pylist()
    dead = _added(house, LETTERS, 0 if is_new else book.mark(_DEAD_SEEN) or 0)
    refused = (EPOCH_DAY + timedelta(days=row["day"]) for row in engine.run(dead, "refused_days").to_pylist())
    days = {day for row in rows for day in row["days"]} | set(refused)
    (extent,) = house.query("extent").to_pylist()
    last = extent["last_window"]
    return Scene(
        house=house,
        catalog=catalog,
        days=sorted(days),
        seen_until=None if last is None else last.astimezone(UTC) + _WINDOW,
        limits_since=since,
        statements=book.statements,
        now=now,
        grants=house.grants(),
        changed=None if is_new else {row["partner_id"]: row["first_window"].astimezone(UTC) for row in rows},
        seen_before=None if (seen := book.mark(_WINDOW_SEEN)) is None else from_us(seen * WINDOW_US),
        follows=follows,
    )


def _added(house: Warehouse, shape: TableShape, after: int) -> duckdb.DuckDBPyConnection:
    """A connection in which the view of a table has the rows that it gained since a version; 0: all rows.

    It has all rows, too, where a compaction has replaced some of them and its files are gone.
    """
    con = duck.connect()
    lake, newest = house.lake, house.versions[shape.name]
    gained = None if after == 0 else lake.gained(shape, after, newest)
    table = lake.open(shape, newest)
    duck.scan(con, shape.name, table.files() if gained is None else gained, shape, mixed=table.is_mixed)
    return con
