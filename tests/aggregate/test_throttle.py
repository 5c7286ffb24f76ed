"""Throttle breaches against a bucket that is filled and emptied second by second."""

from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aggregate.alerts.detectors.throttle import Episode, SecondCount, Throttled, alert_of, breaches, is_full_before
from tests.aggregate.throttle_oracle import episodes_of
from tests.long import amount


class Case(NamedTuple):
    """Requests by second, and a throttle."""

    rate: Decimal
    burst: int
    counts: list[SecondCount]

    @property
    def throttled(self) -> Throttled:
        return Throttled("acme", "small", self.rate, self.burst)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Small rates, bursts below and above them, seconds with and without requests, pauses around a minute."""
    rate = draw(st.sampled_from(["0.25", "1", "2.5", "3", "10", "0.001"]))
    gaps = st.sampled_from([1, 1, 1, 2, 3, 58, 59, 60, 61, 62, 200])
    second, counts = 1_790_812_790, []
    for gap, requests in draw(st.lists(st.tuples(gaps, st.integers(1, 14)), max_size=40)):
        second += gap
        counts.append(SecondCount(second, requests, draw(st.integers(0, requests))))
    return Case(Decimal(rate), draw(st.integers(0, 12)), counts)


@settings(max_examples=amount(100, 400, 20_000), deadline=None)
@given(cases())
def test_episodes_are_those_of_a_bucket_that_is_followed_second_by_second(case: Case) -> None:
    """Pauses are skipped at once, and must give what each of their seconds would."""
    found = breaches(case.counts, case.throttled).episodes
    assert [tuple(episode) for episode in found] == episodes_of(
        {second: (requests, refused) for second, requests, refused in case.counts}, Fraction(case.rate), case.burst
    )


@settings(max_examples=amount(60, 250, 10_000), deadline=None)
@given(cases(), st.integers(0, 60))
def test_where_the_level_is_known_what_was_before_does_not_matter(case: Case, cut: int) -> None:
    """Otherwise more days would have to be read."""
    later = case.counts[cut:]
    if not later or not is_full_before(later, later[-1].second, case.throttled):
        return
    since = later[-1].second
    assert [e for e in breaches(case.counts, case.throttled).episodes if e.last >= since] == [
        e for e in breaches(later, case.throttled).episodes if e.last >= since
    ]


def test_a_level_that_is_known_tells_not_when_an_episode_began() -> None:
    """A partner that is over its limit from one day to the next: an empty bucket has a breach before both are empty."""
    throttled = Throttled("acme", "p", Decimal(1), 600)
    seen = [(5, 1), (105, 300), (145, 1000), *((second, 100) for second in range(200, 400, 50))]
    counts = [SecondCount(second, requests, 0) for second, requests in seen]
    before = [SecondCount(-10, 600, 0)]
    assert breaches([*before, *counts], throttled).episodes[0].first == 105
    assert breaches(counts, throttled).episodes[0].first == 145
    assert not is_full_before(counts, 400, throttled)
    assert is_full_before(counts, 461, throttled), "no episode reaches so far"


def test_six_hundred_requests_in_one_second_are_one_breach() -> None:
    """As an imported throttle of 100/s with a burst of 50 has it: 450 of them were answered with 429."""
    throttled = Throttled("acme", "imported", Decimal(100), 50)
    [episode] = breaches([SecondCount(1_790_812_800, 600, 450)], throttled).episodes
    alert = alert_of(episode, throttled)
    assert alert.at == datetime(2026, 10, 1, tzinfo=UTC)
    assert alert.ends_at == datetime(2026, 10, 1, 0, 0, 1, tzinfo=UTC)
    assert alert.evidence == {
        "rate_per_s": "100", "burst": 50, "peak_per_s": 600, "excess": "500", "requests": 600, "refused": 450,
        "refused_percent": "75",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("rate", "burst", "counts", "expected"),
    [
        pytest.param("5", 5, [(0, 5), (1, 5), (2, 5)], [], id="the rate itself is allowed for ever"),
        pytest.param("5", 1, [(0, 5), (1, 5)], [], id="also with a burst below one second's rate"),
        pytest.param("5", 20, [(0, 20), (1, 5)], [], id="the burst, and then the rate"),
        pytest.param("5", 20, [(0, 20), (1, 6)], [(1, 1, 6, 1)], id="one more"),
        pytest.param("5", 20, [(0, 20), (4, 20)], [], id="four seconds refill it"),
        pytest.param("5", 20, [(0, 20), (3, 20)], [(3, 3, 20, 5)], id="three do not"),
        pytest.param("5", 5, [(0, 9), (60, 9)], [(0, 60, 9, 8)], id="a minute apart: one episode"),
        pytest.param("5", 5, [(0, 9), (61, 9)], [(0, 0, 9, 4), (61, 61, 9, 4)], id="more: two"),
        pytest.param("0.5", 1, [(0, 1), (1, 1)], [(1, 1, 1, Fraction(1, 2))], id="half a token is none"),
    ],
)
def test_what_is_a_breach(
    rate: str, burst: int, counts: list[tuple[int, int]], expected: list[tuple[int, int, int, Fraction]]
) -> None:
    """First and last second, peak and excess."""
    found = breaches([SecondCount(at, n, 0) for at, n in counts], Throttled("acme", "p", Decimal(rate), burst))
    assert [(e.first, e.last, e.peak, e.excess) for e in found.episodes] == expected


def test_shares_are_rounded_for_people() -> None:
    """Two decimals at most, none if there are none."""
    alert = alert_of(Episode(0, 0, 3, Fraction(1, 3), 3, 2), Throttled("acme", "p", Decimal("0.5"), 1))
    assert (alert.evidence["excess"], alert.evidence["refused_percent"]) == ("0.33", "66.67")
