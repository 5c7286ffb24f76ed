"""Landing: from the log to the lake, exactly once. It implements docs/decisions/002-commit-protocol.md.

The steps: the log asks where to begin → read → drop redelivered entries → dedup → write and sync files → one fenced
commit to `events` with rows and next offsets → the derived tables (`rollups`, `dead`, `reads` and others) catch up from
that commit, at once or after a crash.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from aggregate import engine
from aggregate.landing import batch_files, dedup, derived_commits, payloads, redelivery
from aggregate.landing.dedup import CONFLICT, COUNTED, DUPLICATE, DedupIndex, Keys
from aggregate.landing.payloads import Seen
from kernels.dictionaries import together
from lake import duck
from lake.derived_tables import FOLLOWERS
from lake.errors import Fenced, LakeError
from lake.lake import Lake
from schemas.log import Fetched, Log, Origin, Partition, redrive_app
from schemas.tables import DUPLICATES, EVENTS, INGESTED, READS

COMMIT_ENTRIES = 500_000
SETTLE_COMMITS = 8


class Counts(NamedTuple):
    """The outcomes of entries. They balance by construction, as `entries` is their sum."""

    counted: int = 0
    duplicates: int = 0
    conflicts: int = 0
    refused: int = 0

    @property
    def entries(self) -> int:
        """The number of all entries."""
        return sum(self)

    def plus(self, other: "Counts") -> "Counts":
        """The sum of both."""
        return Counts(*(a + b for a, b in zip(self, other, strict=True)))


class Landed(NamedTuple):
    """One commit: its version of `events`, the outcomes of its entries, and the sums of its counted events."""

    version: int
    counts: Counts
    redelivered: int
    open_identities: int
    fold: pa.Table  # schemas.tables.ROLLUPS, of this commit only
    offsets: Mapping[Partition, int]  # the next offset of each partition in it
    outside: Mapping[str, int]  # the number of counted events that the credential's policy does not allow, by mark
    unknown: Mapping[str, Seen]  # refused credentials, by their hash


class Land:
    """The only writer of its partitions.

    After any exception, drop it and create a new one, which continues from the lake.
    """

    def __init__(
        self,
        lake: Lake,
        log: Log,
        *,
        catalog_sha256: str,
        now: Callable[[], datetime],
        commit_entries: int = COMMIT_ENTRIES,
        commit_s: float | None = None,
        on_assigned: Callable[[Sequence[Partition]], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`now` is the start of the age of a refused line's payload if the time of the request is unknown.

        `commit_s` is the maximum time from the end of reading one batch to that of the next, while entries keep
        coming; None: until it is full or the log has ended. It includes the commit in between, but at least half of it
        is for reading.

        `on_assigned` receives newly assigned partitions, after the derived tables are up to date.
        """
        self._lake = lake
        self._log = log
        self._catalog_sha256 = catalog_sha256
        self._commit_entries = commit_entries
        self._commit_s = commit_s
        self._clock = clock
        self._committing_s = 0.0  # how long the last commit took, while which entries may have come
        self._now = now
        self._on_assigned = on_assigned
        self._con = duck.connect()
        self.unsettled = 0  # commits that the derived tables may not have applied
        self._folds: dict[int, pa.Table] = {}
        self._batch: list[Fetched] = []
        self._committed: dict[Partition, int] = {}  # the next offset of each partition in the lake
        self._next: dict[Partition, int | None] = {}  # the next offset to read from the log; None: its beginning
        self._redrives: dict[int, int] = {}  # by events partition: the number of redrives that the dedup index includes
        self._covered: dict[
            tuple[str, str], int
        ] = {}  # (app id, origin) → the offset below which everything was landed
        for shape in (EVENTS, *FOLLOWERS):
            lake.check_log(shape)
        self._table = lake.open(EVENTS)
        self._dedup = DedupIndex(self._load_day)
        log.start(self)

    def assigned(self, partitions: Sequence[Partition]) -> dict[Partition, int | None]:
        """Take over partitions. Their offsets and dedup index come from the lake."""
        self._table = self._lake.open(EVENTS)
        self._check_committed()
        while not self.settle():
            pass  # another worker updates them, too; each attempt completes one of the two
        for partition in partitions:
            offset = self._table.transaction_version(partition.app_id)
            self._next[partition] = offset
            self._committed[partition] = offset or 0
            self._redrives[partition.number] = self._table.transaction_version(redrive_app(partition.number)) or 0
        self._covered = redelivery.covered(self._lake, self._con)
        self._dedup = DedupIndex(self._load_day)
        self._on_assigned(partitions)
        return {partition: self._next[partition] for partition in partitions}

    def revoked(self, partitions: Sequence[Partition]) -> None:
        """Give up partitions. Their next owner reads again what is not in the lake."""
        self._batch = [fetched for fetched in self._batch if fetched.partition not in partitions]
        for partition in partitions:
            self._committed.pop(partition, None)
            self._next.pop(partition, None)
        self._redrives = {n: count for n, count in self._redrives.items() if n in {p.number for p in self._committed}}

    @property
    def offsets(self) -> Mapping[Partition, int]:
        """The next offset of each assigned partition in the lake."""
        return self._committed

    def run(self) -> Iterator[Landed]:
        """Land everything in the log, commit by commit. The derived tables are up to date when it ends."""
        self.settle()
        while landed := self.step():
            yield landed
        while not self.settle():
            pass  # a close, a redrive or a settlement updates them, too; each attempt completes one of the two

    def step(self) -> Landed | None:
        """Read until the batch is full, its time is up, or the log is empty, then commit it.

        None if nothing was read.
        """
        self._read()
        if not self._batch:
            self._committing_s = 0.0
            self._look()
            return None
        begun = self._clock()
        landed = self._commit(self._batch)
        self._batch = []
        self.unsettled += 1
        if self.unsettled >= SETTLE_COMMITS:
            self.settle()
        self._committing_s = self._clock() - begun
        return landed

    def _read(self) -> None:
        """Fill the batch until it is full, its time is up, or the log is empty."""
        limit_s = None if self._commit_s is None else self._commit_s - min(self._committing_s, self._commit_s / 2)
        begun: float | None = None
        while sum(f.entries for f in self._batch) < self._commit_entries:
            fetched = self._log.poll()
            if fetched is None:
                return
            self._take(fetched)
            begun = self._clock() if begun is None else begun
            if limit_s is not None and self._clock() - begun >= limit_s:
                return

    def settle(self) -> bool:
        """Bring the derived tables up to the newest commit of `events`.

        False if another worker was faster with a part of it.
        """
        try:
            derived_commits.catch_up(self._lake, self._con, self._folds)
        except Fenced:
            return False
        self._folds.clear()
        self.unsettled = 0
        return True

    def _take(self, fetched: Fetched) -> None:
        expected = self._next[fetched.partition]
        if expected is not None and fetched.from_offset != expected:
            raise LakeError(
                f"{fetched.partition.file}: the lake continues at {expected}, but the log at {fetched.from_offset}; "
                f"a gap is never skipped, so restore the missing part of the log"
            )
        self._next[fetched.partition] = fetched.to_offset
        self._batch.append(fetched)

    def _commit(self, batch: Sequence[Fetched]) -> Landed:
        fresh = redelivery.fresh(batch, self._covered)
        events = _joined(fresh)
        new = dedup.keys(self._con, events)
        verdicts = self._dedup.classify(new)
        offsets = {f.partition: f.to_offset for f in batch}
        versions = {partition.app_id: offset for partition, offset in offsets.items()}
        versions |= {
            redrive_app(n): self._redrives[n] for n in sorted({f.partition.number for f in fresh if f.events.num_rows})
        }
        with batch_files.writers() as pool:  # they wait for the disk while the rest is computed
            kept, parts = batch_files.write_events(pool, self._lake, events, verdicts == COUNTED, new.day)
            refused = [f.refused for f in fresh if f.refused.num_rows]
            dead = pa.concat_tables([*refused, batch_files.conflicts(events, verdicts)])
            reads = [row | {"catalog_sha256": self._catalog_sha256} for row in _reads(batch, fresh, verdicts)]
            info = {
                READS.name: batch_files.write(self._lake, READS, pa.Table.from_pylist(reads, READS.schema)),
                DUPLICATES.name: batch_files.write(self._lake, DUPLICATES, batch_files.duplicates(events, verdicts)),
                **payloads.write(self._lake, dead, self._now),
                INGESTED.name: batch_files.write(self._lake, INGESTED, pa.concat_tables(f.ingested for f in fresh)),
            }
            fold = engine.run(self._con, "fold", engine.EVER, events=kept)
        before = self._table.version
        self._table = self._table.commit(list(parts), versions=versions, info=info)
        version = self._own(before, versions)
        self._committed |= offsets
        self._check_committed()
        for f in batch:
            redelivery.extend(self._covered, f)
        self._folds[version] = fold
        redelivered = sum(f.entries for f in batch) - sum(f.entries for f in fresh)
        total = Counts(*(sum(row[name] for row in reads) for name in Counts._fields))
        return Landed(
            version,
            total,
            redelivered,
            self._dedup.open_identities,
            fold,
            offsets,
            _outside(kept),
            payloads.by_credential(self._lake, dead),
        )

    def _own(self, before: int, versions: Mapping[str, int]) -> int:
        """The version of the commit that set `versions`.

        It may not be the newest, as another worker may have committed since.
        """
        newer = range(before + 1, self._table.version + 1)
        return next(v for v in newer if self._lake.commit_versions(EVENTS, v) == versions)

    def _look(self) -> None:
        """Detect a redrive while idle: its events must be published, and its keys must be in the dedup index."""
        if not self._lake.is_newest(self._table):
            self._table = self._lake.open(EVENTS)
            self._check_committed()

    def _check_committed(self) -> None:
        """Raise Fenced if a partition moved without this worker.

        The commit would not detect it, as the handle is newer.
        """
        for partition, offset in self._committed.items():
            stored = self._table.transaction_version(partition.app_id) or 0
            if stored != offset:
                raise Fenced(f"{partition.file} is at {stored} in the lake, not at {offset}: another worker owns it")
        for number, count in self._redrives.items():
            if (self._table.transaction_version(redrive_app(number)) or 0) != count:
                raise Fenced(
                    f"a redrive or a settlement has changed which events count in events partition {number}; restart to load them"
                )

    def _load_day(self, day: int) -> Keys:
        return batch_files.known_of_day(self._con, self._table, day, {p.number for p in self._committed})


def _outside(counted: pa.Table) -> dict[str, int]:
    marks = counted["outside"]
    if marks.null_count == len(marks):
        return {}
    found = pc.value_counts(marks.drop_null().cast(pa.string())).to_pylist()
    return {row["values"]: row["counts"] for row in found}


def _joined(batch: Sequence[Fetched]) -> pa.Table:
    """The events of a batch as one table, with their partition."""
    return together(
        *(
            f.events.append_column(
                "events_partition", pa.repeat(pa.scalar(f.partition.number, pa.int16()), f.events.num_rows)
            )
            for f in batch
        )
    )


def _reads(batch: Sequence[Fetched], fresh: Sequence[Fetched], verdicts: npt.NDArray[np.int8]) -> list[dict[str, Any]]:
    """The rows of table `reads`: one for each partition and origin, with merged ranges."""
    spans: dict[Partition, tuple[int, int]] = {}
    for given in batch:
        start, _ = spans.get(given.partition, (given.from_offset, 0))
        spans[given.partition] = (start, given.to_offset)
    reads: dict[tuple[Partition, str], dict[str, Any]] = {}
    done = 0
    for given, taken in zip(batch, fresh, strict=True):
        mine = verdicts[done : done + taken.events.num_rows]
        done += taken.events.num_rows
        counts = _counts(taken, mine)
        before = _entries(given) if taken is not given else {}
        for origin in given.origins:
            generation = origin.generation
            read = reads.setdefault((given.partition, generation), _unread(given, origin, spans[given.partition]))
            read["tail_sha256"] = given.tail_sha256
            read["text_digest"] = given.text_digest or None
            read["file_key"] = given.file_key or None
            read["marks"] = " ".join(filter(None, [read.get("marks"), given.marks])) or None
            read["origin_from"] = min(read["origin_from"], origin.from_offset)
            read["origin_to"] = max(read["origin_to"], origin.to_offset)
            outcome = counts.get(generation, Counts())
            for name, value in outcome._asdict().items():
                read[name] += value
            read["entries"] += outcome.entries
            read["redelivered"] += before.get(generation, outcome.entries) - outcome.entries
    return list(reads.values())


def _unread(given: Fetched, origin: Origin, span: tuple[int, int]) -> dict[str, Any]:
    partition = given.partition
    return {
        "source": partition.source,
        "generation": partition.generation,
        "file": partition.file,
        "head_bytes": given.head_bytes,
        "head_sha256": given.head_sha256,
        "from_offset": span[0],
        "to_offset": span[1],
        "origin": origin.generation,
        "origin_from": origin.from_offset,
        "origin_to": origin.to_offset,
        "entries": 0,
        "redelivered": 0,
        **Counts()._asdict(),
    }


def _counts(taken: Fetched, verdicts: npt.NDArray[np.int8]) -> dict[str, Counts]:
    """The outcomes of the entries of each origin."""
    names, codes = _generations(taken.events)
    outcomes = np.bincount(codes * 3 + verdicts, minlength=3 * len(names)).reshape(-1, 3)
    counts = {
        name: Counts(int(row[COUNTED]), int(row[DUPLICATE]), int(row[CONFLICT]))
        for name, row in zip(names, outcomes, strict=True)
    }
    for name, refused in _tally(taken.refused).items():
        counts[name] = counts.get(name, Counts())._replace(refused=refused)
    return counts


def _entries(given: Fetched) -> dict[str, int]:
    """The number of entries of each origin."""
    events, refused = _tally(given.events), _tally(given.refused)
    return {name: events.get(name, 0) + refused.get(name, 0) for name in {*events, *refused}}


def _tally(rows: pa.Table) -> dict[str, int]:
    names, codes = _generations(rows)
    return dict(zip(names, np.bincount(codes, minlength=len(names)).tolist(), strict=True))


def _generations(rows: pa.Table) -> tuple[list[str], npt.NDArray[np.int64]]:
    """The distinct origins of rows, and the index of each row's origin."""
    column = rows["generation"].combine_chunks()
    coded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    return coded.dictionary.to_pylist(), coded.indices.to_numpy().astype(np.int64)
