"""The topics that were landed, as the lake knows them: their ids and numbers of partitions must not change unnoticed."""

from typing import NamedTuple

import pyarrow as pa

from lake import duck
from lake.lake import Lake
from lake.tables import Fenced
from schemas.halts import Halt, Halted
from schemas.tables import TOPICS


class KnownTopic(NamedTuple):
    """A topic as the broker describes it now."""

    topic: str
    topic_id: str
    partitions: int


def recognise(lake: Lake, found: KnownTopic) -> None:
    """Enter a topic that is new to the lake; raise Halted for one that is not what was landed before."""
    con = duck.connect(1)
    table = lake.open(TOPICS)  # looked at and committed to: a newer handle would hide who came in between
    duck.scan(con, "topics", table.files(), TOPICS)
    known = {row["topic"]: KnownTopic(**row) for row in duck.ask(con, "FROM topics").to_pylist()}
    if found.topic not in known:
        part = lake.write(TOPICS, pa.Table.from_pylist([found._asdict()], TOPICS.schema))
        try:
            table.commit([part], versions={f"topic/{found.topic}": 1}, info={})
        except Fenced:
            recognise(lake, found)  # workers that start together enter it together; one of them did
        return
    before = known[found.topic]
    if before.topic_id != found.topic_id:
        raise Halted(
            Halt.TOPIC_RECREATED,
            f"{found.topic} was deleted and created again since it was landed (id {before.topic_id}, now {found.topic_id}); what "
            f"it held and was not landed is gone. Give the new one another name (--prefix), and send the raw lines since then again",
        )
    if before.partitions != found.partitions:
        raise Halted(
            Halt.PARTITIONS_CHANGED,
            f"{found.topic} had {before.partitions} partitions and has {found.partitions}: a resend would miss its first copy. Let "
            f"the workers drain it, then go on with a new topic of {found.partitions} partitions under another --prefix",
        )
