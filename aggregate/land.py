"""Land: from the log to the lake, exactly once. The commit protocol of docs/decisions/002-commit-protocol.md.

Seek to the lake's offset → read → dedup → write files, fsync → one commit to `events` with rows and next offsets, fenced →
followers (`rollups`, `duplicates`, `dead`, `reads`) catch up from that commit, at once or after a crash.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from aggregate import engine, followers, identities
from aggregate.identities import CONFLICT, COUNTED, DUPLICATE, Identities, Keys
from schemas import lake
from schemas.lake import LakeError, Part
from schemas.log import Fetched, Log, Partition
from schemas.tables import DEAD, DUPLICATES, EVENTS

COMMIT_ENTRIES = 500_000
SETTLE_COMMITS = 8
_EPOCH_DAY = date(1970, 1, 1)
_NAMES = {"counted": COUNTED, "duplicates": DUPLICATE, "conflicts": CONFLICT}


class Counts(NamedTuple):
    """What became of some entries. They balance by construction: entries is their sum."""

    counted: int = 0
    duplicates: int = 0
    conflicts: int = 0
    refused: int = 0

    @property
    def entries(self) -> int:
        """All of them."""
        return sum(self)

    def plus(self, other: "Counts") -> "Counts":
        """Both together."""
        return Counts(*(a + b for a, b in zip(self, other, strict=True)))


class Landed(NamedTuple):
    """One commit: its version of `events`, and what became of its entries."""

    version: int
    counts: Counts
    open_identities: int


class Land:
    """The one writer of some partitions. Drop it after any exception and make a new one: the lake knows where to go on."""

    def __init__(self, root: Path, log: Log, *, catalog_sha256: str, commit_entries: int = COMMIT_ENTRIES) -> None:
        self._root = root
        self._log = log
        self._catalog_sha256 = catalog_sha256
        self._commit_entries = commit_entries
        self._con = engine.connect()
        check_log(root)
        self._table = lake.open_table(root, EVENTS)
        self._identities = Identities(self._load_day)
        self._folds: dict[int, pa.Table] = {}
        self._next: dict[str, int] = {}
        for partition in log.partitions():
            offset = self._table.transaction_version(partition.app_id) or 0
            self._next[partition.app_id] = offset
            log.seek(partition, offset)

    def run(self) -> Iterator[Landed]:
        """Land everything the log has, commit by commit; the followers are up to date when it ends."""
        self.settle()
        commits = 0
        while batch := self._poll():
            yield self._commit(batch)
            commits += 1
            if commits % SETTLE_COMMITS == 0:
                self.settle()
        self.settle()

    def settle(self) -> None:
        """Bring the followers up to the newest commit of `events`."""
        followers.catch_up(self._root, self._con, self._folds)
        self._folds.clear()

    def _poll(self) -> list[Fetched]:
        batch: list[Fetched] = []
        entries = 0
        while entries < self._commit_entries and (fetched := self._log.poll()):
            app = fetched.partition.app_id
            if fetched.from_offset != self._next[app]:
                raise LakeError(
                    f"{fetched.partition.file}: the lake goes on at {self._next[app]}, the log gives {fetched.from_offset}; "
                    f"a gap is never passed over: bring the missing part of the log back"
                )
            self._next[app] = fetched.to_offset
            batch.append(fetched)
            entries += fetched.entries
        return batch

    def _commit(self, batch: Sequence[Fetched]) -> Landed:
        events = pa.concat_tables([f.events for f in batch])
        new = identities.keys(self._con, events)
        verdicts = self._identities.classify(new)
        of = np.repeat(np.arange(len(batch)), [f.events.num_rows for f in batch])
        counts = [
            Counts(
                **{name: int(((of == i) & (verdicts == v)).sum()) for name, v in _NAMES.items()},
                refused=f.refused.num_rows,
            )
            for i, f in enumerate(batch)
        ]
        kept = events.filter(pa.array(verdicts == COUNTED))
        parts = self._write_events(kept, new.day[verdicts == COUNTED])
        duplicates = events.filter(pa.array(verdicts == DUPLICATE)).select(DUPLICATES.schema.names)
        dead = pa.concat_tables(
            [*(f.refused for f in batch), _conflict_letters(events.filter(pa.array(verdicts == CONFLICT)))]
        )
        info = {
            "catalog_sha256": self._catalog_sha256,
            "partitions": _reads(batch, counts),
            DUPLICATES.name: self._write(DUPLICATES, duplicates),
            DEAD.name: self._write(DEAD, dead),
        }
        versions = {f.partition.app_id: f.to_offset for f in batch}
        self._table = lake.commit(self._table, EVENTS, parts, versions=versions, info=info)
        version = self._table.version()
        self._folds[version] = engine.run(self._con, "fold", engine.EVER, events=kept)
        total = Counts()
        for c in counts:
            total = total.plus(c)
        return Landed(version, total, self._identities.open_identities)

    def _write_events(self, kept: pa.Table, days: np.ndarray[Any, Any]) -> list[Part]:
        return [
            lake.write_part(
                self._root, EVENTS, kept.filter(pa.array(days == day)), _EPOCH_DAY + timedelta(days=int(day))
            )
            for day in np.unique(days)
        ]

    def _write(self, shape: Any, rows: pa.Table) -> list[Part]:
        return [lake.write_part(self._root, shape, rows)] if rows.num_rows else []

    def _load_day(self, day: int) -> Keys:
        folder = f"/event_day={_EPOCH_DAY + timedelta(days=day)}/"
        files = sorted(uri.removeprefix("file://") for uri in self._table.file_uris() if folder in uri)
        columns = lake.file_schema(EVENTS).names
        engine.scan(self._con, "stored", files, EVENTS.schema)
        stored = self._con.sql("FROM stored").select(*columns).to_arrow_table()
        return identities.keys(self._con, stored)


def check_log(root: Path) -> None:
    """Raise LakeError unless the newest commit of `events` is whole: its offsets stand in it twice, and agree."""
    names = sorted(p.name for p in (root / EVENTS.name / "_delta_log").glob("*.json"))
    for number, name in enumerate(names):
        path = root / EVENTS.name / "_delta_log" / name
        if path.stat().st_size == 0 or int(name.removesuffix(".json")) != number:
            raise LakeError(
                f"{path} is empty or one before it is missing; restore the lake's events/_delta_log from a backup"
            )
    table = lake.open_table(root, EVENTS)
    last: Mapping[str, Any] = lake.commit_info(root, EVENTS, table.version()) if table.version() else {}
    for read in last.get("partitions", []):
        app = Partition(read["source"], read["generation"], "").app_id
        if table.transaction_version(app) != read["offset_end"]:
            raise LakeError(
                f"commit {table.version()} of events in {root} was cut short: {app} is at {table.transaction_version(app)}, "
                f"its rows go to {read['offset_end']}; restore the lake from a backup"
            )


def _reads(batch: Sequence[Fetched], counts: Sequence[Counts]) -> list[dict[str, Any]]:
    """One record per partition in the batch: the range read and its counts. Ranges of one partition are joined."""
    reads: dict[str, dict[str, Any]] = {}
    for fetched, count in zip(batch, counts, strict=True):
        partition = fetched.partition
        read = reads.setdefault(
            partition.app_id,
            {
                "source": partition.source,
                "generation": partition.generation,
                "head_bytes": fetched.head_bytes,
                "head_sha256": fetched.head_sha256,
                "offset_start": fetched.from_offset,
                "counts": Counts(),
            },
        )
        read |= {
            "file": partition.file,
            "offset_end": fetched.to_offset,
            "tail_sha256": fetched.tail_sha256,
            "counts": read["counts"].plus(count),
        }
    return [{**read, "counts": read["counts"]._asdict()} for read in reads.values()]


def _conflict_letters(events: pa.Table) -> pa.Table:
    """Conflicts as dead letters: the whole normalised entry as it came, in `raw`."""
    rows = []
    for row in events.to_pylist():  # few by nature; each is reported to a person
        shown = {k: v.isoformat() if hasattr(v, "isoformat") else v for k, v in row.items()}
        rows.append(
            {k: row.get(k) for k in DEAD.schema.names}
            | {
                "outcome": "conflict",
                "reason": "ID_CONFLICT",
                "detail": "the same id was counted before with another payload; the first stays",
                "raw": repr(shown).encode(),
                "raw_sha256": None,
            }
        )
    return pa.Table.from_pylist(rows, DEAD.schema)
