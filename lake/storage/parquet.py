"""Parquet files of any store as a relation of DuckDB.

DuckDB reads local files itself; pyarrow reads those in memory.
"""

from collections.abc import Sequence

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from lake.storage import memory


def relation(
    con: duckdb.DuckDBPyConnection, files: Sequence[str], *, partitioned: bool = False, mixed: bool = False
) -> duckdb.DuckDBPyRelation:
    """The rows of files of one store, by their addresses, with the columns that their paths name if `partitioned`."""
    if memory.resolved(files[0]) is None:
        return con.read_parquet(list(files), hive_partitioning=partitioned, union_by_name=mixed)
    found = [_from_memory(file, partitioned=partitioned) for file in files]
    return con.from_arrow(pa.concat_tables(found, promote_options="default" if mixed else "none"))


def _from_memory(file: str, *, partitioned: bool) -> pa.Table:
    resolved = memory.resolved(file)
    assert resolved is not None
    store, key = resolved
    rows = pq.ParquetFile(pa.BufferReader(store.read(key))).read()
    for part in key.split("/")[1:-1] if partitioned else ():
        name, _, value = part.partition("=")
        rows = rows.append_column(name, pa.array([value] * rows.num_rows, pa.string()).cast(pa.date32()))
    return rows
