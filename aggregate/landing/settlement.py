"""Settlement: an event id is billed once, however far apart its entries are in time (docs/decisions/033-settlement.md).

Land compares an entry with those of the adjacent days. A settlement compares all ids that were landed since the last
one with all ids that were landed before: rows are distributed to buckets on disk by their hash, each bucket is
searched, and equality of the strings decides. Of each id, the event that was landed first is kept. The others are
withdrawn in batches, by commits to `events` that add no rows. Such a commit names the files of `withdrawn` and `dead`,
from which the derived tables also get the negative sums, and increments `redrive/<partition>` of the affected
partitions, so that land restarts with the events that count.
"""

import shutil
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from aggregate import engine
from aggregate.landing import batch_files, derived_commits, payloads
from lake import damage, duck
from lake.derived_tables import FOLLOWERS
from lake.errors import Fenced
from lake.lake import Lake, Table
from schemas.log import redrive_app
from schemas.tables import EVENTS, WITHDRAWN

BUCKET_ROWS = 1_000_000  # in memory at a time, about 200 bytes each
COMMIT_EVENTS = 50_000  # withdrawn by one commit
ATTEMPTS = 200  # each land worker commits every second
_NUMBER = "settlement"  # the Delta application id under which `events` counts the settlements that withdrew events
_SETTLED = (
    "settle/events"  # under this name `withdrawn` holds the commit of events up to which identities were compared
)
_LOCK, _FOLDER = ".settlement.lock", ".settlement"
_MARKS_MAX = 1 << 27  # a byte each
_MARKS_PER_ROW = 8
_ROW_BITS, _ROW_MASK = 32, 0xFFFF_FFFF
_DETAIL = "an event with this id was landed before, with a time that is days away; the first one is kept, and this one is not billed"

I64 = npt.NDArray[np.int64]


class SettlementResult(NamedTuple):
    """The result of a settlement: events landed since the last one, events landed before, and withdrawn events."""

    recent: int
    earlier: int
    withdrawn: int
    version: int  # of `events`, up to which all ids are compared now


def settle(
    lake: Lake,
    *,
    now: Callable[[], datetime],
    bucket_rows: int = BUCKET_ROWS,
    commit_events: int = COMMIT_EVENTS,
    folder: Path | None = None,
) -> SettlementResult:
    """Compare the events landed since the last settlement, and withdraw those counted before.

    Safe to kill and to repeat.

    `bucket_rows` is the number of ids in memory at a time. `folder` is for the buckets, and needs about 100 bytes of
    disk per id; by default it is in the lake's folder. Nothing is written if nothing was landed since. Settlements on
    one machine wait for each other. Raises lake.errors.LakeError (Damaged if a file cannot be read), and Fenced if
    others keep committing.
    """
    lake.check()
    buckets = (folder or lake.root) / _FOLDER
    withdrawn = 0
    with lake.lock(_LOCK, wait=True):  # it protects the buckets
        for _ in range(ATTEMPTS):
            shutil.rmtree(buckets, ignore_errors=True)  # left by a killed settlement
            worker = _Settlement(lake, now, bucket_rows, commit_events, buckets)
            try:
                done = worker.run()
                return done._replace(withdrawn=withdrawn + done.withdrawn)
            except Fenced:
                withdrawn += worker.withdrawn  # another machine settles as well
            finally:
                shutil.rmtree(buckets, ignore_errors=True)
    raise Fenced(f"others committed {ATTEMPTS} times in between")


class _Files(NamedTuple):
    """The files of `events` in landing order: their paths, and the commits that added them."""

    paths: Sequence[str]
    landed: Sequence[int]

    def table(self) -> pa.Table:
        return pa.table(
            {
                "filename": pa.array(self.paths, pa.string()),
                "number": pa.array(range(len(self.paths)), pa.int64()),
                "landed": pa.array(self.landed, pa.int64()),
            }
        )


class _Settlement:
    """A settlement over one state of the lake. Drop it after any exception."""

    def __init__(
        self, lake: Lake, now: Callable[[], datetime], bucket_rows: int, commit_events: int, buckets: Path
    ) -> None:
        self._lake = lake
        self._now = now
        self._bucket_rows = bucket_rows
        self._commit_events = commit_events
        self._buckets = buckets
        self._con = duck.connect()
        for shape in (EVENTS, *FOLLOWERS):
            lake.check_log(shape)
        # Open the handle first: another settlement's commit then fences this one, and the data read below is not older.
        self._table = lake.open(EVENTS)
        derived_commits.settle(self._lake, self._con)
        self._number = self._table.transaction_version(_NUMBER) or 0
        self.withdrawn = 0  # events withdrawn so far

    def run(self) -> SettlementResult:
        """Run the whole settlement. Raises Fenced if another settlement was faster."""
        version = self._table.version
        settled = self._lake.open(WITHDRAWN).transaction_version(_SETTLED) or 0
        files = self._files()
        if not any(landed > settled for landed in files.landed):
            return SettlementResult(0, 0, 0, version)
        duck.scan(self._con, WITHDRAWN.name, self._lake.files(WITHDRAWN), WITHDRAWN)
        with damage.named(lambda: files.paths):
            self._con.register("landed", self._landed(files.paths))
            self._con.register("files", files.table())
            forms = engine.run(self._con, "id_forms", {"settled": settled}).to_pylist()
            taken, kept = self._rivals(forms, settled)
        for start in range(0, len(taken), self._commit_events):
            some = slice(start, start + self._commit_events)
            self._withdraw(files, taken[some], kept[some])
        if len(taken):
            derived_commits.settle(self._lake, self._con)
        table = self._lake.open(WITHDRAWN)
        table.commit([], versions={_SETTLED: version}, info={"settled": [settled, version]})
        recent = sum(row["recent"] + row["recent_derived"] for row in forms)
        earlier = sum(row["earlier"] + row["earlier_derived"] for row in forms)
        return SettlementResult(recent, earlier, self.withdrawn, version)

    def _files(self) -> _Files:
        """The files in landing order. The rows of a compacted file know their own commits."""
        ordered = sorted((file.commit, self._lake.address(EVENTS, file.path)) for file in self._table.listed().values())
        return _Files([path for _, path in ordered], [version for version, _ in ordered])

    def _landed(self, paths: Sequence[str]) -> duckdb.DuckDBPyRelation:
        mixed = self._table.is_mixed
        rows = self._con.read_parquet(list(paths), filename=True, file_row_number=True, union_by_name=mixed)
        return rows if "landed_in" in rows.columns else rows.project("*, NULL::BIGINT AS landed_in")

    def _rivals(self, forms: Sequence[dict[str, int]], settled: int) -> tuple[I64, I64]:
        """The places of events to withdraw, in order, and of those that are kept."""
        # An id that was derived from its place can only equal an id that looks like a derived one.
        chosen = [row for row in forms if row["recent"] or (row["recent_derived"] and row["imitated"])]
        if not chosen:
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        compared = [{"source": row["source"], "with_derived": row["imitated"] > 0} for row in chosen]
        schema = pa.schema([("source", pa.string()), ("with_derived", pa.bool_())])
        self._con.register("compared", pa.Table.from_pylist(compared, schema))
        recent, earlier = (
            sum(row[when] + (row[f"{when}_derived"] if row["imitated"] else 0) for row in chosen)
            for when in ("recent", "earlier")
        )
        buckets = _Buckets(self._buckets, -(-(recent + earlier) // self._bucket_rows), recent)
        for batch in self._identities(settled, self._table.version):
            buckets.add(batch)
        for batch in self._identities(-1, settled):
            buckets.add(buckets.met(batch))
        found = [engine.run(self._con, "rivals", bucket=rows) for rows in buckets if rows.num_rows]
        if not found:
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        pairs = pa.concat_tables(found).sort_by("taken")
        return pairs["taken"].to_numpy(), pairs["kept"].to_numpy()

    def _identities(self, since: int, until: int) -> Iterator[pa.RecordBatch]:
        statement = engine.statement("landed_identities")
        found = self._con.sql(statement, params={"since": since, "until": until})
        return iter(found.to_arrow_reader(self._bucket_rows))

    def _withdraw(self, files: _Files, taken: I64, kept: I64) -> None:
        """Withdraw some events in one commit. Land may commit concurrently, as later events are never the kept ones."""
        with damage.named(lambda: files.paths):
            events, staying = _rows(files, taken), _rows(files, kept)
        number = self._number + 1
        added = {
            **{f"kept_{name}": staying[name] for name in ("generation", "position", "item", "occurred_at")},
            "settlement": pa.repeat(pa.scalar(number, pa.int64()), events.num_rows),
        }
        columns = [added[f.name] if f.name in added else events[f.name] for f in WITHDRAWN.schema]
        rows = pa.table(columns, schema=WITHDRAWN.schema)
        info = {
            WITHDRAWN.name: batch_files.write(self._lake, WITHDRAWN, rows),
            **payloads.write(self._lake, batch_files.conflicting(events, _DETAIL), self._now),
        }
        partitions = rows["events_partition"].unique().to_pylist()
        for _ in range(ATTEMPTS):
            versions = {redrive_app(n): (self._table.transaction_version(redrive_app(n)) or 0) + 1 for n in partitions}
            try:
                self._table = self._table.commit([], versions={_NUMBER: number, **versions}, info=info)
            except Fenced:
                self._table = self._newer()
            else:
                self._number = number
                self.withdrawn += len(taken)
                return
        raise Fenced(f"others committed {ATTEMPTS} times in between")

    def _newer(self) -> Table:
        """A newer handle after concurrent commits of land and redrives. Raises Fenced after another settlement."""
        table = self._lake.open(EVENTS)
        if (table.transaction_version(_NUMBER) or 0) != self._number:
            raise Fenced("another settlement came first")
        return table


class _Buckets:
    """Rows of landed_identities.sql on disk. All rows of an id are in one bucket. Add recent rows first."""

    def __init__(self, folder: Path, count: int, recent: int) -> None:
        self._folder = folder
        self._count = count
        self._marks = np.zeros(min(_MARKS_MAX, recent * _MARKS_PER_ROW), bool)  # a hash filter of recent ids
        folder.mkdir(parents=True, mode=0o700)

    def add(self, batch: pa.RecordBatch) -> None:
        """Append rows to their buckets."""
        identity = batch.column("identity").to_numpy()
        self._marks[self._mark(identity)] = True
        number = identity % np.uint64(self._count)
        order = np.argsort(number, kind="stable")
        bounds = np.searchsorted(number[order], np.arange(self._count + 1, dtype=np.uint64))
        for bucket in np.flatnonzero(np.diff(bounds)):
            mine = batch.take(pa.array(order[bounds[bucket] : bounds[bucket + 1]]))
            # Opened for each batch, as there may be more buckets than a process may have open files.
            with self._path(bucket).open("ab") as file, pa.ipc.new_stream(file, batch.schema) as stream:
                stream.write_batch(mine)

    def met(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The rows that may have an id that was added."""
        return batch.filter(pa.array(self._marks[self._mark(batch.column("identity").to_numpy())]))

    def __iter__(self) -> Iterator[pa.Table]:
        """Each bucket with only the rows whose hash occurs more than once."""
        for bucket in range(self._count):
            if self._path(bucket).exists():
                yield _alike(_read(self._path(bucket)))

    def _mark(self, identity: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
        marks: npt.NDArray[np.uint64] = (identity >> np.uint64(_ROW_BITS)) % np.uint64(len(self._marks))
        return marks

    def _path(self, bucket: int | np.int64) -> Path:
        return self._folder / f"{bucket:06d}.arrows"


def _read(path: Path) -> pa.Table:
    """The rows of all streams that were appended to a file."""
    batches = []
    with pa.memory_map(str(path)) as file:
        while file.tell() < file.size():
            batches += list(pa.ipc.open_stream(file))
    return pa.Table.from_batches(batches)


def _alike(rows: pa.Table) -> pa.Table:
    identity = rows["identity"].to_numpy()
    order = np.argsort(identity)
    equal = identity[order[1:]] == identity[order[:-1]]
    alike = np.append(equal, False) | np.append(False, equal)
    return rows.take(pa.array(order[alike]))


def _rows(files: _Files, places: I64) -> pa.Table:
    """The rows of `events` at the given places, in their order. Columns that a file lacks are null."""
    order = np.argsort(places, kind="stable")
    numbers = places >> _ROW_BITS
    found = []
    for number in np.unique(numbers):
        rows = (places[order] & _ROW_MASK)[numbers[order] == number]
        found.append(pq.ParquetFile(files.paths[number]).read().take(pa.array(rows)))
    back = np.empty_like(order)
    back[order] = np.arange(len(order))
    return pa.concat_tables(found, promote_options="default").take(pa.array(back))
