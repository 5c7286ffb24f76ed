"""How much of the door one sender may have: rates, room, failed attempts. Time is a number that the test moves."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.http.admission import (
    FAILURES_MAX,
    FailedAttempts,
    MemoryBudget,
    Overloaded,
    RateLimited,
    RateLimiter,
    logged_network,
    network,
)

MIB = 1 << 20


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@given(st.lists(st.tuples(st.integers(0, 3000), st.integers(1, 20_000)), min_size=1, max_size=60))
def test_no_producer_gets_more_than_its_rate(requests: list[tuple[int, int]]) -> None:
    """S22, as a law: what is admitted up to any moment is the burst, the refill since, and at most one more request."""
    clock, per_s, burst = Clock(), 1000, 5000
    meter, let_in, largest = RateLimiter(clock), 0, 0
    for wait_ms, events in requests:
        clock.now_s += wait_ms / 1000
        try:
            meter.enter("a", per_s, burst)
        except RateLimited:
            continue
        meter.take("a", per_s, burst, events)
        let_in, largest = let_in + events, max(largest, events)
        assert let_in <= burst + per_s * clock.now_s + largest


def test_a_limited_producer_is_let_in_after_the_time_it_was_told() -> None:
    """And not before: Retry-After is exact. No other producer is affected."""
    clock = Clock()
    meter = RateLimiter(clock)
    meter.enter("a", 10, 5)
    meter.take("a", 10, 5, 100)
    with pytest.raises(RateLimited) as told:
        meter.enter("a", 10, 5)
    assert told.value.retry_after_s == 10
    meter.enter("b", 10, 5)
    clock.now_s = 9.5
    with pytest.raises(RateLimited):
        meter.enter("a", 10, 5)
    clock.now_s = told.value.retry_after_s
    meter.enter("a", 10, 5)


def test_an_empty_request_costs_something() -> None:
    """Otherwise requests without events would be free for ever."""
    meter = RateLimiter(Clock())
    for _ in range(3):
        meter.enter("a", 1, 3)
        meter.take("a", 1, 3, 0)
    with pytest.raises(RateLimited):
        meter.enter("a", 1, 3)


def test_room_is_shared() -> None:
    """One producer gets a quarter; all together no more than the total. Released memory can be reserved again."""
    room = MemoryBudget(64 * MIB)
    room.take("a", 16 * MIB)
    with pytest.raises(RateLimited):
        room.take("a", 1)
    for name in ("b", "c", "d"):
        room.take(name, 16 * MIB)
    with pytest.raises(Overloaded):
        room.take("e", 1)
    room.give_back("a", 16 * MIB)
    room.take("e", 16 * MIB)
    assert room.used == 64 * MIB


def test_failed_attempts_of_an_address_are_counted() -> None:
    """S17: twenty in a minute, then no more, and again after the minute. Other addresses are unaffected."""
    clock = Clock()
    attempts = FailedAttempts(clock)
    for _ in range(FAILURES_MAX):
        attempts.failed("203.0.113.9")
    with pytest.raises(RateLimited) as told:
        attempts.failed("203.0.113.9")
    assert 1 <= told.value.retry_after_s <= 61
    attempts.failed("203.0.113.10")
    clock.now_s = 60.0
    attempts.failed("203.0.113.9")


def test_addresses_of_one_customer_are_one() -> None:
    """A customer with IPv6 has 2^64 addresses."""
    attempts = FailedAttempts(Clock())
    for i in range(FAILURES_MAX):
        attempts.failed(f"2001:db8:1:2::{i:x}")
    with pytest.raises(RateLimited):
        attempts.failed("2001:db8:1:2:ffff::1")
    attempts.failed("2001:db8:1:3::1")
    assert network("::ffff:203.0.113.9") == "203.0.113.9"


@pytest.mark.integration
def test_memory_of_attempts_is_bounded() -> None:
    """A flood from many addresses must not become a flood of memory."""
    attempts = FailedAttempts(Clock())
    for i in range(12_000):
        attempts.failed(f"10.{i >> 16}.{i >> 8 & 255}.{i & 255}")
    assert len(attempts._failures) <= 10_001


def test_logs_hold_networks_only() -> None:
    """S20: /24 and /48, never the address."""
    assert logged_network("203.0.113.77") == "203.0.113.0/24"
    assert logged_network("2001:db8:1:2::3") == "2001:db8:1::/48"
    assert logged_network("unix:") == ""
