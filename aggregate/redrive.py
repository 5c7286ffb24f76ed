"""Redrive: refused entries that were read again enter the lake, each once (docs/decisions/013-redrive.md).

One commit to `events` holds what is counted now, names the rows of `redriven`, and moves the version of `redrive/<partition>`.
Every land commit of the same events partition restates that version: a redrive and a land worker, or two redrives, that work
from the same state of the lake fence each other, and whoever comes second begins again with all that the first has done.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from aggregate import engine, followers, identities, outcomes, texts
from aggregate.identities import COUNTED, Identities
from aggregate.land import Counts
from schemas import lake
from schemas.log import redrive_app
from schemas.tables import DUPLICATES, EVENTS, LETTERS, READS, REDRIVEN, TOPICS

OUTCOMES = ("counted", "duplicate", "conflict")  # by verdict, as table redriven has them
_NUMBER = 0  # the events partition of logs that are files


class Wanted(NamedTuple):
    """Which refused entries: of one source; None: all. Times are those of the events, [since, until)."""

    source: str
    reason: str | None = None
    since: datetime | None = None
    until: datetime | None = None


class Redrive:
    """One redrive over one state of the lake. Drop it after any exception: what is committed is settled, the rest stays refused."""

    def __init__(self, root: Path, *, catalog_sha256: str, now: Callable[[], datetime], dry_run: bool = False) -> None:
        """Brings the followers up to date. Raises schemas.lake.LakeError, Fenced."""
        self._root = root
        self._now = now
        self._catalog_sha256 = catalog_sha256
        self._dry_run = dry_run
        self._con = engine.connect()
        for shape in (EVENTS, *followers.FOLLOWERS):
            lake.check_log(root, shape)
        # The handle first: what is committed after it fences the commit that rests on it, and what is read below is not older.
        self._table = lake.open_table(root, EVENTS)
        followers.catch_up(root, self._con)
        for shape in (LETTERS, REDRIVEN, READS, DUPLICATES, TOPICS):
            engine.scan(self._con, shape.name, lake.pinned_files(root, shape), shape.schema)
        engine.scan(self._con, "events", lake.files(self._table), EVENTS.schema)
        self._redrives = self._table.transaction_version(redrive_app(_NUMBER)) or 0
        self._identities = self._known()

    @property
    def topics(self) -> list[str]:
        """The topics that are landed in this lake."""
        return self._con.sql("SELECT topic FROM topics ORDER BY topic").to_arrow_table()["topic"].to_pylist()  # type: ignore[no-any-return]

    def generations(self, wanted: Wanted) -> dict[str, str | None]:
        """Where letters came from: generation → the file's last name, None of what came by a topic."""
        rows = engine.run(self._con, "letters_by_generation", wanted._asdict()).to_pylist()
        return {row["generation"]: row["file"] for row in rows}

    def letters(self, wanted: Wanted, generation: str) -> pa.Table:
        """The letters of one generation (columns of aggregate/sql/letters.sql), by position and item."""
        for attempt in texts.again():
            with attempt:
                texts.scan(self._root, self._con)
                found = engine.run(self._con, "letters", {**wanted._asdict(), "generation": generation})
        return found

    def entries_at(self, source: str, generation: str, positions: pa.Array) -> Mapping[int, int]:
        """How many entries the lines at some positions were when they were read."""
        params = {"source": source, "generation": generation}
        rows = engine.run(self._con, "entries_at", params, wanted=pa.table({"position": positions})).to_pylist()
        return {row["position"]: row["entries"] for row in rows}

    def settle(self, events: pa.Table, reasons: pa.Array) -> pa.Array:
        """Count entries (schemas.tables.FRESH_EVENTS) that were refused for `reasons`, in one commit; what each became (OUTCOMES).

        Of a dry run nothing is written. Raises Fenced when land, or another redrive, came first.
        """
        events = events.append_column(
            "events_partition", pa.repeat(pa.scalar(_NUMBER, pa.int16()), events.num_rows)
        ).unify_dictionaries()
        new = identities.keys(self._con, events)
        verdicts = self._identities.classify(new)
        became = pa.array(OUTCOMES).take(pa.array(verdicts))
        if not self._dry_run:
            _, parts = outcomes.write_events(self._root, events, verdicts == COUNTED, new.day)
            info = {
                REDRIVEN.name: outcomes.write(self._root, REDRIVEN, self._settled(events, reasons, became)),
                DUPLICATES.name: outcomes.write(self._root, DUPLICATES, outcomes.duplicates(events, verdicts)),
                **texts.write(self._root, outcomes.conflicts(events, verdicts), self._now),
            }
            self._redrives += 1
            before = self._table.version()
            self._table = lake.commit(
                self._table, EVENTS, parts, versions={redrive_app(_NUMBER): self._redrives}, info=info
            )
            if self._table.version() != before + 1:
                self._identities = self._known()  # another's commit lies in between: what it counted is not known yet
        return became

    def end(self) -> None:
        """Let readers see all of it."""
        if not self._dry_run:
            followers.catch_up(self._root, self._con)

    def _known(self) -> Identities:
        return Identities(lambda day: outcomes.known_of_day(self._con, self._table, day, {_NUMBER}))

    def _settled(self, events: pa.Table, reasons: pa.Array, became: pa.Array) -> pa.Table:
        said = {
            "reason": reasons,
            "outcome": became,
            "catalog_sha256": pa.repeat(self._catalog_sha256, events.num_rows),
        }
        return pa.table({name: said[name] if name in said else events[name] for name in REDRIVEN.schema.names}).cast(
            REDRIVEN.schema
        )


def counts_of(became: pa.Array) -> Counts:
    """How many of each outcome."""
    found = {row["values"]: row["counts"] for row in pc.value_counts(became).to_pylist()}
    return Counts(*(found.get(name, 0) for name in OUTCOMES))
