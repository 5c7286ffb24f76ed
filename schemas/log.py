"""The log that the land worker reads: Kafka, log files, or memory.

A log has partitions. A partition is an ordered sequence of entries with increasing offsets. The reader owns its
position: when a partition is assigned, the log asks the reader where to begin. Nothing is ever acknowledged to the log.
"""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import pyarrow as pa

from schemas.tables import INGESTED

_ACCESS_PARTITION = re.compile(r"([^/]+)/(\d+)@(.+)")


class Partition(NamedTuple):
    """One partition of a log.

    `(source, generation)` identifies it permanently; `file` is its current name, for people.
    """

    source: str  # who wrote the file, or the Kafka topic
    generation: str  # the file's fingerprint, or the number of the Kafka partition
    file: str
    number: int = 0  # the value of its rows in `events_partition`

    @property
    def app_id(self) -> str:
        """The Delta application id under which the lake stores this partition's next offset."""
        return f"land/{self.source}/{self.generation}"


def redrive_app(number: int) -> str:
    """The Delta application id under which the lake counts the redrives and settlements of an events partition.

    Every commit of the partition's events writes it again, so two concurrent commits to one partition always conflict,
    whatever they read. Dedup is by partition.
    """
    return f"redrive/{number}"


class AccessPartition(NamedTuple):
    """A partition of `gateway.access`.

    `topic_id` distinguishes it from partitions of a deleted topic of the same name.
    """

    topic: str
    number: int
    topic_id: str

    @property
    def generation(self) -> str:
        """Its value in the column `generation`."""
        return f"{self.topic}/{self.number}@{self.topic_id}"

    @property
    def file(self) -> str:
        """Its name for people."""
        return f"{self.topic}/{self.number}"


def access_partition(generation: str) -> AccessPartition | None:
    """The partition of `gateway.access` that a generation names; None if it names a file."""
    found = _ACCESS_PARTITION.fullmatch(generation)
    return AccessPartition(found[1], int(found[2]), found[3]) if found else None


class Origin(NamedTuple):
    """A range of offsets of a file or of a partition of `gateway.access`: where entries of a log were first read."""

    generation: str
    from_offset: int
    to_offset: int


class Fetched(NamedTuple):
    """Entries of one partition between two offsets, in order.

    It holds every entry of its origins that belongs to this partition. Rows carry the generation of their origin, and
    their offset in it as `position`. Redelivered entries are recognized by these two columns.
    """

    partition: Partition
    from_offset: int
    to_offset: int  # the next offset to read
    events: pa.Table  # schemas.tables.FRESH_EVENTS: accepted, not yet deduplicated
    refused: pa.Table  # schemas.tables.DEAD
    origins: Sequence[Origin]  # of different generations
    ingested: pa.Table = INGESTED.schema.empty_table()  # what ingest read, if the partition reports it
    tail_sha256: str = ""  # of the last bytes before to_offset; "" if the log guarantees its own integrity
    head_bytes: int = 0
    head_sha256: str = ""
    text_digest: str = ""  # of everything before to_offset; "" if the partition is not a file
    marks: str = ""  # digests of the text before some offsets in this range
    file_key: str = ""  # the file in which it was read

    @property
    def entries(self) -> int:
        """The number of entries between the offsets."""
        return int(self.events.num_rows + self.refused.num_rows)


class LogReader(Protocol):
    """The reader of a log. It decides where to begin, and drops its state for revoked partitions."""

    def assigned(self, partitions: Sequence[Partition]) -> Mapping[Partition, int | None]:
        """Take over these partitions. Returns the offset to read each from; None means from the beginning."""
        ...

    def revoked(self, partitions: Sequence[Partition]) -> None:
        """Give up these partitions, and drop everything of them that is not in the lake."""
        ...


class Log(Protocol):
    """Returns batches of one partition each, in offset order. Calls `reader` only from within `start` and `poll`."""

    def start(self, reader: LogReader) -> None:
        """Assign the existing partitions, or join the group that assigns them."""
        ...

    def poll(self) -> Fetched | None:
        """The next batch, or None if there is none now."""
        ...
