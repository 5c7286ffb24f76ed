"""The log: what `land` reads from, whether it is Kafka, the log files themselves, or memory.

A log has partitions; a partition is an ordered run of entries with offsets that only grow. The reader owns its position:
it seeks to the offset the lake holds, and nothing is ever acknowledged to the log.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import pyarrow as pa


class Partition(NamedTuple):
    """One ordered run of entries. `(source, generation)` names it for good; `file` is its present name, for people."""

    source: str
    generation: str
    file: str

    @property
    def app_id(self) -> str:
        """The name under which the lake keeps this partition's next offset."""
        return f"land/{self.source}/{self.generation}"


class Fetched(NamedTuple):
    """Entries of one partition between two offsets, in order."""

    partition: Partition
    from_offset: int
    to_offset: int  # the next offset to read
    events: pa.Table  # schemas.tables.EVENTS without event_day: accepted, not yet deduplicated
    refused: pa.Table  # schemas.tables.DEAD
    tail_sha256: str  # of the bytes before to_offset; "" where the log proves itself
    head_bytes: int = 0
    head_sha256: str = ""

    @property
    def entries(self) -> int:
        """All entries between the offsets."""
        return int(self.events.num_rows + self.refused.num_rows)


class Log(Protocol):
    """Partitions, seek, poll. Offsets are the reader's; `poll` gives batches of one partition, in offset order."""

    def partitions(self) -> Sequence[Partition]:
        """All partitions, in the order in which they are read."""
        ...

    def seek(self, partition: Partition, offset: int) -> None:
        """Read `partition` from `offset` on. Called once for each partition before the first poll."""
        ...

    def poll(self) -> Fetched | None:
        """The next batch, or None when everything there is has been read."""
        ...
