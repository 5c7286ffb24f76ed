"""Redrive: refused entries that were read again enter the lake, each once (docs/decisions/013-redrive.md).

One commit to `events` holds what is counted now, names the rows of `redriven`, and moves the version of `redrive/<partition>` of
every events partition. Every land commit of a partition restates its version: a redrive and a land worker, or two redrives, that
work from the same state of the lake fence each other. A land worker that comes second begins again with all that the redrive has
done. A redrive that comes second looks at what was counted meanwhile, and commits if that is none of its own.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from aggregate import engine
from aggregate.landing import batch_files, dedup, derived_commits, payloads
from aggregate.landing.dedup import COUNTED, Identities
from aggregate.landing.land import Counts
from lake import duck
from lake.derived_tables import FOLLOWERS
from lake.lake import Lake, Table
from lake.tables import Fenced, LakeError, Part
from schemas.kafka.partitions import partitions_of
from schemas.kafka.topics import USAGE_EVENTS
from schemas.log import redrive_app
from schemas.tables import DUPLICATES, EVENTS, INGESTED, LETTERS, READS, REDRIVEN, TOPICS

OUTCOMES = ("counted", "duplicate", "conflict")  # by verdict, as table redriven has them
ATTEMPTS = 200  # land workers commit every second, each for itself; a turn takes a small part of that


class Wanted(NamedTuple):
    """Which refused entries: of one source; None: all. Times are those of the events, [since, until)."""

    source: str
    reason: str | None = None
    since: datetime | None = None
    until: datetime | None = None


class Redrive:
    """One redrive over one state of the lake. Drop it after any exception: what is committed is settled, the rest stays refused."""

    def __init__(self, lake: Lake, *, catalog_sha256: str, now: Callable[[], datetime], dry_run: bool = False) -> None:
        """Brings the followers up to date. Raises lake.tables.LakeError, Fenced."""
        self._lake = lake
        self._now = now
        self._catalog_sha256 = catalog_sha256
        self._dry_run = dry_run
        self._con = duck.connect()
        for shape in (EVENTS, *FOLLOWERS):
            lake.check_log(shape)
        # The handle first: what is committed after it fences the commit that rests on it, and what is read below is not older.
        self._table = lake.open(EVENTS)
        derived_commits.settle(lake, self._con)
        for shape in (LETTERS, REDRIVEN, READS, INGESTED, DUPLICATES, TOPICS):
            duck.scan(self._con, shape.name, lake.files(shape), shape)
        duck.scan(self._con, "events", self._table.files(), EVENTS)
        topics = duck.ask(self._con, "SELECT topic, partitions FROM topics ORDER BY topic").to_pylist()
        self.topics = [row["topic"] for row in topics]  # those that are landed in this lake
        self._partitions = self._numbers(
            {row["partitions"] for row in topics if row["topic"].endswith(USAGE_EVENTS)} or {1}
        )
        self._redrives = self._versions(self._table)

    def generations(self, wanted: Wanted) -> dict[str, str | None]:
        """Where letters came from: generation → the file's last name, None of what came by a topic."""
        rows = engine.run(self._con, "letters_by_generation", wanted._asdict()).to_pylist()
        return {row["generation"]: row["file"] for row in rows}

    def letters(self, wanted: Wanted, generation: str) -> pa.Table:
        """The letters of one generation (columns of aggregate/sql/letters.sql), by position and item."""
        for attempt in payloads.again():
            with attempt:
                payloads.scan(self._lake, self._con)
                found = engine.run(self._con, "letters", {**wanted._asdict(), "generation": generation})
        return found

    def entries_at(self, source: str, generation: str, positions: pa.Array) -> Mapping[int, int]:
        """How many entries the lines of a file at some positions were when they were read."""
        return self._entries("entries_at", source, generation, positions)

    def entries_in(self, source: str, generation: str, offsets: pa.Array) -> Mapping[int, int]:
        """How many entries the records at some offsets were when they were read."""
        return self._entries("entries_in", source, generation, offsets)

    def settle(self, events: pa.Table, reasons: pa.Array) -> pa.Array:
        """Count entries (schemas.tables.FRESH_EVENTS) that were refused for `reasons`, in one commit; what each became (OUTCOMES).

        Of a dry run nothing is written. Raises Fenced when another redrive came first, or land counted one of these entries.
        """
        numbers = partitions_of(events["source"], events["event_id"], len(self._partitions))
        events = events.append_column("events_partition", pa.array(numbers, pa.int16())).unify_dictionaries()
        fresh = events.select(["source", "event_id"])
        # Of all partitions, but of these entries alone: a day may hold more than fits into memory.
        known = Identities(lambda day: batch_files.met_of_day(self._con, self._table, day, fresh))
        new = dedup.keys(self._con, events)
        verdicts = known.classify(new)
        became = pa.array(OUTCOMES).take(pa.array(verdicts))
        if not self._dry_run:
            with batch_files.writers() as pool:
                _, parts = batch_files.write_events(pool, self._lake, events, verdicts == COUNTED, new.day)
                info = {
                    REDRIVEN.name: batch_files.write(self._lake, REDRIVEN, self._settled(events, reasons, became)),
                    DUPLICATES.name: batch_files.write(
                        self._lake, DUPLICATES, batch_files.duplicates(events, verdicts)
                    ),
                    **payloads.write(self._lake, batch_files.conflicts(events, verdicts), self._now),
                }
            self._commit(fresh, list(parts), info)
        return became

    def end(self) -> None:
        """Let readers see all of it."""
        if not self._dry_run:
            derived_commits.settle(self._lake, self._con)

    def _commit(self, fresh: pa.Table, parts: Sequence[Part], info: Mapping[str, Any]) -> None:
        moved = {app: version + 1 for app, version in self._redrives.items()}
        for _ in range(ATTEMPTS):
            try:
                self._table = self._table.commit(parts, versions=moved, info=info)
            except Fenced:
                self._table = self._newer(fresh)
            else:
                self._redrives = moved
                return
        raise Fenced(f"land workers committed {ATTEMPTS} times in between")

    def _newer(self, fresh: pa.Table) -> Table:
        """A handle on what land has done meanwhile; the verdicts on `fresh` rest on it as well. Raises Fenced if they do not."""
        table = self._lake.open(EVENTS)
        if self._versions(table) != self._redrives:
            raise Fenced("another redrive or a settlement came first")
        newer = range(self._table.version + 1, table.version + 1)
        files = [file for version in newer for file in self._lake.added_files(EVENTS, version)]
        duck.scan(self._con, "stored", files, EVENTS)
        if engine.run(self._con, "met", fresh=fresh).num_rows:
            raise Fenced("land has counted one of these entries meanwhile")
        return table

    def _versions(self, table: Table) -> dict[str, int]:
        return {redrive_app(n): table.transaction_version(redrive_app(n)) or 0 for n in self._partitions}

    def _numbers(self, partitions: Collection[int]) -> range:
        """The events partitions: one where files are the log, else those of the topics of events, which all have the same."""
        if len(partitions) > 1:
            raise LakeError(
                f"{self._lake} was landed from topics of events with different numbers of partitions ({', '.join(self.topics)}): a resend "
                f"would miss its first copy; go on with a new lake"
            )
        return range(*partitions)

    def _entries(self, statement: str, source: str, generation: str, positions: pa.Array) -> Mapping[int, int]:
        params = {"source": source, "generation": generation}
        rows = engine.run(self._con, statement, params, wanted=pa.table({"position": positions})).to_pylist()
        return {row["position"]: row["entries"] for row in rows}

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
