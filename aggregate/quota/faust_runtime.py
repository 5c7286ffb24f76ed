"""Changes to Faust for the quota worker: no lost messages after a rebalance, merged changelogs, no hanging threads."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import faust
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer, Transport
from faust.types import TP
from mode.threads import ServiceThread, WorkerThread
from mode.utils.queues import ThrowableQueue


class Grown(faust.Table[bytes, bytes]):
    """A table in memory whose changelog is merged on recovery.

    A late write of a former owner therefore does not undo newer ones.
    """

    mundane_level = "debug"  # do not log starts

    def __init__(self, app: faust.App, *, merge: Callable[[bytes | None, bytes], bytes], **options: Any) -> None:
        super().__init__(app, key_type=bytes, value_type=bytes, **options)
        self._merge = merge

    def apply_changelog_batch(self, batch: Iterable[Any]) -> None:
        """Merge records of the changelog, in order. Called by recovery."""
        for event in batch:
            message = event.message
            self.data[message.key] = self._merge(self.data.get(message.key), message.value)


class Kept(faust.Topic):
    """A topic that keeps its fetched messages when flow resumes after a rebalance.

    Faust clears the queues of topics then, including messages that it fetched after seeking to the committed offsets.
    These totals were never processed, and later commits could skip them. Messages from before are recognized by their
    generation.
    """

    @property
    def queue(self) -> ThrowableQueue[Any]:
        """The queue that the agent reads from."""
        if self._queue is None:
            self._queue = self.app.FlowControlQueue(self.app.conf.stream_buffer_maxsize, clear_on_resume=False)
        return self._queue


class _Daemon(WorkerThread):
    """A Faust thread that does not keep a failed process alive."""

    def __init__(self, service: ServiceThread, **options: Any) -> None:
        super().__init__(service, **options)
        self.daemon = True


ServiceThread.Worker = _Daemon


class _SeekingThread(AIOKafkaConsumerThread):
    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Seek to the beginning if nothing, or 0, is committed.

        Otherwise the client stays behind messages that were discarded.

        Without this, a first total was never processed, and a later one would have committed past it.
        """
        committed = await super().seek_to_committed()
        changelogs = self.app.tables.changelog_topics
        new = [tp for tp, offset in committed.items() if not offset and tp.topic not in changelogs]
        if new:
            await self.seek_to_beginning(*new)
        return committed


class _SeekingConsumer(Consumer):
    def _new_consumer_thread(self) -> AIOKafkaConsumerThread:
        return _SeekingThread(self, loop=self.loop, beacon=self.beacon)


class _SeekingTransport(Transport):
    Consumer = _SeekingConsumer


class Steady(faust.App):
    """An application that seeks to the committed offsets after every rebalance, and creates no folders."""

    mundane_level = "debug"

    def _new_transport(self) -> Transport:
        return _SeekingTransport(self.conf.broker_consumer, self)

    def _create_directories(self) -> None:
        """Create no folders, as the tables are in memory."""
