"""What is written of a batch: the rows that are counted, and nothing of any other."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from aggregate.landing import batch_files
from lake.lake import Lake
from schemas.tables import CODED, EVENTS
from tests.aggregate.fixtures import event, partition
from tests.canaries import seen


def test_files_hold_no_value_of_a_row_that_was_taken_out(tmp_path: Path) -> None:
    """A dictionary is written whole, whether rows have its values or not. Nulls stay nulls, and every row its value."""
    Lake(tmp_path).create()
    credentials = ["k-1", "canary-refused", None, "k-2", "canary-again", "k-1"]
    events, _ = next(iter(partition([event(f"e{n}", credential=c) for n, c in enumerate(credentials)]).values()))
    at = events.column_names.index("credential")
    events = events.set_column(at, "credential", pa.chunked_array([pa.array(credentials).dictionary_encode()], CODED))
    events = events.append_column("events_partition", pa.repeat(pa.scalar(0, pa.int16()), events.num_rows))
    accepted = pa.concat_tables([events.slice(2, 2), events.slice(5), events.slice(0, 1)]).unify_dictionaries()
    with batch_files.writers() as pool:
        kept, parts = batch_files.write_events(pool, Lake(tmp_path), accepted, np.ones(4, np.bool_), np.full(4, 20_727))
    assert kept["credential"].to_pylist() == [None, "k-2", "k-1", "k-1"]
    assert kept.drop_columns("credential").equals(accepted.drop_columns("credential"))
    (part,) = parts
    with pq.ParquetFile(tmp_path / EVENTS.name / part.path) as file:
        assert file.read(["credential"])["credential"].to_pylist() == [None, "k-2", "k-1", "k-1"]
    assert seen(tmp_path, ["canary-", "k-1"]) == {"k-1"}
