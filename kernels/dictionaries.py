"""Dictionary-coded columns. Messages and files contain the whole dictionary, used or not.

A batch is coded before its refused entries are filtered out, so that the values of refused entries must be dropped
explicitly.
"""

import numpy as np
import numpy.typing as npt
import pyarrow as pa

_LOOK_ROWS = 16_384


def without_unused(rows: pa.Table) -> pa.Table:
    """`rows` without the dictionary values that no row uses."""
    rows = rows.unify_dictionaries()
    for at, field in enumerate(rows.schema):
        column = rows.column(at)
        if pa.types.is_dictionary(field.type) and column.num_chunks and not (used := _used(column)).all():
            rows = rows.set_column(at, field, _recoded(column, used))
    return rows


def together(*tables: pa.Table) -> pa.Table:
    """The rows of all tables, one chunk and one dictionary per column: `take` would join chunks at each call."""
    return pa.concat_tables(tables).unify_dictionaries().combine_chunks()


def repeated(value: str, times: int) -> pa.DictionaryArray:
    """A coded column with one value in every row."""
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(times, np.int32)), pa.array([value], pa.string()))


def _used(column: pa.ChunkedArray) -> npt.NDArray[np.bool_]:
    """For each dictionary value, whether a row uses it. Stops as soon as every value has been seen."""
    used = np.zeros(len(column.chunk(0).dictionary), np.bool_)
    for chunk in column.chunks:
        codes = chunk.indices.drop_null().to_numpy()
        for start in range(0, len(codes), _LOOK_ROWS):
            used[codes[start : start + _LOOK_ROWS]] = True
            if used.all():
                return used
    return used


def _recoded(column: pa.ChunkedArray, used: npt.NDArray[np.bool_]) -> pa.ChunkedArray:
    """The same column with a dictionary of the used values only."""
    values = column.chunk(0).dictionary.filter(pa.array(used))
    new_code = np.cumsum(used, dtype=np.int32) - np.int32(1)
    chunks = []
    for chunk in column.chunks:
        codes = new_code[chunk.indices.fill_null(0).to_numpy()]
        unknown = chunk.indices.is_null().to_numpy(zero_copy_only=False) if chunk.null_count else None
        chunks.append(pa.DictionaryArray.from_arrays(pa.array(codes, pa.int32(), mask=unknown), values))
    return pa.chunked_array(chunks, column.type)
