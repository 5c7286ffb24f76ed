"""Admission: how fast a producer may send, how much may be in memory, how often an address may fail to authenticate.

Every count is bounded and charged to its originator. Clocks are injected, monotonic, in seconds. Not thread-safe.
"""

import math
from collections import OrderedDict
from collections.abc import Callable, Collection
from ipaddress import AddressValueError, IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import NamedTuple

Clock = Callable[[], float]
FAILURES_MAX, FAILURES_S = 20, 60.0
_ADDRESSES_MAX = 10_000
_SHARE = 4  # one producer gets a quarter, so that no producer alone fills the memory while the broker is slow


class RateLimited(Exception):
    """Refused for now: the producer exceeds its share (429)."""

    def __init__(self, retry_after_s: int) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(retry_after_s)


class Overloaded(Exception):
    """Refused for now: all producers together exceed the capacity (503)."""


class RateLimiter:
    """A token bucket of events for each producer.

    A request is admitted while the bucket has at least one event. Its events are subtracted after counting, so that the
    level may be negative: no batch is too large for a bucket.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._levels: dict[str, tuple[float, float]] = {}

    def enter(self, producer: str, per_s: int, burst: int) -> None:
        """Raises RateLimited while the bucket has less than one event."""
        level = self._level(producer, per_s, burst)
        if level < 1:
            raise RateLimited(min(3600, math.ceil((1 - level) / per_s)))

    def take(self, producer: str, per_s: int, burst: int, events: int) -> None:
        """Subtract events; a request costs at least one."""
        self._levels[producer] = (self._level(producer, per_s, burst) - max(1, events), self._clock())

    def _level(self, producer: str, per_s: int, burst: int) -> float:
        level, at = self._levels.get(producer, (float(burst), self._clock()))
        return min(float(burst), level + (self._clock() - at) * per_s)


class MemoryBudget:
    """The bytes of requests that may be in memory: while they are read, decoded and sent to Kafka."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._used_by: dict[str, int] = {}
        self.used = 0

    def take(self, producer: str, size: int) -> None:
        """Reserve bytes, to be given back. Raises Overloaded, RateLimited."""
        if self.used + size > self._size:
            raise Overloaded
        if self._used_by.get(producer, 0) + size > self._size // _SHARE:
            raise RateLimited(1)
        self.used += size
        self._used_by[producer] = self._used_by.get(producer, 0) + size

    def give_back(self, producer: str, size: int) -> None:
        """Release bytes after a request, whatever its outcome."""
        self.used -= size
        self._used_by[producer] -= size
        if not self._used_by[producer]:
            del self._used_by[producer]


class _Failures(NamedTuple):
    since_s: float
    failures: int


class FailedAttempts:
    """Failed authentications by address: after 20 in a minute the response is 429.

    A valid credential is still accepted; otherwise an unknown client behind the same address could lock a producer out.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failures: OrderedDict[str, _Failures] = OrderedDict()

    def failed(self, address: str) -> None:
        """Count a failure. Raises RateLimited if there were too many already."""
        now, key = self._clock(), network(address)
        known = self._failures.pop(key, None)
        if known is None or now - known.since_s >= FAILURES_S:
            known = _Failures(now, 0)
        self._failures[key] = known._replace(failures=known.failures + 1)
        if len(self._failures) > _ADDRESSES_MAX:
            self._failures.popitem(last=False)
        if known.failures >= FAILURES_MAX:
            raise RateLimited(int(FAILURES_S - (now - known.since_s)) + 1)


class ConnectionLimits:
    """The number of open connections, in total and per address, so that nobody can use up all connections.

    A proxy's connections belong to many clients: it has no limit of its own.
    """

    def __init__(self, most: int, most_of_one: int, proxies: Collection[str] = ()) -> None:
        """`proxies`: addresses and networks. Anything else (a name, `*`) exempts nobody."""
        self._most = most
        self._most_of_one = most_of_one
        self._proxies = [found for proxy in proxies if (found := _network(proxy)) is not None]
        self._of_one: dict[str, int] = {}
        self._open = 0

    def enter(self, address: str) -> None:
        """Count a connection, which must leave. Raises RateLimited or Overloaded, and then does not count it."""
        key = network(address)
        if self._of_one.get(key, 0) >= self._most_of_one and not self._is_proxy(address):
            raise RateLimited(1)
        if self._open >= self._most:
            raise Overloaded
        self._open += 1
        self._of_one[key] = self._of_one.get(key, 0) + 1

    def leave(self, address: str) -> None:
        """Call when a connection has closed."""
        key = network(address)
        self._open -= 1
        self._of_one[key] -= 1
        if not self._of_one[key]:
            del self._of_one[key]

    def _is_proxy(self, address: str) -> bool:
        if not self._proxies:
            return False
        try:
            ip = ip_address(address)
        except ValueError:
            return False
        return any(ip in proxy for proxy in self._proxies)


def _network(text: str) -> IPv4Network | IPv6Network | None:
    try:
        return ip_network(text, strict=False)
    except ValueError:
        return None


def network(address: str) -> str:
    """What is counted for an address: the address itself, or the /64 of IPv6, which belongs to one customer."""
    try:
        ip = ip_address(address)
    except ValueError:
        return ""
    if isinstance(ip, IPv6Address):
        return str(ip.ipv4_mapped) if ip.ipv4_mapped else str(IPv6Address(int(ip) >> 64 << 64))
    return str(ip)


def logged_network(address: str) -> str:
    """What a log may contain of an address: /24, or /48 of IPv6."""
    try:
        ip = ip_address(address)
    except (ValueError, AddressValueError):
        return ""
    if isinstance(ip, IPv4Address):
        return f"{IPv4Address(int(ip) >> 8 << 8)}/24"
    return f"{IPv6Address(int(ip) >> 80 << 80)}/48"
