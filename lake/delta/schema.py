"""The schema of a table as Delta writes it, and the first entry of a log."""

import json
import uuid
from typing import Any

import pyarrow as pa

from lake.delta.entries import Action

_TYPES = {
    pa.string(): "string",
    pa.int64(): "long",
    pa.int32(): "integer",
    pa.int16(): "short",
    pa.bool_(): "boolean",
    pa.date32(): "date",
    pa.timestamp("us", tz="UTC"): "timestamp",
    pa.binary(): "binary",
}
PROTOCOL: Action = {"protocol": {"minReaderVersion": 1, "minWriterVersion": 2}}


def creation(schema: pa.Schema, partition_by: list[str], at_ms: int) -> list[Action]:
    """The actions that make an empty table. Its log is kept: no reader of Delta may clean it up."""
    return [
        PROTOCOL,
        {
            "metaData": {
                "id": str(uuid.uuid4()),
                "name": None,
                "description": None,
                "format": {"provider": "parquet", "options": {}},
                "schemaString": json.dumps({"type": "struct", "fields": fields(schema)}, separators=(",", ":")),
                "partitionColumns": partition_by,
                "createdTime": at_ms,
                "configuration": {"delta.enableExpiredLogCleanup": "false"},
            }
        },
    ]


def columns(metadata: dict[str, Any]) -> list[str]:
    """The names of the columns of a table. Raises KeyError, TypeError, ValueError."""
    return [field["name"] for field in json.loads(metadata["schemaString"])["fields"]]


def widened(metadata: dict[str, Any], added: pa.Schema, properties: dict[str, str]) -> Action:
    """The action that adds columns and properties to a table."""
    schema = json.loads(metadata["schemaString"])
    schema["fields"] += fields(added)
    return {
        "metaData": {
            **metadata,
            "schemaString": json.dumps(schema, separators=(",", ":")),
            "configuration": {**(metadata.get("configuration") or {}), **properties},
        }
    }


def fields(schema: pa.Schema) -> list[dict[str, Any]]:
    """Columns as Delta describes them."""
    return [{"name": f.name, "type": _type(f.type), "nullable": True, "metadata": {}} for f in schema]


def _type(kind: pa.DataType) -> str:
    if pa.types.is_decimal(kind):
        return f"decimal({kind.precision},{kind.scale})"
    return _TYPES[kind]
