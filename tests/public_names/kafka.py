"""Names that need a broker: the keys of what `load` and `topics check` print, the headers of the records that `load`
sends.
"""

import tempfile
from collections.abc import Mapping
from pathlib import Path

from confluent_kafka import Consumer, TopicPartition

from schemas.kafka.topics import GATEWAY_ACCESS
from tests.conftest import own_prefix
from tests.public_names.outputs import CUT, Output, Outputs, of_commands
from tests.tollbook.fixtures import Here, requests


def lists(bootstrap: str) -> Mapping[str, list[str]]:
    """Every list of this module by its subject."""
    output = Output()
    with tempfile.TemporaryDirectory() as folder, output.captured(), own_prefix(bootstrap) as prefix:
        here = Here(Path(folder), output)  # type: ignore[arg-type]  # of capsys it needs no more than Output has
        outputs = Outputs(here)
        brokers = ["--bootstrap-servers", bootstrap, "--prefix", prefix]
        layout = [*brokers, "--partitions", 1, "--replication", 1]
        outputs("topics check", *layout)
        created = here.tollbook("topics", "create", *layout)
        assert created.code == 0, created.err
        log = here.log("a.log", *requests(3), b'{"cut')
        outputs("load", log, here.log("cut.log.gz", CUT), *brokers, "--format", "kong", "--source", "edge")
        headers = _headers(bootstrap, prefix + GATEWAY_ACCESS)
    return {"json-kafka": [*of_commands(outputs.values), f"gateway.access from files: headers {', '.join(headers)}"]}


def _headers(bootstrap: str, topic: str) -> list[str]:
    """The names of the headers of the first record."""
    reader = Consumer(
        {"bootstrap.servers": bootstrap, "group.id": "names", "enable.auto.commit": False, "log_level": 0}
    )
    try:
        reader.assign([TopicPartition(topic, 0, 0)])
        record = reader.poll(30)
        assert record is not None
        assert record.error() is None
        return [name for name, _ in record.headers() or ()]
    finally:
        reader.close()
