"""The consumers beside ours: `python -m benchmarks.peers NAME BOOTSTRAP TOPIC LINES` prints seconds and counts as JSON.

They keep what they count in memory and write nothing. Their rules are those of the sample: API Gateway lines, the
identity is the key or the role, the id is extendedRequestId, the first of an id counts.
"""

import json
import os
import resource
import sys
import time
from collections import Counter
from collections.abc import Callable

import orjson
from confluent_kafka import Consumer, TopicPartition

PARTNERS = {
    "k9x2m4p6q8": "northwind",
    "arn:aws:sts::444455556666:assumed-role/GlobexExport/nightly": "globex",
}
WINDOW_MS = 900_000


class Counting:
    """What a program that handles one event at a time does."""

    def __init__(self) -> None:
        self.began = (time.monotonic(), _cpu_s())
        self.seen: set[str] = set()
        self.counts: Counter[tuple[str, int]] = Counter()
        self.lines = 0

    def take(self, value: bytes) -> None:
        """All lines of a record."""
        for line in value.splitlines():
            self.lines += 1
            try:
                record = orjson.loads(line)
            except orjson.JSONDecodeError:
                continue
            key = record["apiKeyId"] if record["apiKeyId"] != "-" else record["userArn"]
            partner = PARTNERS.get(key)
            identity = record["extendedRequestId"]
            if partner is None or identity in self.seen:
                continue
            self.seen.add(identity)
            self.counts[partner, int(record["requestTimeEpoch"]) // WINDOW_MS] += 1

    def report(self) -> None:
        """Seconds, CPU seconds and counts, as JSON."""
        counts = [[p, w, n] for (p, w), n in self.counts.items()] or None
        took = {"wall_s": time.monotonic() - self.began[0], "cpu_s": _cpu_s() - self.began[1], "counts": counts}
        os.write(1, json.dumps(took).encode() + b"\n")  # Faust takes print away


def bare(bootstrap: str, topic: str, lines: int) -> Counting:
    """Take the bytes, and count newlines so as to know when to stop."""
    done = Counting()
    for value in _values(bootstrap, topic):
        done.lines += value.count(b"\n")
        if done.lines >= lines:
            return done
    return done


def per_event(bootstrap: str, topic: str, lines: int) -> Counting:
    """orjson, set, dict."""
    done = Counting()
    for value in _values(bootstrap, topic):
        done.take(value)
        if done.lines >= lines:
            return done
    return done


def _values(bootstrap: str, topic: str):  # type: ignore[no-untyped-def]
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "bench", "enable.auto.commit": False})
    partitions = consumer.list_topics(topic).topics[topic].partitions
    consumer.assign([TopicPartition(topic, p, 0) for p in partitions])
    while True:
        for message in consumer.consume(10_000, 0.1):
            if message.error() is None:  # else the broker was busy for a moment
                yield message.value()


def faust_app(bootstrap: str, topic: str, lines: int) -> Counting:
    """The same in an agent."""
    import faust

    done = Counting()
    app = faust.App(
        "bench-faust" + topic,
        broker=f"kafka://{bootstrap}",
        web_enabled=False,
        store="memory://",
        topic_disable_leader=True,
    )

    @app.agent(app.topic(topic, value_serializer="raw"))
    async def count(stream: faust.Stream[bytes]) -> None:
        async for value in stream:
            done.take(value)
            if done.lines >= lines:
                done.report()
                os._exit(0)

    worker = faust.Worker(app, loglevel="error")
    worker.execute_from_commandline()
    return done


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


PEERS: dict[str, Callable[[str, str, int], Counting]] = {"bare": bare, "per_event": per_event, "faust": faust_app}


def main() -> None:
    name, bootstrap, topic, lines = sys.argv[1:]
    PEERS[name](bootstrap, topic, int(lines)).report()


if __name__ == "__main__":
    main()
