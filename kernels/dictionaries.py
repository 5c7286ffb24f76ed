"""Columns that are coded by a dictionary. Dictionaries are written whole, into messages and files alike.

A batch is coded before its refused entries are taken out of it: what is theirs alone must not go with the others, and stay.
"""

import numpy as np
import numpy.typing as npt
import pyarrow as pa

_LOOK_ROWS = 16_384


def without_unused(rows: pa.Table) -> pa.Table:
    """`rows`, their coded columns without values that no row has."""
    rows = rows.unify_dictionaries()
    for at, field in enumerate(rows.schema):
        column = rows.column(at)
        if pa.types.is_dictionary(field.type) and column.num_chunks and not (used := _used(column)).all():
            rows = rows.set_column(at, field, _recoded(column, used))
    return rows


def together(*tables: pa.Table) -> pa.Table:
    """Their rows, each column in one piece and by one dictionary: of several pieces every `take` would join them anew."""
    return pa.concat_tables(tables).unify_dictionaries().combine_chunks()


def repeated(value: str, times: int) -> pa.DictionaryArray:
    """A coded column that holds one value."""
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(times, np.int32)), pa.array([value], pa.string()))


def _used(column: pa.ChunkedArray) -> npt.NDArray[np.bool_]:
    """Of each value of a coded column, whether a row has it. Looks no further than until all were seen."""
    used = np.zeros(len(column.chunk(0).dictionary), np.bool_)
    for chunk in column.chunks:
        codes = chunk.indices.drop_null().to_numpy()
        for start in range(0, len(codes), _LOOK_ROWS):
            used[codes[start : start + _LOOK_ROWS]] = True
            if used.all():
                return used
    return used


def _recoded(column: pa.ChunkedArray, used: npt.NDArray[np.bool_]) -> pa.ChunkedArray:
    """The same column, coded by the used values alone."""
    values = column.chunk(0).dictionary.filter(pa.array(used))
    new_code = np.cumsum(used, dtype=np.int32) - np.int32(1)
    chunks = []
    for chunk in column.chunks:
        codes = new_code[chunk.indices.fill_null(0).to_numpy()]
        unknown = chunk.indices.is_null().to_numpy(zero_copy_only=False) if chunk.null_count else None
        chunks.append(pa.DictionaryArray.from_arrays(pa.array(codes, pa.int32(), mask=unknown), values))
    return pa.chunked_array(chunks, column.type)
