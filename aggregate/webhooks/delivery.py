"""Delivers alerts as Standard Webhooks: a consumer per endpoint posts each alert until it is delivered.

It is not a Faust agent, which would treat a failed alert as done, and let one slow receiver delay all. Here, each
endpoint has its own group, whose offset is committed after delivery: at least once, always with the id of the alert. An
endpoint that responds with 410 gets nothing until the next start; its alerts wait.
"""

import asyncio
import json
import logging
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from enum import Enum, auto
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any, NamedTuple

import httpx
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from tenacity import RetryCallState, Retrying, retry_if_result, wait_random_exponential

from aggregate.alerts.messages import CONTENT_TYPE
from aggregate.webhooks.endpoints import Endpoint
from schemas.halts import Halt, Halted

TIMEOUT_S = 15  # from name resolution to the status of the response
_POLL_S = 0.5
_TIMEOUT_KAFKA_S = 30
_OK, _REDIRECT, _GONE = 200, 300, 410
_NAT64 = ip_network("64:ff9b::/96")


class Answer(Enum):
    """The outcome of one attempt."""

    DELIVERED = auto()
    DISABLED = auto()  # 410
    AGAIN = auto()


class Notice(NamedTuple):
    """An alert to post. `body` is the value of its message in the topic."""

    alert_id: str
    partner: str
    body: bytes


class Backoff(NamedTuple):
    """Random waits between attempts: up to `first_s`, doubled each time, at most `max_s`."""

    first_s: float = 2
    max_s: float = 300


class Forbidden(Exception):
    """The name resolves to an address that webhooks may not reach."""


class Courier:
    """Delivers to one endpoint until it is stopped. It owns its consumer, and runs in one thread."""

    def __init__(
        self,
        endpoint: Endpoint,
        consumer: Consumer,
        topic: str,
        *,
        log: logging.Logger,
        clock: Callable[[], datetime],
        stop: threading.Event,
        backoff: Backoff = Backoff(),  # noqa: B008  # a constant
        on_attempt: Callable[[str, Answer], None] = lambda _, __: None,
    ) -> None:
        """`on_attempt` receives the endpoint's name and the outcome of each attempt."""
        self._endpoint = endpoint
        self._consumer = consumer
        self._topic = topic
        self._log = log
        self._clock = clock
        self._stop = stop
        self._backoff = backoff
        self._on_attempt = on_attempt
        self._tls = httpx.create_ssl_context()
        self._mine: set[int] = set()
        self._resting = False

    def run(self) -> None:
        """Run until `stop` is set, or the endpoint responds with 410.

        Raises Halted for causes that somebody must fix.
        """
        self._consumer.subscribe(
            [self._topic], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._revoked
        )
        try:
            while not self._stop.is_set():
                message = self._consumer.poll(_POLL_S)
                if message is not None and not self._done_with(message):
                    break
        finally:
            self._consumer.close()

    def _done_with(self, message: Message) -> bool:
        """Deliver the alert of a message, and commit. False: stop delivering."""
        if (error := message.error()) is not None:
            if error.code() == KafkaError._AUTO_OFFSET_RESET:  # the library's public name for it
                raise Halted(
                    Halt.RETENTION_GAP, f"webhook {self._endpoint.name}: alerts were deleted undelivered: {error.str()}"
                )
            raise KafkaException(error)
        notice = notice_of(message)
        if self._endpoint.partner in {None, notice.partner}:
            answer = self._delivered(notice, int(message.partition() or 0))
            if answer is Answer.DISABLED:
                self._log_attempt(logging.ERROR, "answered 410 and gets no more until the next start", notice)
                return False
            if answer is Answer.AGAIN:
                return True  # stopped, or the partition is another's now: not committed
        self._commit(message)
        return True

    def _delivered(self, notice: Notice, partition: int) -> Answer:
        retrying = Retrying(
            sleep=lambda seconds: self._rest(seconds, partition),
            wait=wait_random_exponential(multiplier=self._backoff.first_s, max=self._backoff.max_s),
            retry=retry_if_result(lambda answer: answer is Answer.AGAIN),
            stop=lambda _: not self._goes_on(partition),
            before_sleep=lambda state: self._report(notice, state),
            retry_error_callback=lambda _: Answer.AGAIN,
        )
        answer: Answer = retrying(self._attempt, notice, partition)
        return answer

    def _attempt(self, notice: Notice, partition: int) -> Answer:
        if not self._goes_on(partition):
            return Answer.AGAIN
        answer = self._posted(notice)
        self._on_attempt(self._endpoint.name, answer)
        return answer

    def _posted(self, notice: Notice) -> Answer:
        try:
            status = asyncio.run(posted(self._endpoint, notice, self._clock(), self._tls))
        except (httpx.HTTPError, OSError, Forbidden) as exc:  # a timeout is an OSError
            self._failure = f"{type(exc).__name__}: {exc}" if isinstance(exc, Forbidden) else type(exc).__name__
            return Answer.AGAIN
        self._failure = f"status {status}"
        if status == _GONE:
            return Answer.DISABLED
        if _OK <= status < _REDIRECT:
            self._log_attempt(logging.INFO, "delivered", notice)
            return Answer.DELIVERED
        return Answer.AGAIN

    def _report(self, notice: Notice, state: RetryCallState) -> None:
        wait_s = round(state.next_action.sleep, 1) if state.next_action else None
        self._log_attempt(logging.WARNING, self._failure, notice, attempt=state.attempt_number, again_in_s=wait_s)

    def _rest(self, seconds: float, partition: int) -> None:
        """Wait while staying a member of the group. Ends early when stopped or when the partition is lost."""
        self._resting = True
        self._consumer.pause(self._consumer.assignment())
        left_s = seconds
        while left_s > 0 and self._goes_on(partition):
            message = self._consumer.poll(min(left_s, _POLL_S))
            assert message is None or message.error() is not None, "nothing comes from what is paused"
            left_s -= _POLL_S
        self._resting = False
        self._consumer.resume(self._consumer.assignment())

    def _goes_on(self, partition: int) -> bool:
        return not self._stop.is_set() and partition in self._mine

    def _commit(self, message: Message) -> None:
        try:
            self._consumer.commit(message=message, asynchronous=False)
        except KafkaException as exc:
            if message.partition() in self._mine:
                raise
            self._log.warning(
                "webhook %s: delivered, and the partition went to another meanwhile: %s", self._endpoint.name, exc
            )

    def _assigned(self, consumer: Consumer, partitions: Sequence[TopicPartition]) -> None:
        """Continue after the delivered alerts. A new endpoint begins with the oldest alert."""
        begin = consumer.committed(list(partitions), timeout=_TIMEOUT_KAFKA_S)
        for where in begin:
            if where.offset < 0:
                where.offset = consumer.get_watermark_offsets(where, timeout=_TIMEOUT_KAFKA_S)[0]
        consumer.incremental_assign(begin)
        self._mine |= {p.partition for p in partitions}
        if self._resting:
            consumer.pause(list(partitions))

    def _revoked(self, consumer: Consumer, partitions: Sequence[TopicPartition]) -> None:
        self._mine -= {p.partition for p in partitions}
        consumer.incremental_unassign(list(partitions))

    def _log_attempt(self, level: int, what: str, notice: Notice, **fields: Any) -> None:
        fields = {"webhook": self._endpoint.name, "alert": notice.alert_id, **fields}
        self._log.log(level, "webhook %s: %s", self._endpoint.name, what, extra={"fields": fields})


def notice_of(message: Message) -> Notice:
    """The alert of a message. Raises Halted for one that is none: it is not passed over."""
    try:
        event: Mapping[str, Any] = json.loads(message.value() or b"")
        return Notice(str(event["id"]), str(event["subject"]), message.value() or b"")
    except (ValueError, KeyError, TypeError) as exc:
        where = f"{message.topic()}/{message.partition()} at offset {message.offset()}"
        raise Halted(Halt.BAD_MESSAGE, f"{where} is not an alert: {exc!r}") from exc


async def posted(endpoint: Endpoint, notice: Notice, now: datetime, tls: Any) -> int:
    """The status of the response to one attempt. Nothing else of it is read, and redirects are not followed.

    The name is resolved once. The connection goes to the checked address, and TLS verifies the name.
    """
    url = httpx.URL(endpoint.url)
    headers = {
        "host": url.netloc.decode(),
        "content-type": CONTENT_TYPE,
        "user-agent": "tollbook",
        "webhook-id": notice.alert_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(key.sign(notice.alert_id, now, notice.body.decode()) for key in endpoint.keys),
    }
    async with asyncio.timeout(TIMEOUT_S):
        address = await resolved(url.host, url.port or 443, private=endpoint.private)
        async with (
            httpx.AsyncClient(verify=tls, trust_env=False, follow_redirects=False, timeout=TIMEOUT_S) as client,
            client.stream(
                "POST",
                url.copy_with(host=address),
                content=notice.body,
                headers=headers,
                extensions={"sni_hostname": url.host},
            ) as response,
        ):
            return response.status_code


async def resolved(host: str, port: int, *, private: bool) -> str:
    """An address of `host`. Raises Forbidden if one is not on the public internet, unless `private`."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = [ip_address(sockaddr[0]) for *_, sockaddr in found]
    inside = [a for a in addresses if not is_public(a)]
    if inside and not private:
        raise Forbidden(f"{host} resolves to {inside[0]}, which is not on the public internet")
    return str(addresses[0])


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Whether an address is on the public internet, also after unwrapping mapped, translated and tunneled addresses."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return is_public(address.ipv4_mapped)
        if address in _NAT64:
            return is_public(IPv4Address(int(address) & 0xFFFF_FFFF))
        if address.sixtofour is not None or address.teredo is not None:
            return False
    return address.is_global and not address.is_multicast
