"""A checkpoint sums up a table's log, so that opening the table does not read all of it.

It is one Parquet file beside the entries, and `_last_checkpoint` names the newest one. It lists every file of its
version with its hash and the commit that added it. So it is all that remains of a log that was cut, and the list of
files that a close rests on (lake/delta/cutting.py). Files that were replaced are not in it: Delta keeps them for a time
of grace, which Tollbook counts itself (lake/upkeep/vacuum.py).
"""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from lake.delta.entries import Action, log_prefix
from lake.storage.store import Store

# What a damaged checkpoint raises, depending on which byte is wrong.
UNREADABLE = (pa.ArrowException, OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError)

_KIND = "checkpoint.parquet"
_TEXTS = pa.map_(pa.string(), pa.string())
_SCHEMA = pa.schema(
    {
        "txn": pa.struct({"appId": pa.string(), "version": pa.int64(), "lastUpdated": pa.int64()}),
        "add": pa.struct(
            {
                "path": pa.string(),
                "partitionValues": _TEXTS,
                "size": pa.int64(),
                "modificationTime": pa.int64(),
                "dataChange": pa.bool_(),
                "stats": pa.string(),
                "tags": _TEXTS,
            }
        ),
        "remove": pa.struct(
            {
                "path": pa.string(),
                "deletionTimestamp": pa.int64(),
                "dataChange": pa.bool_(),
                "extendedFileMetadata": pa.bool_(),
                "partitionValues": _TEXTS,
                "size": pa.int64(),
            }
        ),
        "metaData": pa.struct(
            {
                "id": pa.string(),
                "name": pa.string(),
                "description": pa.string(),
                "format": pa.struct({"provider": pa.string(), "options": _TEXTS}),
                "schemaString": pa.string(),
                "partitionColumns": pa.list_(pa.string()),
                "createdTime": pa.int64(),
                "configuration": _TEXTS,
            }
        ),
        "protocol": pa.struct(
            {
                "minReaderVersion": pa.int32(),
                "minWriterVersion": pa.int32(),
                "readerFeatures": pa.list_(pa.string()),
                "writerFeatures": pa.list_(pa.string()),
            }
        ),
    }
)


class Checkpoint(NamedTuple):
    """What opening a table needs of a checkpoint."""

    paths: list[str]
    apps: list[tuple[str, int]]
    metadata: dict[str, Any]
    protocol: dict[str, Any]


def key_of(table: str, version: int) -> str:
    """Where the checkpoint of a version is."""
    return f"{log_prefix(table)}{version:020d}.{_KIND}"


def version_of(key: str) -> int | None:
    """The version of a checkpoint by its key; None: the key is something else."""
    name, _, kind = key.rpartition("/")[2].partition(".")
    return int(name) if kind == _KIND and name.isdecimal() else None


def last(store: Store, table: str) -> int | None:
    """The version that `_last_checkpoint` names; None if it cannot be read. It is only a hint."""
    try:
        found = json.loads(store.read(_last_key(table)))["version"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if isinstance(found, int) and 0 <= found < 10**18 else None


def read(content: bytes) -> Checkpoint:
    """The paths and transaction versions in the bytes of a checkpoint. Raises UNREADABLE."""
    columns = ["add.path", "txn.appId", "txn.version", "metaData", "protocol"]
    table = pq.ParquetFile(pa.BufferReader(content)).read(columns, use_threads=False).combine_chunks()
    apps, versions = (_field(table, "txn", name).to_pylist() for name in ("appId", "version"))
    (metadata,), (protocol,) = (table[name].drop_null().to_pylist() for name in ("metaData", "protocol"))
    metadata["configuration"] = dict(metadata["configuration"] or ())
    metadata["format"]["options"] = dict(metadata["format"]["options"] or ())
    return Checkpoint(
        _field(table, "add", "path").to_pylist(), list(zip(apps, versions, strict=True)), metadata, _present(protocol)
    )


def adds(content: bytes) -> Iterator[Action]:
    """The `add` actions in the bytes of a checkpoint. Raises UNREADABLE."""
    table = pq.ParquetFile(pa.BufferReader(content)).read(["add"], use_threads=False)
    for found in table["add"].drop_null().to_pylist():
        found["partitionValues"] = dict(found["partitionValues"] or ())
        found["tags"] = dict(found["tags"] or ())
        yield found


def write(
    store: Store,
    table: str,
    version: int,
    *,
    added: list[Action],
    apps: dict[str, int],
    metadata: dict[str, Any],
    protocol: dict[str, Any],
) -> None:
    """Write the checkpoint of a version, and name it the last unless there is a later one. Durable. Raises OSError."""
    actions: list[Action] = [
        {"protocol": protocol},
        {"metaData": {**metadata, "configuration": _pairs(metadata["configuration"]), "format": _format(metadata)}},
        *({"txn": {"appId": app, "version": at}} for app, at in sorted(apps.items())),
        *(
            {"add": {**each, "partitionValues": _pairs(each["partitionValues"]), "tags": _pairs(each["tags"])}}
            for each in added
        ),
    ]
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(actions, _SCHEMA), sink)
    content = sink.getvalue().to_pybytes()
    store.replace(key_of(table, version), content)
    if (newest := last(store, table)) is not None and newest > version:
        return
    named = {"version": version, "size": len(actions), "sizeInBytes": len(content), "numOfAddFiles": len(added)}
    store.replace(_last_key(table), json.dumps(named, separators=(",", ":")).encode())


def _field(table: pa.Table, column: str, name: str) -> pa.Array:
    """One field of the rows of a column that are there."""
    found = table[column].drop_null().combine_chunks()
    return found.field(name) if found.offset == 0 else pa.compute.struct_field(found, name)


def _format(metadata: dict[str, Any]) -> dict[str, Any]:
    return {**metadata["format"], "options": _pairs(metadata["format"].get("options"))}


def _pairs(texts: dict[str, str] | None) -> list[tuple[str, str]]:
    return list((texts or {}).items())


def _present(found: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in found.items() if value is not None}


def _last_key(table: str) -> str:
    return f"{log_prefix(table)}_last_checkpoint"
