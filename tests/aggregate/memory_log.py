"""A log in memory: the least that a log can be."""

from collections.abc import Mapping

import pyarrow as pa

from schemas.log import Fetched, LogReader, Origin, Partition
from schemas.tables import INGESTED


class MemoryLog:
    """A log of tables of events and refused entries. Each entry has one offset; a batch has at most `batch` entries."""

    def __init__(self, entries: Mapping[Partition, tuple[pa.Table, pa.Table]], *, batch: int = 1000) -> None:
        """`entries` maps a partition to (events, refused). The column `position` is the offset, from 0 without gaps."""
        self._entries = entries
        self._batch = batch
        self._next: dict[Partition, int] = {}

    def start(self, reader: LogReader) -> None:
        """Assign all partitions."""
        for partition, offset in reader.assigned(list(self._entries)).items():
            self._next[partition] = offset or 0

    def poll(self) -> Fetched | None:
        """The next batch of the first partition that has entries."""
        for partition, (events, refused) in self._entries.items():
            start = self._next[partition]
            end = min(start + self._batch, events.num_rows + refused.num_rows)
            if start < end:
                self._next[partition] = end
                return Fetched(
                    partition, start, end, _between(events, start, end), _between(refused, start, end),
                    [Origin(partition.generation, start, end)], _ingested(partition, start, end),
                )  # fmt: skip
        return None


def _ingested(partition: Partition, start: int, end: int) -> pa.Table:
    columns = (partition.source, partition.generation, start, end, end - start, 1)
    return pa.Table.from_pylist([dict(zip(INGESTED.schema.names, columns, strict=True))], INGESTED.schema)


def _between(rows: pa.Table, start: int, end: int) -> pa.Table:
    position = rows["position"].to_numpy()
    return rows.filter(pa.array((position >= start) & (position < end)))
