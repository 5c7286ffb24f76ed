"""The log in memory: for tests, and as the smallest example of what a log must do."""

from collections.abc import Sequence

import pyarrow as pa

from schemas.log import Fetched, Partition


class MemoryLog:
    """Partitions given as tables of events (and refusals); one entry is one offset, a batch at most `batch` entries."""

    def __init__(self, entries: dict[Partition, tuple[pa.Table, pa.Table]], *, batch: int = 1000) -> None:
        """`entries`: partition → (events, refused); the `position` column is the offset, from 0, without gaps."""
        self._entries = entries
        self._batch = batch
        self._next = dict.fromkeys(entries, 0)

    def partitions(self) -> Sequence[Partition]:
        """All partitions, in the order in which they are read."""
        return list(self._entries)

    def seek(self, partition: Partition, offset: int) -> None:
        """Read `partition` from `offset` on."""
        self._next[partition] = offset

    def poll(self) -> Fetched | None:
        """The next batch of the first partition that has any."""
        for partition, (events, refused) in self._entries.items():
            start = self._next[partition]
            end = min(start + self._batch, events.num_rows + refused.num_rows)
            if start < end:
                self._next[partition] = end
                return Fetched(partition, start, end, _between(events, start, end), _between(refused, start, end), "")
        return None


def _between(rows: pa.Table, start: int, end: int) -> pa.Table:
    position = rows["position"].to_numpy()
    return rows.filter(pa.array((position >= start) & (position < end)))
