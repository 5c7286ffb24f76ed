"""The landed topics in table `topics`. It detects changes of their ids and numbers of partitions."""

from typing import NamedTuple

import pyarrow as pa

from lake import duck
from lake.errors import Fenced
from lake.lake import Lake
from schemas.halts import Halt, Halted
from schemas.tables import TOPICS


class KnownTopic(NamedTuple):
    """A topic with its id and number of partitions."""

    topic: str
    topic_id: str
    partitions: int


def recognise(lake: Lake, found: KnownTopic) -> None:
    """Record a topic that is new to the lake. Raises Halted if it differs from the topic that was landed before."""
    con = duck.connect(1)
    table = lake.open(TOPICS)  # read from and committed to: a newer handle would hide a concurrent commit
    duck.scan(con, "topics", table.files(), TOPICS)
    known = {row["topic"]: KnownTopic(**row) for row in duck.ask(con, "FROM topics").to_pylist()}
    if found.topic not in known:
        part = lake.write(TOPICS, pa.Table.from_pylist([found._asdict()], TOPICS.schema))
        try:
            table.commit([part], versions={f"topic/{found.topic}": 1}, info={})
        except Fenced:
            recognise(lake, found)  # another worker that started at the same time has recorded it
        return
    before = known[found.topic]
    if before.topic_id != found.topic_id:
        raise Halted(
            Halt.TOPIC_RECREATED,
            f"{found.topic} was deleted and recreated since it was landed (id {before.topic_id}, now {found.topic_id}); messages "
            f"that were not landed are gone. Give the new topic another name (--prefix), and send the raw lines since then again",
        )
    if before.partitions != found.partitions:
        raise Halted(
            Halt.PARTITIONS_CHANGED,
            f"{found.topic} had {before.partitions} partitions and now has {found.partitions}, so a resend could miss its first copy. "
            f"Let the workers drain it, then continue with a new topic of {found.partitions} partitions under another --prefix",
        )
