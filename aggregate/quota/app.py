"""The quota worker on Faust: an agent over `usage.totals` that sums the newest totals and applies the rule.

It sums the newest total of each partition.

The order is guaranteed: alerts are recorded in the ledger of the lake first, then the broker acknowledges the worker's
note of them, then totals and the state, then the offsets. A worker that dies in between compares with the ledger again,
and states nothing twice; `aggregate/alerts/feed.py` sends what was recorded. Any failure stops the agent permanently,
and nothing more is acknowledged: the process must end and restart from the changelogs.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, NamedTuple, TypeVar

from aiokafka.errors import KafkaError
from faust.auth import Credentials
from faust.exceptions import ConsumerNotStarted, ProducerSendError

from aggregate.quota import messages, sums
from aggregate.quota.faust_runtime import Grown, Kept, Steady
from aggregate.quota.sums import Standing
from schemas.halts import Halt, Halted
from schemas.kafka.partitions import partition_of_key
from schemas.kafka.totals import BadTotal, Total, decoded

BATCH_TOTALS = 5_000  # a batch is one commit to the ledger, whatever it holds
WAIT_S = 0.05  # how long a total waits for others, which delays an alert
_V = TypeVar("_V")
_UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, ArithmeticError)


@dataclass(frozen=True, kw_only=True)
class QuotaSettings:
    """The topics and connection of the worker. `partitions` is the number of `usage.totals`, and of both changelogs."""

    app_id: str  # the prefix of Faust's topics, and the name of the group
    brokers: str  # comma-separated host:port
    totals: str
    alerts: str
    state: str
    partitions: int
    credentials: Credentials | None = field(default=None, repr=False)
    instance: str | None = None  # the same after a restart; a worker that restarts in time keeps its partitions
    session_timeout_s: float = 10


class Record(NamedTuple):
    """A message to send. Without a partition, the murmur2 hash of its key decides."""

    topic: str
    key: str
    value: bytes
    partition: int | None = None


class _Values(Generic[_V]):
    """The values of a table of Faust. Each is decoded once, and again only after a recovery has replaced it."""

    def __init__(self, table: Grown, encode: Callable[[_V], bytes], decode: Callable[[bytes], _V]) -> None:
        self._table = table
        self._encode = encode
        self._decode = decode
        self._known: dict[bytes, tuple[bytes, _V]] = {}  # by key: the stored bytes, and what they say

    @property
    def topic(self) -> str:
        """The topic of the changelog."""
        return self._table.changelog_topic_name

    def get(self, key: bytes, default: _V) -> _V:
        """The value of a key."""
        stored = self._table.data.get(key)
        if not stored:
            return default
        known = self._known.get(key)
        if known is None or known[0] is not stored:
            known = self._known[key] = stored, self._decode(stored)
        return known[1]

    def put(self, key: bytes, value: _V) -> bytes:
        """Write a value to the table, and return it as it is stored."""
        stored = self._encode(value)
        self._table.data[key] = stored
        self._known[key] = stored, value
        return stored


class QuotaWorker:
    """The Faust application and its agent. `failure` is what stopped the agent; `failed` is set with it."""

    def __init__(self, settings: QuotaSettings, record: Callable[[Sequence[Standing]], object]) -> None:
        """`record` records in the ledger what is due for the newest standings of some quotas. It runs in a thread."""
        self._settings = settings
        self._record = record
        self.failure: BaseException | None = None
        self.failed = asyncio.Event()
        self.app = _app(settings)
        self._latest = _Values(self._table("latest", _merged_parts), sums.parts_encoded, sums.parts_decoded)
        self._fired = _Values(self._table("fired", _merged_fired), sums.fired_encoded, sums.fired_decoded)
        self.totals = Kept(self.app, topics=[settings.totals], key_type=bytes, value_type=bytes)
        self.app.agent(self.totals, name="totals", concurrency=1)(self._run)

    def fail(self, failure: BaseException) -> None:
        """Stop permanently. The first failure is reported."""
        self.failure = self.failure or failure
        self.failed.set()

    @property
    def partitions(self) -> frozenset[int]:
        """The partitions of totals that the group has assigned to this worker."""
        try:
            assigned = self.app.consumer.assignment()
        except ConsumerNotStarted:
            return frozenset()
        return frozenset(tp.partition for tp in assigned if tp.topic == self._settings.totals)

    async def _run(self, stream: Any) -> None:
        stream.enable_acks = False  # also for messages that Faust passes on while the agent stops
        async for events in stream.noack_take(BATCH_TOTALS, within=WAIT_S):
            task = asyncio.ensure_future(self._take(events))
            await asyncio.wait([task])
            if (failure := task.exception()) is not None:
                self.fail(failure)
                await asyncio.Event().wait()  # Faust restarts an agent that ends, after the messages it did not process

    async def _take(self, events: Sequence[Any]) -> None:
        # Messages fetched before the last rebalance are fetched again by their current owner.
        events = [e for e in events if e.message.generation_id == self.app.consumer_generation_id]
        assert not (events and self.app.in_recovery), "totals arrive only after the tables are recovered"
        received: dict[bytes, tuple[int, list[tuple[Total, int | None]]]] = {}  # the partition, and its totals
        for event in events:
            message = event.message
            found = self._totals(message)
            _, totals = received.setdefault(found[0].quota_key.encode(), (message.partition, []))
            totals += [(total, message.offset) for total in found]
        changed: dict[bytes, tuple[int, Standing]] = {}
        for key, (partition, totals) in received.items():
            now = sums.standing(self._latest.get(key, {}), self._fired.get(key, sums.NOTHING), totals)
            if now is not None:
                changed[key] = partition, now
        await self._publish(changed, {key for key, (_, now) in changed.items() if now.alerts})
        for event in events:
            event.ack()

    async def _publish(self, changed: Mapping[bytes, tuple[int, Standing]], crossed: Collection[bytes]) -> None:
        settings = self._settings
        if crossed:
            standings = [now for key, (_, now) in changed.items() if key in crossed]
            await asyncio.get_running_loop().run_in_executor(None, self._record, standings)
        ledger = [
            # Merged again, as the partition may have been lost and regained while the alerts were recorded.
            self._written(self._fired, key, sums.union(self._fired.get(key, sums.NOTHING), now.fired), p)
            for key, (p, now) in changed.items()
            if key in crossed
        ]
        await self._send(ledger)
        known = [
            self._written(self._latest, key, sums.merged(self._latest.get(key, {}), now.parts), p)
            for key, (p, now) in changed.items()
        ]
        states = [
            Record(settings.state, key.decode(), messages.state(now.rule, now), p) for key, (p, now) in changed.items()
        ]
        await self._send([*known, *states])

    async def _send(self, records: Sequence[Record]) -> None:
        """Send the records, and return when the broker has acknowledged all of them."""
        producer = self.app.producer
        try:
            sent = [await producer.send(r.topic, r.key.encode(), r.value, r.partition, None, None) for r in records]
            await asyncio.gather(*sent)
        except (KafkaError, ProducerSendError) as exc:
            raise Halted(Halt.UNDELIVERED, f"{exc}; restart the worker: it compares with the ledger again") from exc

    def _written(self, table: "_Values[_V]", key: bytes, value: _V, partition: int) -> Record:
        """Write a value to the table. Returns the record for its changelog, in the same partition as the totals."""
        return Record(table.topic, key.decode(), table.put(key, value), partition)

    def _totals(self, message: Any) -> list[Total]:
        where = f"{message.topic}/{message.partition} at offset {message.offset}"
        try:
            totals = decoded(message.value)
        except BadTotal as exc:
            raise Halted(Halt.BAD_MESSAGE, f"{where}: {exc}; find its producer, then move the group past it") from exc
        partner_id = totals[0].partner_id
        if partition_of_key(partner_id, self._settings.partitions) != message.partition:
            raise Halted(
                Halt.BAD_MESSAGE,
                f"{where}: partner {partner_id} belongs to another partition, so its totals would not be summed. "
                f"The producer must choose partitions by murmur2 of the partner",
            )
        return totals

    def _table(self, name: str, merge: Callable[[bytes | None, bytes], bytes]) -> Grown:
        def checked(known: bytes | None, value: bytes) -> bytes:
            try:
                return merge(known, value)
            except _UNREADABLE as exc:
                self.fail(Halted(Halt.BAD_MESSAGE, f"changelog of table {name}: a value cannot be decoded: {exc!r}"))
                raise

        table = Grown(
            self.app, name=name, merge=checked, partitions=self._settings.partitions, beacon=self.app.tables.beacon
        )
        self.app.tables.add(table)
        return table


def changelogs(app_id: str) -> tuple[str, str, str]:
    """The topics that Faust uses itself. They must exist before its first start, or it loses totals."""
    return f"{app_id}-latest-changelog", f"{app_id}-fired-changelog", f"{app_id}-__assignor-__leader"


def _app(settings: QuotaSettings) -> Steady:
    return Steady(
        settings.app_id,
        broker=[f"kafka://{server.strip()}" for server in settings.brokers.split(",")],
        broker_credentials=settings.credentials,
        broker_session_timeout=settings.session_timeout_s,
        broker_heartbeat_interval=settings.session_timeout_s / 5,
        broker_commit_interval=1.0,
        consumer_auto_offset_reset="earliest",
        consumer_group_instance_id=settings.instance,
        producer_acks=-1,
        producer_linger=0,
        producer_request_timeout=30,
        producer_compression_type="lz4",
        processing_guarantee="at_least_once",
        store="memory://",
        table_standby_replicas=0,
        topic_allow_declare=False,
        topic_partitions=settings.partitions,
        web_enabled=False,
        autodiscover=False,
        env_prefix="TOLLBOOK_FAUST_",  # so that unrelated variables do not configure it
    )


def _merged_parts(known: bytes | None, added: bytes) -> bytes:
    parts = sums.parts_decoded(added)
    return sums.parts_encoded(sums.merged(sums.parts_decoded(known), parts)) if known else added


def _merged_fired(known: bytes | None, added: bytes) -> bytes:
    fired = sums.fired_decoded(added)
    return sums.fired_encoded(sums.union(sums.fired_decoded(known), fired)) if known else added
