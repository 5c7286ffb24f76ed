"""Sending to a Kafka producer whose queue may be full. For threads that may block (compare ingest/http/delivery.py)."""

from collections.abc import Callable, Sequence

from confluent_kafka import KafkaError, Message, Producer

_WAIT_S = 0.1


def produce(
    producer: Producer,
    topic: str,
    value: bytes | None,
    *,
    partition: int,
    on_delivery: Callable[[KafkaError | None, Message], None],
    key: bytes | str | None = None,
    headers: Sequence[tuple[str, str | bytes | None]] = (),
) -> None:
    """Send one message; while the queue is full, wait until some messages are delivered or have failed.

    If the broker is away and no message times out, the watchdog ends the process. Raises KafkaException if the message
    can never be sent: it is too large, or the producer is broken.
    """
    while True:
        try:
            producer.produce(topic, value, key=key, partition=partition, headers=list(headers), on_delivery=on_delivery)
        except BufferError:
            producer.poll(_WAIT_S)
        else:
            return
