"""A lake, opened once and passed on: its tables, what their logs say, and the files that they name.

Code outside this package reads and writes the lake through this object. Only the store below it knows where the bytes
are and how they are made durable.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from lake import commit_log, credentials, derived_tables, expire, tables
from lake.commit_log import History
from lake.delta.snapshot import Snapshot
from lake.errors import LakeError
from lake.storage.local import LocalStore
from lake.storage.store import Store, exists
from lake.tables import File, Part
from lake.upkeep import compaction, stats, upgrade, vacuum
from lake.upkeep.compaction import Compacted
from lake.upkeep.groups import GROUP_BYTES, MIN_FILES
from lake.upkeep.stats import TableStats
from lake.upkeep.upgrade import Upgraded
from lake.upkeep.vacuum import GRACE, KEPT_COMMITS
from schemas.tables import ALL, TableShape

DOCUMENTS = "documents"


@dataclass(frozen=True)
class Table:
    """A table at one version. A commit is refused if another writer has moved one of its transaction versions."""

    store: Store
    shape: TableShape
    snapshot: Snapshot

    @property
    def version(self) -> int:
        """The number of commits up to here; 0: the table was only made."""
        return self.snapshot.version

    @property
    def is_mixed(self) -> bool:
        """Whether some of its files may lack columns that others have."""
        return tables.is_mixed(self.snapshot)

    def files(self) -> list[str]:
        """The addresses of its files, sorted: what DuckDB is given."""
        return tables.files(self.store, self.shape, self.snapshot)

    def listed(self) -> dict[str, File]:
        """Its files, by their paths within the table, with their hashes and the commits that added them."""
        return tables.listed(self.store, self.shape, self.snapshot)

    def transaction_version(self, app: str) -> int | None:
        """How far `app` has come at this version; None: it was never moved."""
        return self.snapshot.apps.get(app)

    def commit(
        self,
        parts: Sequence[Part],
        *,
        versions: Mapping[str, int],
        info: Mapping[str, Any],
        instead_of: Sequence[str] = (),
        rewritten_at_ms: int | None = None,
    ) -> "Table":
        """Add `parts` and set the transaction `versions` in one durable commit; the table with it.

        Details: lake.tables.commit. Raises Fenced, LakeError.
        """
        made = tables.commit(
            self.store, self.shape, self.snapshot, parts, versions=versions, info=info, instead_of=instead_of,
            rewritten_at_ms=rewritten_at_ms,
        )  # fmt: skip
        return Table(self.store, self.shape, made)


class Lake:
    """The lake in a store, or in a folder of this machine. It need not exist yet. Methods raise LakeError."""

    def __init__(self, place: Path | Store) -> None:
        self._store = LocalStore(place) if isinstance(place, Path) else place

    def __str__(self) -> str:
        """As it was named, for messages."""
        return str(self._store)

    @property
    def root(self) -> Path:
        """The folder of the lake. A lake in another store has none."""
        if (folder := self._store.folder()) is None:
            raise LakeError(f"{self} is not in a folder of this machine, which this command needs")
        return folder

    def create(self) -> None:
        """Make the lake with all its tables, or those that it lacks. A place that holds anything else is refused."""
        tables.create(self._store)

    def check(self) -> None:
        """Refuse what is not a lake of this format."""
        tables.check(self._store)

    # Tables.

    def open(self, shape: TableShape, version: int | None = None) -> Table:
        """A table at one version, default the newest."""
        return Table(self._store, shape, tables.open_table(self._store, shape, version))

    def lacks(self, shape: TableShape) -> bool:
        """Whether the lake was made before this table existed. Such a table has no rows."""
        return tables.is_missing(self._store, shape)

    def has_folder(self, shape: TableShape) -> bool:
        """Whether there is anything of a table."""
        return next(iter(self._store.listing(f"{shape.name}/")), None) is not None

    def folder(self, shape: TableShape) -> str:
        """The place of a table, for messages."""
        return self._store.named(shape.name)

    def add_table(self, shape: TableShape) -> None:
        """Make a table that the lake lacks."""
        tables.complete(self._store, shape)

    def widen(self, shape: TableShape) -> None:
        """Add the columns that came after the lake was made. Existing rows hold null; nothing is rewritten."""
        tables.widen(self._store, shape)

    def is_newest(self, table: Table) -> bool:
        """Whether nobody has committed since a table was opened."""
        return tables.is_newest(self._store, table.shape, table.snapshot)

    # Files.

    def files(self, shape: TableShape, version: int | None = None) -> list[str]:
        """The addresses of all files of a version (default: the newest), sorted: what DuckDB is given."""
        return self.open(shape, version).files()

    def address(self, shape: TableShape, path: str) -> str:
        """The address of a file that a commit names by its path within the table."""
        return self._store.address(f"{shape.name}/{path}")

    def has_file(self, shape: TableShape, path: str) -> bool:
        """Whether a file exists that a commit names. In an erasable table it may have been replaced."""
        return exists(self._store, f"{shape.name}/{path}")

    def write(self, shape: TableShape, rows: pa.Table, day: date | None = None) -> Part:
        """Write rows as one durable Parquet file of a table. No version holds it until a commit names it."""
        return tables.write_part(self._store, shape, rows, day)

    def size(self, file: str) -> int:
        """The number of bytes of a file, by its address. Raises FileNotFoundError."""
        return self._store.stat(file.removeprefix(self._store.address(""))).size_bytes

    # Single commits.

    def added_files(self, shape: TableShape, version: int) -> list[str]:
        """The addresses of the files that one commit added."""
        return tables.added_files(self._store, shape, version)

    def gained(self, shape: TableShape, after: int, until: int) -> list[str] | None:
        """The addresses of the files with new rows of the commits in (after, until].

        None: a part of the log was cut, or files were replaced and deleted. Read the whole version then.
        """
        return tables.gained(self._store, shape, after, until)

    def is_cut(self, shape: TableShape, version: int) -> bool:
        """Whether the log of a table does not hold a commit any more."""
        return tables.is_cut(self._store, shape, version)

    def commit_info(self, shape: TableShape, version: int) -> dict[str, Any]:
        """The `info` of one commit; {} for commits that carry none (creation, maintenance)."""
        return tables.commit_info(self._store, shape, version)

    def commit_versions(self, shape: TableShape, version: int) -> dict[str, int]:
        """The transaction versions that one commit moved; {} for commits that moved none."""
        return tables.commit_versions(self._store, shape, version)

    # The state of several tables, and its proof.

    def consistent_cut(self) -> dict[str, int]:
        """Table name → version: the newest version of `events` that all derived tables hold (lake.derived_tables)."""
        return derived_tables.consistent_cut(self._store)

    def check_log(self, shape: TableShape) -> None:
        """Refuse a table of which a commit is missing or empty."""
        tables.check_log(self._store, shape)

    def history(self, shape: TableShape, version: int | None = None) -> History:
        """A table up to a version (default: the newest), by its log alone."""
        return commit_log.read(self._store, shape, version)

    def problems_behind(self, shape: TableShape, version: int) -> Iterator[str]:
        """What commits after a version do that the product never does."""
        return commit_log.problems_behind(self._store, shape, version)

    def opening_problems(self, shape: TableShape, found: History) -> Iterator[str]:
        """Where a version opens otherwise than its log says: its checkpoint is damaged."""
        return commit_log.opening(self._store, shape, found)

    def changed_files(self, shape: TableShape, found: History) -> Iterator[str]:
        """Files that are missing or are not what was written. Reads all of them."""
        return commit_log.changed(self._store, shape, found)

    def changed_texts(self) -> Iterator[str]:
        """The same of table `texts`, of which an erasure may replace files meanwhile."""
        return commit_log.changed_texts(self._store)

    # Upkeep.

    def pin(self, versions: Mapping[str, int]) -> None:
        """List the files of these table versions with their hashes, durably. They are never deleted."""
        for name, version in versions.items():
            if name in ALL and not self.lacks(ALL[name]):
                tables.pin(self._store, ALL[name], version)

    def compact(
        self, shape: TableShape, *, now: datetime, min_files: int = MIN_FILES, group_bytes: int = GROUP_BYTES,
        go_on: Callable[[], bool] = lambda: True,
    ) -> Iterator[Compacted]:  # fmt: skip
        """Rewrite small files of a table as large ones (lake.upkeep.compaction)."""
        return compaction.compact(
            self._store, shape, now=now, min_files=min_files, group_bytes=group_bytes, go_on=go_on
        )

    def delete_replaced(self, shape: TableShape, *, now: datetime, grace: timedelta = GRACE) -> int:
        """Delete the files of a table that compactions have replaced longer ago than `grace`; how many."""
        listed = compaction.pinned_paths(self._store, shape)
        return vacuum.delete_replaced(self._store, shape, now=now, listed=listed, grace=grace)

    def cut_log(self, shape: TableShape, *, needed_from: int, kept: int = KEPT_COMMITS) -> int:
        """Delete the entries of a table's log but the last `kept` and those after `needed_from`; how many."""
        return vacuum.cut_log(self._store, shape, needed_from=needed_from, kept=kept)

    def stats(self, *, now: datetime) -> list[TableStats]:
        """Figures of each table, from its log (lake.upkeep.stats)."""
        return list(stats.stats(self._store, now=now))

    def upgrade(self, *, copy: Path | None, progress: Callable[[str], None]) -> Upgraded:
        """Upgrade a lake of the format before, after a look at its copy (lake.upkeep.upgrade)."""
        if copy is not None:
            upgrade.check_copy(self._store, LocalStore(copy))
        return upgrade.upgrade(self._store, progress=progress)

    # Erasing.

    def forget(self, shape: TableShape, *, since: int | None = None) -> int:
        """Delete what commits to an erasable table have replaced, and the log that names it (lake.expire)."""
        return expire.forget(self._store, shape, since=since)

    def orphans(self, shape: TableShape, *, written_before_us: int) -> list[str]:
        """The addresses of files of an erasable table that are in no version, and were written before this time."""
        return expire.orphans(self._store, shape, written_before_us)

    def delete(self, shape: TableShape, files: Sequence[str]) -> None:
        """Delete files that are in no version, durably."""
        expire.delete(self._store, shape, files)

    # The rest.

    @property
    def documents(self) -> Path:
        """The folder of issued documents."""
        return self.root / DOCUMENTS

    def give_key(self, key: bytes) -> None:
        """Set the key of a new lake, so that its hashes of credentials are those of another lake."""
        self._store.replace(credentials.KEY, credentials.encoded(key))

    def credential_hashes(self, refused: pa.Array) -> pa.Array:
        """The hash of each credential by the lake's key; null where there is none."""
        return credentials.hashes(self._store, refused)

    def lock(self, name: str, *, wait: bool = False) -> AbstractContextManager[None]:
        """Hold a lock of the lake among the processes of this machine. Raises lake.lock.Taken, unless `wait`."""
        return self._store.lock(name, wait=wait)
