"""Redrive: lands refused entries that were read again, each once (docs/decisions/013-redrive.md).

One commit to `events` adds the counted events, names the files of `redriven`, and increments the version of
`redrive/<partition>` for every events partition. Every land commit of a partition writes this version again, so a
redrive and a land worker, or two redrives, that start from the same state of the lake fence each other. A land worker
that is second restarts with the redrive's events. A redrive that is second checks what was counted meanwhile, and
commits if its own entries are not among it.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from aggregate import engine
from aggregate.landing import batch_files, dedup, derived_commits, payloads
from aggregate.landing.dedup import COUNTED, DedupIndex
from aggregate.landing.land import Counts
from lake import duck
from lake.derived_tables import FOLLOWERS
from lake.errors import Fenced, LakeError
from lake.lake import Lake, Table
from lake.tables import Part
from schemas.kafka.partitions import partitions_of
from schemas.kafka.topics import USAGE_EVENTS
from schemas.log import redrive_app
from schemas.tables import DUPLICATES, EVENTS, INGESTED, LETTERS, READS, REDRIVEN, TOPICS

OUTCOMES = ("counted", "duplicate", "conflict")  # by verdict, as stored in table redriven
ATTEMPTS = 200  # each land worker commits every second; an attempt takes a small part of that


class Wanted(NamedTuple):
    """A filter of refused entries of a source. None means all. Times are those of the events, [since, until)."""

    source: str
    reason: str | None = None
    since: datetime | None = None
    until: datetime | None = None


class Redrive:
    """A redrive over one state of the lake.

    Drop it after any exception: committed entries stay, the others remain refused.
    """

    def __init__(self, lake: Lake, *, catalog_sha256: str, now: Callable[[], datetime], dry_run: bool = False) -> None:
        """Bring the derived tables up to date. Raises lake.errors.LakeError, Fenced."""
        self._lake = lake
        self._now = now
        self._catalog_sha256 = catalog_sha256
        self._dry_run = dry_run
        self._con = duck.connect()
        for shape in (EVENTS, *FOLLOWERS):
            lake.check_log(shape)
        # Open the handle first: later commits then fence this redrive's commit, and the data read below is not older.
        self._table = lake.open(EVENTS)
        derived_commits.settle(lake, self._con)
        for shape in (LETTERS, REDRIVEN, READS, INGESTED, DUPLICATES, TOPICS):
            duck.scan(self._con, shape.name, lake.files(shape), shape)
        duck.scan(self._con, "events", self._table.files(), EVENTS)
        topics = duck.ask(self._con, "SELECT topic, partitions FROM topics ORDER BY topic").to_pylist()
        self.topics = [row["topic"] for row in topics]  # that are landed in this lake
        self._partitions = self._numbers(
            {row["partitions"] for row in topics if row["topic"].endswith(USAGE_EVENTS)} or {1}
        )
        self._redrives = self._versions(self._table)

    def generations(self, wanted: Wanted) -> dict[str, str | None]:
        """The origins of the dead letters: generation → the last name of the file, None for a topic."""
        rows = engine.run(self._con, "letters_by_generation", wanted._asdict()).to_pylist()
        return {row["generation"]: row["file"] for row in rows}

    def letters(self, wanted: Wanted, generation: str) -> pa.Table:
        """The dead letters of one generation (columns of aggregate/sql/letters.sql), sorted by position and item."""
        for attempt in payloads.again():
            with attempt:
                payloads.scan(self._lake, self._con)
                found = engine.run(self._con, "letters", {**wanted._asdict(), "generation": generation})
        return found

    def entries_at(self, source: str, generation: str, positions: pa.Array) -> Mapping[int, int]:
        """The number of entries that the lines of a file at the given positions had when they were read."""
        return self._entries("entries_at", source, generation, positions)

    def entries_in(self, source: str, generation: str, offsets: pa.Array) -> Mapping[int, int]:
        """The number of entries that the records at the given offsets had when they were read."""
        return self._entries("entries_in", source, generation, offsets)

    def settle(self, events: pa.Table, reasons: pa.Array) -> pa.Array:
        """Count entries (schemas.tables.FRESH_EVENTS) that were refused for `reasons`, in one commit.

        Returns their OUTCOMES.

        A dry run writes nothing. Raises Fenced if another redrive was faster, or if land has counted one of these
        entries.
        """
        numbers = partitions_of(events["source"], events["event_id"], len(self._partitions))
        events = events.append_column("events_partition", pa.array(numbers, pa.int16())).unify_dictionaries()
        fresh = events.select(["source", "event_id"])
        # Of all partitions, but only of these entries, as a day may have more keys than fit into memory.
        known = DedupIndex(lambda day: batch_files.met_of_day(self._con, self._table, day, fresh))
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
        """Bring the derived tables up to date for readers."""
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
        """A newer handle after concurrent land commits.

        Raises Fenced if the verdicts on `fresh` are no longer valid.
        """
        table = self._lake.open(EVENTS)
        if self._versions(table) != self._redrives:
            raise Fenced("another redrive or a settlement came first")
        files = self._lake.gained(EVENTS, self._table.version, table.version)
        if files is None:
            raise Fenced("land has committed too often meanwhile; repeat the command")
        duck.scan(self._con, "stored", files, EVENTS)
        if engine.run(self._con, "met", fresh=fresh).num_rows:
            raise Fenced("land has counted one of these entries meanwhile")
        return table

    def _versions(self, table: Table) -> dict[str, int]:
        return {redrive_app(n): table.transaction_version(redrive_app(n)) or 0 for n in self._partitions}

    def _numbers(self, partitions: Collection[int]) -> range:
        """The events partitions: one for a log of files, otherwise those of the topics of events."""
        if len(partitions) > 1:
            raise LakeError(
                f"{self._lake} was landed from topics of events with different numbers of partitions ({', '.join(self.topics)}), so a "
                f"resend could miss its first copy; continue with a new lake"
            )
        return range(*partitions)

    def _entries(self, statement: str, source: str, generation: str, positions: pa.Array) -> Mapping[int, int]:
        params = {"source": source, "generation": generation}
        rows = engine.run(self._con, statement, params, wanted=pa.table({"position": positions})).to_pylist()
        return {row["position"]: row["entries"] for row in rows}

    def _settled(self, events: pa.Table, reasons: pa.Array, became: pa.Array) -> pa.Table:
        added = {
            "reason": reasons,
            "outcome": became,
            "catalog_sha256": pa.repeat(self._catalog_sha256, events.num_rows),
        }
        return pa.table({name: added[name] if name in added else events[name] for name in REDRIVEN.schema.names}).cast(
            REDRIVEN.schema
        )


def counts_of(became: pa.Array) -> Counts:
    """The number of entries with each outcome."""
    found = {row["values"]: row["counts"] for row in pc.value_counts(became).to_pylist()}
    return Counts(*(found.get(name, 0) for name in OUTCOMES))
