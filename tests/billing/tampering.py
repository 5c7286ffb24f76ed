"""Files of a lake that are changed where they lie, by somebody who does or does not know that commits hold their
hashes.
"""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lake.lake import Lake
from schemas.tables import TableShape


def rewrite(root: Path, shape: TableShape, change: Callable[[pa.Table], pa.Table], *, log: bool) -> list[Path]:
    """Change the rows of every file of a table. `log`: commits and lists are made to name the new sizes and hashes."""
    files = [Path(path) for path in Lake(root).files(shape)]
    assert files
    for path in files:
        with pq.ParquetFile(path) as found:
            rows = found.read()
        changed = change(rows)
        assert not changed.equals(rows)
        pq.write_table(changed, path, compression="zstd")
        if log:
            _relog(root / shape.name, path)
    return files


def replaced(rows: pa.Table, column: str, values: pa.Array | pa.ChunkedArray) -> pa.Table:
    at = rows.schema.get_field_index(column)
    return rows.set_column(at, rows.schema.field(column), values.cast(rows.schema.field(column).type))


def times_ten(rows: pa.Table) -> pa.Table:
    for column in ("requests", "response_bytes"):
        rows = replaced(rows, column, pc.multiply(rows[column], 10))
    return rows


def partners_swapped(rows: pa.Table) -> pa.Table:
    was = rows["partner_id"].cast(pa.string())
    return replaced(
        rows, "partner_id", pc.if_else(pc.equal(was, "acme"), "zeta", pc.if_else(pc.equal(was, "zeta"), "acme", was))
    )


def reworded(column: str, old: str, new: str) -> Callable[[pa.Table], pa.Table]:
    """Every `old` in a column of texts becomes `new`."""

    def change(rows: pa.Table) -> pa.Table:
        return replaced(rows, column, pc.replace_substring(rows[column].cast(pa.string()), old, new))

    return change


def _relog(table: Path, path: Path) -> None:
    name, content = str(path.relative_to(table)), path.read_bytes()
    for entry in sorted((table / "_delta_log").glob("*.json")):
        actions = [json.loads(line) for line in entry.read_text().splitlines()]
        if not any(action.get("add", {}).get("path") == name for action in actions):
            continue
        for action in actions:
            if action.get("add", {}).get("path") == name:
                action["add"]["size"] = len(content)
            if "commitInfo" in action:
                info = json.loads(action["commitInfo"]["tollbook"])
                info["sha256"][name] = hashlib.sha256(content).hexdigest()
                action["commitInfo"]["tollbook"] = json.dumps(info)
        entry.write_text("".join(json.dumps(action) + "\n" for action in actions))
    for found in (table / "_delta_log").glob("*.checkpoint.parquet"):
        rows = pq.read_table(found)
        listed = [_relisted(action, name, content) for action in rows.to_pylist()]
        pq.write_table(pa.Table.from_pylist(listed, rows.schema), found)
        pinned = table / "_delta_log" / f"tollbook-pinned-{found.name[:20]}.json"
        if pinned.exists():
            base = {"version": int(found.name[:20]), "sha256": hashlib.sha256(found.read_bytes()).hexdigest()}
            pinned.write_text(json.dumps(base))


def _relisted(action: dict[str, Any], name: str, content: bytes) -> dict[str, Any]:
    if action["add"] is not None and action["add"]["path"] == name:
        tags = {**dict(action["add"]["tags"]), "sha256": hashlib.sha256(content).hexdigest()}
        action["add"] |= {"size": len(content), "tags": list(tags.items())}
    return action
