"""The lake on disk: open its tables, append durably, and list the files of a pinned version.

The rule that must hold: a commit is acknowledged only after its data files, its log entry and both directories are on
disk, and a writer whose snapshot is old is refused, never merged (docs/decisions/002-commit-protocol.md).
"""

import contextlib
import hashlib
import hmac
import json
import re
import secrets
import uuid
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable, PostCommitHookProperties
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from deltalake.schema import Field, PrimitiveType
from deltalake.transaction import AddAction, CommitProperties, RemoveAction, Transaction

from lake import atomic_file
from lake.atomic_file import sync
from lake.hashing import HashedFile
from schemas import tables
from schemas.tables import TableShape

MARKER = "tollbook-lake.json"
KEY = "tollbook-lake.key"  # by which credentials are hashed; secret, of this lake alone
_KEY_BYTES = 32
FORMAT = 2  # 1 kept the text of dead letters in table dead, on which closes rest
CHECKPOINT_COMMITS = 50  # opening a table of 1,000 commits took 240 ms without, 10 with
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/")  # a path has lost the second slash of a URL
_LOOKS = 5  # at a log that grows, or is cut off, while it is looked at
_INFO = "tollbook"
_MIXED = "tollbook.mixed"  # property of a table that columns were added to
_ENCODINGS = {tables.TIME: "DELTA_BINARY_PACKED", pa.int64(): "DELTA_BINARY_PACKED"}  # half the time, a tenth smaller

# Types that columns which came later may have.
_DELTA_TYPES = {pa.string(): "string", pa.int64(): "long", pa.bool_(): "boolean", tables.TIME: "timestamp"}


class LakeError(Exception):
    """The folder is no usable lake. The message names the folder and the remedy."""


class Damaged(LakeError):
    """A file of the lake is not what was written, or is gone. The message names it and the remedy."""


class Fenced(Exception):
    """Another writer committed first. Drop all state, reopen, read the offsets again."""


class Part(NamedTuple):
    """One Parquet file that is on disk and not yet part of a table."""

    path: str  # relative to the table
    size_bytes: int
    rows: int
    day: str | None
    sha256: str = ""  # "": named by a commit that was made before hashes were recorded


def local(root: Path) -> None:
    """Raise LakeError for an address (`s3://…`): a lake is a folder of this machine."""
    if found := _SCHEME.match(str(root)):
        raise LakeError(
            f"{found[1]}:// is not supported yet; name a folder of this machine (a mounted file system is one)"
        )


def create(root: Path) -> None:
    """Make `root` a lake with all its tables. An existing lake is left as it is; another non-empty folder is refused."""
    local(root)
    if not (root / MARKER).exists():
        foreign = root.exists() and any(not p.name.startswith((MARKER, f".{MARKER}")) for p in root.iterdir())
        if foreign and not (root / MARKER).exists():  # looked at again: another worker may be making it
            raise LakeError(f"{root} is not empty and no Tollbook lake (no {MARKER}); name an empty or a new folder")
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        atomic_file.replace(root / MARKER, (json.dumps({"format": FORMAT}) + "\n").encode())
    check(root)
    # The marker comes first: a run that dies among the tables leaves a lake that the next run completes.
    for shape in tables.ALL.values():
        if not DeltaTable.is_deltatable(str(root / shape.name)):
            _create_table(root / shape.name, shape)
        elif shape.later:
            widen(root, shape)
    sync(root)


def is_missing(root: Path, shape: TableShape) -> bool:
    """Whether the lake was made before this table was known, and has not been written to since: then the table has no rows."""
    return shape.newer and not DeltaTable.is_deltatable(str(root / shape.name))


def complete(root: Path, shape: TableShape) -> None:
    """Make a table that is missing."""
    _create_table(root / shape.name, shape)
    sync(root)


def _create_table(path: Path, shape: TableShape) -> None:
    DeltaTable.create(
        path,
        shape.schema,
        mode="ignore",
        partition_by=list(shape.partition_by),
        configuration={"delta.enableExpiredLogCleanup": "false"},
    )
    for made in (path / "_delta_log" / f"{0:020d}.json", path / "_delta_log", path):
        sync(made)


def widen(root: Path, shape: TableShape) -> None:
    """Add the columns that came after the lake was made. Rows that are there have none of them; nothing is rewritten."""
    for last in (False, False, True):  # another worker may be adding them, too
        table = DeltaTable(root / shape.name)
        there = {field.name for field in table.schema().fields}
        missing = [
            Field(f.name, PrimitiveType(_DELTA_TYPES[f.type]))
            for f in shape.schema
            if f.name in shape.later and f.name not in there
        ]
        if not missing:
            return
        before = table.version()
        try:
            table.alter.set_table_properties({_MIXED: "true"}, raise_if_not_exists=False)
            table.alter.add_columns(missing)
        except DeltaError as exc:
            if last:
                raise LakeError(
                    f"{root / shape.name} lacks columns of this version, and they cannot be added ({exc})"
                ) from exc
        for version in range(before + 1, DeltaTable(root / shape.name).version() + 1):
            sync(entry_path(root, shape, version))
        sync(root / shape.name / "_delta_log")


def is_mixed(table: DeltaTable) -> bool:
    """Whether some of its files may lack columns that others have."""
    return bool(table.metadata().configuration.get(_MIXED) == "true")


def check(root: Path) -> None:
    """Raise LakeError unless `root` is a lake of this format."""
    local(root)
    try:
        marker = json.loads((root / MARKER).read_text())
    except FileNotFoundError:
        raise LakeError(
            f"{root} is no Tollbook lake: {MARKER} is missing; run `tollbook run --lake {root} …` first"
        ) from None
    except ValueError as exc:
        raise Damaged(f"{root / MARKER} is damaged ({exc}); restore it from a backup") from exc
    if marker.get("format") == 1:
        raise LakeError(
            f"{root} has lake format 1, in which the text of refused lines cannot be erased; read the logs into a new lake, and keep the "
            f"version of tollbook that made this one for its invoices (docs/operations.md, upgrades)"
        )
    if marker.get("format") != FORMAT:
        raise LakeError(f"{root} has lake format {marker.get('format')}; this version reads {FORMAT}: upgrade tollbook")


def open_table(root: Path, shape: TableShape, version: int | None = None) -> DeltaTable:
    """A handle on one version (default: the newest). Appending with it is refused if the snapshot has become old.

    Raises LakeError for a newest commit that lacks its last lines: it would keep its rows and forget their offsets.
    """
    check(root)
    try:
        table = opened(root / shape.name, shape, version)
    except TableNotFoundError as exc:
        raise LakeError(f"table {shape.name} is missing in {root}; restore the lake from a backup") from exc
    except (DeltaError, ValueError, OSError) as exc:
        log = root / shape.name / "_delta_log"
        entries = sorted(log.glob("*.json"))
        raise Damaged(
            f"table {shape.name} in {root} cannot be opened ({(str(exc).splitlines() or [type(exc).__name__])[0]}); its newest commit is "
            f"{entries[-1] if entries else 'missing'}: `tollbook verify` says which file is damaged; restore it from a backup, or repair it by "
            f"docs/operations.md"
        ) from exc
    if version is None and table.version():
        for app, moved in _said(root, shape, table.version()).get("versions", {}).items():
            if table.transaction_version(app) != moved:
                raise Damaged(
                    f"{entry_path(root, shape, table.version())} was cut short: {app} is at {table.transaction_version(app)}, its "
                    f"rows go to {moved}; restore it from a backup, or repair it by docs/operations.md"
                )
    return table


def is_newest(root: Path, shape: TableShape, table: DeltaTable) -> bool:
    """Whether nobody has committed since a handle was opened."""
    return not entry_path(root, shape, table.version() + 1).exists()


def opened(path: Path, shape: TableShape, version: int | None = None) -> DeltaTable:
    """A handle on a table that is there, nothing checked."""
    if shape.erasable:
        for _ in range(1, _LOOKS):
            with contextlib.suppress(DeltaError):
                return DeltaTable(path, version=version)
    return DeltaTable(path, version=version)


def check_log(root: Path, shape: TableShape) -> None:
    """Raise LakeError unless every commit of a table is there and none is empty; of an erasable table from its checkpoint on."""
    log = root / shape.name / "_delta_log"
    looks = (_wrong_entry(log, shape) for _ in range(_LOOKS))  # a folder that grows may be listed with holes
    if all(wrong := look for look in looks):
        raise Damaged(
            f"{wrong} is empty or one before it is missing; restore it from a backup, or repair it by docs/operations.md"
        )


def _wrong_entry(log: Path, shape: TableShape) -> Path | None:
    """The first commit of a log that is empty, or that lacks the one before it."""
    first = max(checkpoints(log), default=0) if shape.erasable else 0
    paths = [path for path in sorted(log.glob("*.json")) if int(path.stem) >= first]
    for number, path in enumerate(paths, first):
        try:
            if int(path.stem) != number or path.stat().st_size == 0:
                return path
        except FileNotFoundError:
            return path
    return None


def write_part(root: Path, shape: TableShape, rows: pa.Table, day: date | None = None) -> Part:
    """Write `rows` as one Parquet file of the table, and fsync it and its folder. No version holds it until `commit`.

    `rows` has the table's columns without the partition column, in order; `day` is given for partitioned tables.
    """
    folder = f"event_day={day}/" if day is not None else ""
    path = f"{folder}part-{uuid.uuid4().hex}.parquet"
    target = root / shape.name / path
    if not target.parent.exists():
        target.parent.mkdir(exist_ok=True)  # another worker may be quicker
        sync(target.parent.parent)
    schema = file_schema(shape)
    with HashedFile(target) as file:
        pq.write_table(
            rows.cast(tables.coded(schema)),
            file,
            compression="zstd",
            compression_level=1,
            use_dictionary=[f.name for f in schema if pa.types.is_string(f.type) and f.name != "event_id"],
            column_encoding={f.name: _ENCODINGS[f.type] for f in schema if f.type in _ENCODINGS},
            # Of texts in no order the least and the greatest tell a reader nothing, and to find them takes a quarter of the time.
            write_statistics=[f.name for f in schema if not pa.types.is_string(f.type)],
            store_schema=False,  # coded columns are plain text to whoever reads the file
        )
    sync(target.parent)
    return Part(path, file.size_bytes, rows.num_rows, None if day is None else str(day), file.sha256)


def file_schema(shape: TableShape) -> pa.Schema:
    """The columns that stand in the Parquet files: the schema without its partition columns."""
    return pa.schema([f for f in shape.schema if f.name not in shape.partition_by])


def commit(
    table: DeltaTable,
    shape: TableShape,
    parts: Sequence[Part],
    *,
    versions: Mapping[str, int],
    info: Mapping[str, Any],
    instead_of: Sequence[str] = (),
) -> DeltaTable:
    """Add `parts` and set the transaction `versions` in one commit, durably; a fresh handle on the result.

    `info` is kept as JSON in the commit (`commit_info`), beside the hashes of its files. `instead_of`: absolute paths of files that the parts replace, of an erasable
    table. Raises Fenced when another writer moved one of `versions`, or replaced files, since `table` was opened: a version may only
    be moved by the worker that read its predecessor.
    """
    assert shape.erasable or not instead_of
    root, snapshot = Path(_path(table.table_uri)), table.version()
    said = {"versions": versions, "info": info, "sha256": {part.path: part.sha256 for part in parts if part.sha256}}
    changes: list[AddAction | RemoveAction] = [
        AddAction(
            part.path,
            part.size_bytes,
            {} if part.day is None else {"event_day": part.day},
            0,
            data_change=True,
            stats=json.dumps({"numRecords": part.rows}),
        )
        for part in parts
    ]
    changes += [
        RemoveAction(str(Path(file).relative_to(root)), data_change=True, deletion_timestamp=0) for file in instead_of
    ]
    try:
        table.create_write_transaction(
            changes,
            "append",
            shape.schema,
            list(shape.partition_by) or None,
            commit_properties=CommitProperties(
                custom_metadata={_INFO: json.dumps(said, sort_keys=True)},
                app_transactions=[Transaction(app, version) for app, version in sorted(versions.items())],
            ),
            post_commithook_properties=PostCommitHookProperties(create_checkpoint=False, cleanup_expired_logs=False),
        )
    except CommitFailedError as exc:
        if "oncurrent" not in str(exc):
            raise LakeError(
                f"{root}: the commit could not be written ({exc}); free or repair the disk, then repeat the command"
            ) from exc
        raise Fenced(str(exc)) from exc
    except (DeltaError, OSError) as exc:
        if shape.erasable and not (root / "_delta_log" / f"{snapshot:020d}.json").exists():
            raise Fenced(f"{shape.name} was cut off behind version {snapshot}") from exc
        raise LakeError(
            f"{root}: the commit could not be written ({exc}); free or repair the disk, then repeat the command"
        ) from exc
    fresh = opened(root, shape)  # with checkpoints ten times as fast as to update the old handle
    for app, version in versions.items():
        if fresh.transaction_version(app) != version:
            raise Fenced(f"{app} is at {fresh.transaction_version(app)}, not at {version} as just written")
    # From the version this commit rests on: its writer may have died before it had synced it.
    for version in range(snapshot, fresh.version() + 1):
        # What a checkpoint has made needless is durable by it.
        with contextlib.suppress(*([FileNotFoundError] if shape.erasable else [])):
            sync(root / "_delta_log" / f"{version:020d}.json")
    sync(root / "_delta_log")
    if fresh.version() // CHECKPOINT_COMMITS > snapshot // CHECKPOINT_COMMITS:
        # Whoever cuts the log off behind this version meanwhile has made a later one.
        with contextlib.suppress(*([LakeError, FileNotFoundError] if shape.erasable else [])):
            checkpoint(fresh, root / "_delta_log")
    return fresh


def checkpoint(table: DeltaTable, log: Path) -> None:
    """Sum the log up, so that opening the table does not read all of it. The log's entries stay: they are the history.

    Raises LakeError when it cannot be written; what was committed is whole without it.
    """
    try:
        table.create_checkpoint()
    except FileNotFoundError:
        raise
    except (DeltaError, OSError) as exc:
        raise LakeError(
            f"{log}: the checkpoint of version {table.version()} could not be written ({exc}); what was committed is whole: free or repair the "
            f"disk, then repeat the command"
        ) from exc
    for made in [*log.glob(f"{table.version():020d}.checkpoint*.parquet"), log / "_last_checkpoint", log]:
        sync(made)


def checkpoints(log: Path) -> dict[int, Path]:
    """The checkpoints in a table's log, by version."""
    return {int(path.name.partition(".")[0]): path for path in log.glob("*.checkpoint.parquet")}


def commit_info(root: Path, shape: TableShape, version: int) -> dict[str, Any]:
    """The `info` of one commit; {} for commits that carry none (creation, maintenance)."""
    return _said(root, shape, version).get("info", {})  # type: ignore[no-any-return]


def commit_versions(root: Path, shape: TableShape, version: int) -> dict[str, int]:
    """The transaction versions that one commit moved; {} for commits that moved none."""
    return _said(root, shape, version).get("versions", {})  # type: ignore[no-any-return]


def _said(root: Path, shape: TableShape, version: int) -> dict[str, Any]:
    return said(log_entry(root, shape, version), entry_path(root, shape, version))


def said(entry: Sequence[Mapping[str, Any]], path: Path) -> dict[str, Any]:
    """What a commit says of itself: the `versions` it moved, beside the transactions that move them, its `info`, and `sha256` of its files."""
    for action in entry:
        if "commitInfo" in action:
            try:
                found = json.loads(action["commitInfo"].get(_INFO, "{}"))
                if all(isinstance(found.get(name, {}), dict) for name in ("versions", "info", "sha256")):
                    return found  # type: ignore[no-any-return]
            except (AttributeError, TypeError, ValueError):
                break
    raise Damaged(
        f"{path} has no commitInfo that can be read: cut short; restore it from a backup, or repair it by docs/operations.md"
    )


def added_files(root: Path, shape: TableShape, version: int) -> list[str]:
    """Absolute paths of the files that one commit added."""
    return [str(root / shape.name / a["add"]["path"]) for a in log_entry(root, shape, version) if "add" in a]


def replaced_files(root: Path, shape: TableShape, version: int) -> list[Path]:
    """Absolute paths of the files that one commit has put others in the place of."""
    return [root / shape.name / a["remove"]["path"] for a in log_entry(root, shape, version) if "remove" in a]


def pinned_files(root: Path, shape: TableShape, version: int | None = None) -> list[str]:
    """Absolute paths of all files of a version (default: the newest), sorted: what DuckDB is given, never the folder."""
    return files(open_table(root, shape, version))


def files(table: DeltaTable) -> list[str]:
    """Absolute paths of all files of the version that a handle is on, sorted."""
    return sorted(_path(uri) for uri in table.file_uris())


def _path(uri: str) -> str:
    """The path of a URI as delta-rs gives it: with a scheme, and with spaces and the like encoded."""
    return unquote(uri.removeprefix("file://"))


def entry_path(root: Path, shape: TableShape, version: int) -> Path:
    """Where the log of a table holds one commit."""
    return root / shape.name / "_delta_log" / f"{version:020d}.json"


def log_entry(root: Path, shape: TableShape, version: int) -> list[dict[str, Any]]:
    """The actions of one commit, as its file holds them."""
    return actions(entry_path(root, shape, version))


def actions(path: Path) -> list[dict[str, Any]]:
    """What the file of a commit holds. Raises Damaged."""
    try:
        found = [json.loads(line) for line in path.read_text().splitlines()]
    except (OSError, ValueError) as exc:
        raise Damaged(f"{path} cannot be read ({exc}); restore it from a backup") from exc
    if not all(isinstance(action, dict) for action in found):
        raise Damaged(f"{path} holds what is no action; restore it from a backup")
    return found


def credential_hashes(root: Path, credentials: pa.Array) -> pa.Array:
    """The hash of each credential by the lake's key, HMAC-SHA256 in hex; null where there is none.

    Without the key nobody can try which credential a hash is of (docs/decisions/026-refused-credentials.md). A lake that has lost it gets
    another one: credentials are then counted apart from what they were before.
    """
    if credentials.null_count == len(credentials):
        return pa.nulls(len(credentials), pa.string())
    key = _credential_key(root)
    coded = credentials.dictionary_encode()
    hashes = [hmac.new(key, name.encode(), hashlib.sha256).hexdigest() for name in coded.dictionary.to_pylist()]
    return pa.array(hashes, pa.string()).take(coded.indices)


def _credential_key(root: Path) -> bytes:
    """The lake's key, made where there is none; of two workers that make it one is first, and both have that one's."""
    path = root / KEY
    if not path.exists():
        atomic_file.make(path, (secrets.token_hex(_KEY_BYTES) + "\n").encode(), mode=0o600)
    try:
        key = bytes.fromhex(path.read_text())
    except (OSError, ValueError) as exc:
        raise LakeError(
            f"{path} cannot be read ({exc}); restore it from a backup, or delete it to have another one made"
        ) from exc
    if len(key) != _KEY_BYTES:
        raise LakeError(f"{path} is cut short; restore it from a backup, or delete it to have another one made")
    return key
