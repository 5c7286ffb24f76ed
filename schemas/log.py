"""The log: what `land` reads from, whether it is Kafka, the log files themselves, or memory.

A log has partitions; a partition is an ordered run of entries with offsets that only grow. The reader owns its position:
the log asks it where to begin, whenever a partition becomes its own, and nothing is ever acknowledged to the log.
"""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import pyarrow as pa

from schemas.tables import INGESTED

_ACCESS_PARTITION = re.compile(r"([^/]+)/(\d+)@(.+)")


class Partition(NamedTuple):
    """One ordered run of entries. `(source, generation)` names it for good; `file` is its present name, for people."""

    source: str  # who wrote the file; of Kafka the topic
    generation: str  # which file; of Kafka the partition's number
    file: str
    number: int = 0  # what rows carry as events_partition

    @property
    def app_id(self) -> str:
        """The name under which the lake keeps this partition's next offset."""
        return f"land/{self.source}/{self.generation}"


def redrive_app(number: int) -> str:
    """Under this name the lake counts the redrives and settlements of an events partition. Every commit of its events restates it.

    So two commits to one partition never pass each other unseen, whatever they read: identities are told by partition.
    """
    return f"redrive/{number}"


class AccessPartition(NamedTuple):
    """A partition of `gateway.access`, told apart from that of another topic which had the same name."""

    topic: str
    number: int
    topic_id: str

    @property
    def generation(self) -> str:
        """How rows name it."""
        return f"{self.topic}/{self.number}@{self.topic_id}"

    @property
    def file(self) -> str:
        """How people call it."""
        return f"{self.topic}/{self.number}"


def access_partition(generation: str) -> AccessPartition | None:
    """The partition that a generation names; None: it names a file."""
    found = _ACCESS_PARTITION.fullmatch(generation)
    return AccessPartition(found[1], int(found[2]), found[3]) if found else None


class Origin(NamedTuple):
    """The entries of one generation between two of its offsets: where what a log gives came from in the first place."""

    generation: str
    from_offset: int
    to_offset: int


class Fetched(NamedTuple):
    """Entries of one partition between two offsets, in order.

    It holds every entry of its origins that belongs into this partition. Rows carry their origin's generation, and its
    offset as `position`: what was taken in before is known by them.
    """

    partition: Partition
    from_offset: int
    to_offset: int  # the next offset to read
    events: pa.Table  # schemas.tables.FRESH_EVENTS: accepted, not yet deduplicated
    refused: pa.Table  # schemas.tables.DEAD
    origins: Sequence[Origin]  # of different generations
    ingested: pa.Table = INGESTED.schema.empty_table()  # what was read to make this, where the partition tells it
    tail_sha256: str = ""  # of the bytes before to_offset; "" where the log proves itself
    head_bytes: int = 0
    head_sha256: str = ""

    @property
    def entries(self) -> int:
        """All entries between the offsets."""
        return int(self.events.num_rows + self.refused.num_rows)


class Reader(Protocol):
    """Who reads a log: says where to begin, and lets go."""

    def assigned(self, partitions: Sequence[Partition]) -> Mapping[Partition, int | None]:
        """These are yours from now on; the offset to read each from, None: from its beginning."""
        ...

    def revoked(self, partitions: Sequence[Partition]) -> None:
        """These are no longer yours: forget what of them is not in the lake."""
        ...


class Log(Protocol):
    """Gives batches of one partition, in offset order. Calls `reader` from within `start` and `poll`, never between."""

    def start(self, reader: Reader) -> None:
        """Assign the partitions there are, or begin to ask for them."""
        ...

    def poll(self) -> Fetched | None:
        """The next batch, or None when there is nothing now."""
        ...
