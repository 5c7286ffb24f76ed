"""The tables of a lake: made, opened at a version, written to, committed to.

The rule that must hold: a commit is acknowledged only after its data files and its log entry are durable, and a writer
whose snapshot is old is refused, never merged (docs/decisions/002-commit-protocol.md).
"""

import json
import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from lake.delta import checkpoint, commits, cutting, entries, schema, snapshot
from lake.delta.entries import entry_key, log_prefix
from lake.delta.snapshot import NoTable, Snapshot, Unreadable
from lake.errors import Damaged, LakeError
from lake.storage.hashing import HashedFile
from lake.storage.store import Store, exists
from schemas import tables
from schemas.tables import TableShape

MARKER = "tollbook-lake.json"
EARLIER_FORMAT = 2  # which `tollbook lake upgrade` upgrades
FORMAT = 3  # docs/decisions/052-lake-format-3.md
CHECKPOINT_COMMITS = 50  # opening a table of 1,000 commits reads 50 entries at most
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/")  # a path has lost the second slash of a URL
_LOOKS = 5  # at a log that grows, or is cut off, while it is read
_MIXED = "tollbook.mixed"  # property of a table that columns were added to
_ENCODINGS = {tables.TIME: "DELTA_BINARY_PACKED", pa.int64(): "DELTA_BINARY_PACKED"}  # half the time, a tenth smaller


class Part(NamedTuple):
    """One Parquet file that is stored and not yet part of a table."""

    path: str  # relative to the table
    size_bytes: int
    rows: int
    day: str | None
    sha256: str = ""  # "": named by a commit that was made before hashes were recorded


class File(NamedTuple):
    """One file of a version. `sha256` is "" for a file of a commit that was made before hashes were recorded."""

    path: str  # relative to the table
    size_bytes: int | None  # None: not known
    sha256: str
    commit: int  # the one that added it


def local(root: Path) -> None:
    """Raise LakeError for an address (`s3://…`): a lake is a folder of this machine."""
    if found := _SCHEME.match(str(root)):
        raise LakeError(
            f"{found[1]}:// is not supported yet; name a folder of this machine (a mounted file system is one)"
        )


def create(store: Store) -> None:
    """Make a lake with all its tables, or those that it lacks. A place that holds anything else is refused."""
    if not exists(store, MARKER):
        if _holds_other_files(store) and not exists(store, MARKER):  # looked at again: another worker may be making it
            raise LakeError(
                f"`{store}` is not empty and is not a Tollbook lake: it has no `{MARKER}`. Name an empty or a new folder."
            )
        store.replace(MARKER, marker(FORMAT))
    check(store)
    # The marker comes first: a run that dies among the tables leaves a lake that the next run completes.
    for shape in tables.ALL.values():
        if not snapshot.is_table(store, shape.name):
            complete(store, shape)
        elif shape.later:
            widen(store, shape)


def _holds_other_files(store: Store) -> bool:
    try:
        return any(not found.key.startswith(MARKER) for found in store.listing())
    except PermissionError:
        return True


def is_missing(store: Store, shape: TableShape) -> bool:
    """Whether the lake was made before this table existed. Such a table has no rows."""
    return shape.newer and not snapshot.is_table(store, shape.name)


def complete(store: Store, shape: TableShape) -> None:
    """Make a table that is missing."""
    commits.create_table(store, shape.name, shape.schema, shape.partition_by)


def widen(store: Store, shape: TableShape) -> None:
    """Add the columns that came after the lake was made. Existing rows have none of them; nothing is rewritten."""
    for _ in range(_LOOKS):  # another worker may be adding them, too
        table = _readable(store, shape)
        present = _columns(store, shape, table)
        missing = pa.schema([f for f in shape.schema if f.name in shape.later and f.name not in present])
        if not missing.names or commits.add_columns(store, shape.name, table, missing, {_MIXED: "true"}):
            return
    raise LakeError(f"{store.named(shape.name)} lacks columns of this version; repeat the command to add them")


def _columns(store: Store, shape: TableShape, table: Snapshot) -> list[str]:
    try:
        return schema.columns(table.metadata)
    except (KeyError, TypeError, ValueError) as exc:
        log = store.named(log_prefix(shape.name))
        raise Damaged(f"{log} describes no columns that can be read ({exc}); restore it from a backup") from exc


def is_mixed(table: Snapshot) -> bool:
    """Whether some of its files may lack columns that others have."""
    return table.properties.get(_MIXED) == "true"


def marker(number: int) -> bytes:
    """The content of the marker of a lake."""
    return (json.dumps({"format": number}) + "\n").encode()


def format_of(store: Store) -> object:
    """The format that the marker of a lake names. Raises LakeError if there is no marker, or a damaged one."""
    try:
        return json.loads(store.read(MARKER)).get("format")
    except FileNotFoundError:
        raise LakeError(
            f"`{store}` is not a Tollbook lake: `{MARKER}` is missing. Run `tollbook run --lake {store} …` first."
        ) from None
    except (AttributeError, ValueError) as exc:
        raise Damaged(f"{store.named(MARKER)} is damaged ({exc}); restore it from a backup") from exc


def check(store: Store) -> None:
    """Raise LakeError unless there is a lake of this format."""
    found = format_of(store)
    if found == 1:
        raise LakeError(
            f"{store} has lake format 1, in which the text of refused lines cannot be erased; read the logs into a new lake, and keep the "
            f"version of tollbook that made this one for its invoices (docs/operations.md, upgrades)"
        )
    if found == EARLIER_FORMAT:
        raise LakeError(
            f"{store} has lake format {EARLIER_FORMAT}, and this version of tollbook uses format {FORMAT}. Stop all workers, copy the lake, and run "
            f"`tollbook lake upgrade --lake {store} --backup COPY`; issued invoices keep their bytes (docs/lake.md)"
        )
    if found != FORMAT:
        raise LakeError(f"{store} has lake format {found}; this version reads {FORMAT}: upgrade tollbook")


def open_table(store: Store, shape: TableShape, version: int | None = None) -> Snapshot:
    """One version of a table (default: the newest). A commit on it is refused if it has become old.

    Raises LakeError for a newest commit that lacks its last lines: it would keep its rows and forget their offsets.
    """
    check(store)
    table = _readable(store, shape, version)
    if version is None and table.version:
        for app, moved in _statement(store, shape, table.version).get("versions", {}).items():
            if table.apps.get(app) != moved:
                raise Damaged(
                    f"{store.named(entry_key(shape.name, table.version))} was cut short: {app} is at {table.apps.get(app)}, its "
                    f"rows go to {moved}; restore it from a backup, or repair it by docs/operations.md"
                )
    return table


def _readable(store: Store, shape: TableShape, version: int | None = None) -> Snapshot:
    """A version of a table, nothing checked. Raises LakeError."""
    cut = None if version is None else cutting.cut_of(store, shape.name)
    if cut is not None and version == 0:
        return replace(_readable(store, shape), version=0, files={}, apps={}, checkpoint=None)
    if (
        cut is not None
        and version is not None
        and version < cut.version
        and not cutting.pinned_at(store, shape.name, version)
    ):
        raise LakeError(
            f"version {version} of table {shape.name} in {store} was cut off: the versions that closes rest on can be opened, and those "
            f"from {cut.version} on; repeat the command"
        )
    try:
        return _opened(store, shape, version)
    except NoTable as exc:
        raise LakeError(f"table {shape.name} is missing in {store}; restore the lake from a backup") from exc
    except (Unreadable, OSError) as exc:
        keys = [found.key for found in store.listing(log_prefix(shape.name))]
        logged = [key for key in keys if entries.entry_version(key) is not None]
        raise Damaged(
            f"table {shape.name} in {store} cannot be opened ({exc}); its newest commit is "
            f"{store.named(logged[-1]) if logged else 'missing'}: `tollbook verify` says which file is damaged; restore it from a backup, "
            f"or repair it by docs/operations.md"
        ) from exc


def _opened(store: Store, shape: TableShape, version: int | None = None) -> Snapshot:
    """A version of a table, of which the log may be cut off while it is read. Raises NoTable, Unreadable."""
    for _ in range(_LOOKS - 1):
        try:
            return snapshot.read(store, shape.name, version)
        except (Unreadable, NoTable, FileNotFoundError):
            continue
    return snapshot.read(store, shape.name, version)


def is_newest(store: Store, shape: TableShape, table: Snapshot) -> bool:
    """Whether nobody has committed since a table was opened."""
    return not exists(store, entry_key(shape.name, table.version + 1))


def check_log(store: Store, shape: TableShape) -> None:
    """Raise LakeError if a commit of a table is missing or empty.

    An erasable table is checked from its checkpoint on.
    """
    looks = (_wrong_entry(store, shape) for _ in range(_LOOKS))  # a log that grows may be listed with holes
    if all(wrong := look for look in looks):
        raise Damaged(
            f"{wrong} is empty or one before it is missing; restore it from a backup, or repair it by docs/operations.md"
        )


def _wrong_entry(store: Store, shape: TableShape) -> str | None:
    """The first commit of a log that is empty, or that lacks the one before it."""
    cut = None if shape.erasable else cutting.cut_of(store, shape.name)
    listed = list(store.listing(log_prefix(shape.name)))
    summed = (version for found in listed if (version := checkpoint.version_of(found.key)) is not None)
    first = max(summed, default=0) if shape.erasable else 0 if cut is None else cut.version
    logged = [(version, found) for found in listed if (version := entries.entry_version(found.key)) is not None]
    for number, (version, found) in enumerate((each for each in logged if each[0] >= first), first):
        if version != number or found.size_bytes == 0:
            return store.named(found.key)
    return None


def write_part(store: Store, shape: TableShape, rows: pa.Table, day: date | None = None) -> Part:
    """Write `rows` as one durable Parquet file of the table. No version holds it until `commit`.

    `rows` has the table's columns without the partition column, in order; `day` is given for partitioned tables.
    """
    folder = f"event_day={day}/" if day is not None else ""
    path = f"{folder}part-{uuid.uuid4().hex}.parquet"
    columns = file_schema(shape)
    with store.writing(f"{shape.name}/{path}") as new:
        file = HashedFile(new)
        pq.write_table(
            rows.cast(tables.coded(columns)),
            file,
            compression="zstd",
            compression_level=1,
            use_dictionary=[f.name for f in columns if pa.types.is_string(f.type) and f.name != "event_id"],
            column_encoding={
                f.name: _ENCODINGS[f.type]
                for f in columns
                if f.type in _ENCODINGS and rows[f.name].null_count < rows.num_rows
            },
            # Least and greatest of unordered texts help no reader, and finding them takes a quarter of the time.
            write_statistics=[f.name for f in columns if not pa.types.is_string(f.type)],
            store_schema=False,  # coded columns are plain text to whoever reads the file
        )
    return Part(path, file.size_bytes, rows.num_rows, None if day is None else str(day), file.sha256)


def file_schema(shape: TableShape) -> pa.Schema:
    """The columns that are in the Parquet files: the schema without its partition columns."""
    return pa.schema([f for f in shape.schema if f.name not in shape.partition_by])


def commit(
    store: Store,
    shape: TableShape,
    table: Snapshot,
    parts: Sequence[Part],
    *,
    versions: Mapping[str, int],
    info: Mapping[str, Any],
    instead_of: Sequence[str] = (),
    rewritten_at_ms: int | None = None,
) -> Snapshot:
    """Add `parts` and set the transaction `versions` in one durable commit; the table with it.

    `info` is kept as JSON in the commit (`commit_info`), beside the hashes of its files. `instead_of` holds the
    addresses of files that the parts replace: of an erasable table, or with the same rows (`rewritten_at_ms`: the time
    since 1970). Raises Fenced when another writer moved one of `versions`, or replaced files, since `table` was opened:
    a version may only be moved by the worker that read its predecessor.
    """
    assert shape.erasable or not instead_of or rewritten_at_ms is not None
    stated = {"versions": versions, "info": info, "sha256": {part.path: part.sha256 for part in parts if part.sha256}}
    changes = commits.Changes(
        [
            commits.add_action(p.path, p.size_bytes, p.rows, {} if p.day is None else {"event_day": p.day})
            for p in parts
        ],
        [relative(store, shape, file) for file in instead_of],
        versions,
        json.dumps(stated, sort_keys=True),
        shape.partition_by,
        rewritten_at_ms,
    )
    try:
        made = commits.commit(store, shape.name, table, changes)
    except OSError as exc:
        raise LakeError(
            f"{store.named(shape.name)}: the commit could not be written ({exc}); free or repair the disk, then repeat the command"
        ) from exc
    if made.version // CHECKPOINT_COMMITS > table.version // CHECKPOINT_COMMITS:
        return write_checkpoint(store, shape, made)
    return made


def write_checkpoint(store: Store, shape: TableShape, table: Snapshot) -> Snapshot:
    """Sum the log up to a version, durably; the same version, which rests on the checkpoint.

    A checkpoint stays as it is if a close or a cut log rests on it. Raises LakeError when the checkpoint cannot be
    written; what was committed is whole without it.
    """
    cut = cutting.cut_of(store, shape.name)
    if (cut is not None and cut.version == table.version) or cutting.pinned_at(store, shape.name, table.version):
        return table
    try:
        checkpoint.write(
            store, shape.name, table.version, added=list(adds(store, shape, table).values()),
            apps=table.apps, metadata=table.metadata, protocol=table.protocol,
        )  # fmt: skip
    except checkpoint.UNREADABLE as exc:
        if isinstance(exc, FileNotFoundError):  # whoever has cut the log off has made a later one
            return table
        raise LakeError(
            f"{store.named(log_prefix(shape.name))}: the checkpoint of version {table.version} could not be written ({exc}); what was "
            f"committed is whole: free or repair the disk, then repeat the command"
        ) from exc
    return replace(table, files=dict.fromkeys(table.files), checkpoint=table.version)


def pin(store: Store, shape: TableShape, version: int) -> None:
    """List the files of a version, with their hashes, for as long as the lake exists. Durable. Raises LakeError."""
    if version == 0 or cutting.pinned_at(store, shape.name, version):  # version 0 has no files
        return
    write_checkpoint(store, shape, open_table(store, shape, version))
    cutting.pin(store, shape.name, version)


def adds(store: Store, shape: TableShape, table: Snapshot) -> dict[str, entries.Action]:
    """The `add` actions of the files of a version, by path. Raises checkpoint.UNREADABLE."""
    known = {}
    if table.checkpoint is not None:
        found = checkpoint.adds(store.read(checkpoint.key_of(shape.name, table.checkpoint)))
        known = {snapshot.path_of(add): add for add in found}
    return {path: add or known[path] for path, add in table.files.items()}


def listed(store: Store, shape: TableShape, table: Snapshot) -> dict[str, "File"]:
    """The files of a version, by path. Raises Damaged."""
    try:
        return {path: _file(add) for path, add in adds(store, shape, table).items()}
    except checkpoint.UNREADABLE as exc:
        key = checkpoint.key_of(shape.name, table.checkpoint or 0)
        raise Damaged(f"{store.named(key)} cannot be read ({exc}); restore it from a backup") from exc


def _file(add: entries.Action) -> "File":
    kept = add["tags"]
    path = snapshot.path_of(add)
    return File(path, add["size"], kept.get(snapshot.SHA256, ""), int(kept.get(snapshot.COMMIT, 0)))


def commit_info(store: Store, shape: TableShape, version: int) -> dict[str, Any]:
    """The `info` of one commit; {} for commits that carry none (creation, maintenance)."""
    return _statement(store, shape, version).get("info", {})  # type: ignore[no-any-return]


def commit_versions(store: Store, shape: TableShape, version: int) -> dict[str, int]:
    """The transaction versions that one commit moved; {} for commits that moved none."""
    return _statement(store, shape, version).get("versions", {})  # type: ignore[no-any-return]


def _statement(store: Store, shape: TableShape, version: int) -> dict[str, Any]:
    key = entry_key(shape.name, version)
    return entries.statement(entries.read(store, key), store.named(key))


def added_files(store: Store, shape: TableShape, version: int) -> list[str]:
    """The addresses of the files with new rows that one commit added. A compaction adds none."""
    found = entries.of_kind(entries.read(store, entry_key(shape.name, version)), "add")
    return [store.address(f"{shape.name}/{snapshot.path_of(add)}") for add in found if add["dataChange"]]


def is_cut(store: Store, shape: TableShape, version: int) -> bool:
    """Whether the log of a table does not hold a commit any more."""
    cut = cutting.cut_of(store, shape.name)
    return cut is not None and version < cut.version


def gained(store: Store, shape: TableShape, after: int, until: int) -> list[str] | None:
    """The addresses of the files with new rows of the commits in (after, until]; None: some are gone."""
    if is_cut(store, shape, after + 1):
        return None
    found = [file for version in range(after + 1, until + 1) for file in added_files(store, shape, version)]
    prefix = store.address(f"{shape.name}/")
    there = open_table(store, shape).files
    replaced = [file for file in found if file.removeprefix(prefix) not in there]
    return (
        None if any(not exists(store, f"{shape.name}/{relative(store, shape, file)}") for file in replaced) else found
    )


def files(store: Store, shape: TableShape, table: Snapshot) -> list[str]:
    """The addresses of all files of a version, sorted: what DuckDB is given."""
    prefix = store.address(f"{shape.name}/")
    return [prefix + path for path in sorted(table.files)]


def relative(store: Store, shape: TableShape, address: str) -> str:
    """The path of a file within its table, by its address."""
    return address.removeprefix(store.address(f"{shape.name}/"))
