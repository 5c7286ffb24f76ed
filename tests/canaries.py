"""Looking for a text in everything there is of a lake: every byte of every file, and every version that can be
opened.
"""

from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError


def seen(root: Path, texts: Iterable[str]) -> set[str]:
    """Which texts stand in any file below a folder.

    Parquet is decompressed, dictionaries whole, whether a table knows of the file or not.
    """
    contents = [str(path) + _content(path) for path in root.rglob("*") if path.is_file()]
    return {text for text in texts if any(text in one for one in contents)}


def openable(table: Path) -> list[int]:
    """The versions of a table that can be opened; every file of each must be there, and can be read."""
    versions = []
    for version in range(DeltaTable(table).version() + 1):
        try:
            opened = DeltaTable(table, version=version)
        except DeltaError:
            continue
        opened.to_pyarrow_table()
        versions.append(version)
    return versions


def _content(path: Path) -> str:
    raw = path.read_bytes().decode("latin-1")
    if path.suffix != ".parquet":
        return raw
    try:
        with pq.ParquetFile(path) as file:
            names = [column.path for column in file.schema if "." not in column.path]
        with pq.ParquetFile(path, read_dictionary=names) as file:
            rows = file.read()
        values = [chunk.dictionary for c in rows.columns if pa.types.is_dictionary(c.type) for chunk in c.chunks]
        return raw + "".join(repr(column.to_pylist()) for column in [*rows.columns, *values])
    except pa.ArrowInvalid:
        return raw  # cut short by a death
