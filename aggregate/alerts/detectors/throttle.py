"""Throttle breaches: more requests in a second than the rate and burst of the plan allow.

The rule is a token bucket on the counts of whole seconds of event time. The bucket holds `capacity` tokens, the greater
of the burst and of one second's rate, since a gateway refills the bucket within the second as well. At the start of
each second the bucket gains `rate` tokens, up to its capacity, and each request of the second takes one. A request that
finds no token is over the limit. It takes nothing, as a request that a gateway refuses takes nothing either:

    available = min(capacity, level + rate)      excess = max(0, requests - available)
    level     = max(0, available - requests)

The bucket is full when the plan begins. A second with an excess is in breach. Breaches that are at most QUIET_S seconds
apart are one episode, and an episode is one alert.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

from schemas.alerts import Alert, Kind

QUIET_S = 60  # a client that retries with the usual pauses stays in one episode, and a new burst a minute later is news
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Throttled(NamedTuple):
    """A partner's throttle under a plan."""

    partner_id: str
    plan: str
    rate_per_s: Decimal
    burst: int


class SecondCount(NamedTuple):
    """The requests of a partner in one second of event time, and how many of them were answered with 429."""

    second: int  # since the epoch
    requests: int
    refused: int


class Episode(NamedTuple):
    """Breaches that belong together. `requests` and `refused` are of all its seconds, from the first to the last."""

    first: int
    last: int
    peak: int  # requests in its busiest second
    excess: Fraction
    requests: int
    refused: int


class Breaches(NamedTuple):
    """The episodes of a run of seconds, and the level of the bucket after the last of them."""

    episodes: list[Episode]
    level: Fraction


def breaches(counts: Iterable[SecondCount], throttled: Throttled, level: Fraction | None = None) -> Breaches:
    """The episodes in counts that ascend by second. Seconds without requests may be left out.

    `level`: the tokens before the first second; None: a full bucket.
    """
    rate = Fraction(throttled.rate_per_s)
    parts = rate.denominator  # of a token: integers are exact as well, and many times faster than fractions
    gain = rate.numerator
    capacity = max(throttled.burst * parts, gain)
    left = capacity if level is None else int(level * parts)
    before: int | None = None
    episodes: list[Episode] = []
    within: list[SecondCount] = []  # the seconds since the first breach of an episode
    last, excess = 0, 0
    for count in counts:
        second, requests, _ = count
        available = left + gain * (1 if before is None else second - before)
        available = min(capacity, available) - requests * parts
        before = second
        left = max(0, available)
        if within and second - last > QUIET_S:
            episodes.append(_episode(within, last, Fraction(excess, parts)))
            within, excess = [], 0
        if available < 0:
            last, excess = second, excess - available
        if available < 0 or within:
            within.append(count)
    if within:
        episodes.append(_episode(within, last, Fraction(excess, parts)))
    return Breaches(episodes, Fraction(left, parts))


def is_full_before(counts: Sequence[SecondCount], second: int, throttled: Throttled) -> bool:
    """Whether the counts before a second tell the level at it and the episodes that reach it, whatever was before.

    They do if an empty bucket and a full one come to the same level and the same episodes: a level between both then
    has the same breaches. No episode may begin so early that it could be joined to one before the counts.
    """
    earlier = [count for count in counts if count.second < second]
    if not earlier:
        return False
    empty = breaches(earlier, throttled, Fraction(0))
    full = breaches(earlier, throttled)
    if empty.level != full.level:
        return False
    reaching, same = ([e for e in found.episodes if e.last + QUIET_S >= second] for found in (empty, full))
    return reaching == same and all(e.first - earlier[0].second > QUIET_S for e in reaching)


def alert_of(episode: Episode, throttled: Throttled) -> Alert:
    """The alert about an episode."""
    start = _EPOCH + timedelta(seconds=episode.first)
    return Alert(
        Kind.THROTTLE,
        throttled.partner_id,
        {"plan": throttled.plan, "start": start.isoformat()},
        start,
        {
            "rate_per_s": str(throttled.rate_per_s),
            "burst": throttled.burst,
            "peak_per_s": episode.peak,
            "excess": _rounded(episode.excess),
            "requests": episode.requests,
            "refused": episode.refused,
            "refused_percent": _rounded(Fraction(100 * episode.refused, episode.requests)),
        },
        throttled.partner_id,
        _EPOCH + timedelta(seconds=episode.last + 1),
    )


def _episode(within: Sequence[SecondCount], last: int, excess: Fraction) -> Episode:
    seconds = [count for count in within if count.second <= last]
    return Episode(
        seconds[0].second,
        last,
        max(count.requests for count in seconds),
        excess,
        sum(count.requests for count in seconds),
        sum(count.refused for count in seconds),
    )


def _rounded(value: Fraction) -> str:
    """The value as text, with at most two decimals; half a cent of a percent is rounded up."""
    hundredths = (value * 100 + Fraction(1, 2)).__floor__()
    whole, rest = divmod(hundredths, 100)
    return f"{whole}.{rest:02}".rstrip("0").rstrip(".") if rest else str(whole)
