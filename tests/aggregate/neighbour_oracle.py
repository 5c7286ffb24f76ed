"""Noisy neighbours once more, from docs/alerts.md: each window is looked at with all requests. Nothing of ours."""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import NamedTuple

MINUTE = 60_000_000


class Request(NamedTuple):
    """One request. Times are microseconds since the epoch."""

    at: int
    partner: str
    size: int  # bytes in both directions
    took: int | None
    status: int


class Told(NamedTuple):
    """An alert: what the operator is told."""

    partner: str
    start: int
    end: int | None
    causes: str
    effects: str
    requests: int
    shares: tuple[Fraction | None, ...]  # of requests, bytes and time, during; then before
    others: tuple[
        tuple[int, Fraction | None, Fraction | None], ...
    ]  # requests, p95 in ms, percent of errors; then before


def told_of(requests: Sequence[Request]) -> set[Told]:
    """All alerts that hold, for windows of five minutes up to the newest request."""
    if not requests:
        return set()
    size = 5 * MINUTE
    newest = max(r.at for r in requests)
    complete = newest // size
    found = set()
    for partner in {r.partner for r in requests}:
        windows = sorted({r.at // size for r in requests if r.at // size < complete})
        noisy = [w for w in windows if is_noisy(requests, partner, w, w)]
        for window in noisy:
            if any(window - 12 <= other < window for other in noisy):
                continue
            last = window
            while last + 1 < min(complete, window + 24) and is_noisy(requests, partner, last + 1, window):
                last += 1
            goes_on = last + 1 == complete and last + 1 < window + 24
            during = inside(requests, window, last + 1)
            before = inside(requests, window - 12, window)
            others = [[r for r in some if r.partner != partner] for some in (during, before)]
            first_others = [r for r in inside(requests, window, window + 1) if r.partner != partner]
            found.add(
                Told(
                    partner,
                    window * size,
                    None if goes_on else (last + 1) * size,
                    ", ".join(causes(requests, partner, window, window)),
                    ", ".join(worse(first_others, others[1])),
                    sum(r.partner == partner for r in during),
                    tuple(share(mine(some, partner, i), mine(some, None, i)) for some in (during, before) for i in range(3)),
                    tuple((len(some), p95(some), share(failed(some), len(some))) for some in others),
                )
            )  # fmt: skip
    return found


def is_noisy(requests: Sequence[Request], partner: str, window: int, base: int) -> bool:
    """Whether a window is noisy when it is compared with the hour before the window `base`."""
    if not causes(requests, partner, window, base):
        return False
    during = [r for r in inside(requests, window, window + 1) if r.partner != partner]
    before = [r for r in inside(requests, base - 12, base) if r.partner != partner]
    return bool(worse(during, before))


def causes(requests: Sequence[Request], partner: str, window: int, base: int) -> list[str]:
    now, before = inside(requests, window, window + 1), inside(requests, base - 12, base)
    with_traffic = len({r.at // (5 * MINUTE) for r in before})
    if mine(now, partner, 0) < 100 or with_traffic < 3:
        return []
    found = []
    for name, which in (("requests", 0), ("bytes", 1)):
        own, all_ = mine(now, partner, which), mine(now, None, which)
        own_then, all_then = mine(before, partner, which), mine(before, None, which)
        if own == 0 or Fraction(own, all_) < Fraction(1, 5):
            continue
        if all_then and Fraction(own, all_) < 2 * Fraction(own_then, all_then):
            continue
        if own < 3 * Fraction(own_then, with_traffic):
            continue
        found.append(name)
    return found


def worse(during: Sequence[Request], before: Sequence[Request]) -> list[str]:
    found = []
    if min(sum(r.took is not None for r in some) for some in (during, before)) >= 50:
        now, then = p95(during), p95(before)
        assert now is not None
        assert then is not None
        if 2 * now >= 3 * then and now - then >= 20:
            found.append("latency")
    if len(during) >= 50 <= len(before):
        now_failed, then_failed = (Fraction(failed(some), len(some)) for some in (during, before))
        if now_failed >= 2 * then_failed and now_failed - then_failed >= Fraction(2, 100):
            found.append("errors")
    return found


def inside(requests: Iterable[Request], start: int, end: int) -> list[Request]:
    return [r for r in requests if start * 5 * MINUTE <= r.at < end * 5 * MINUTE]


def mine(requests: Iterable[Request], partner: str | None, which: int) -> int:
    return sum((1, r.size, r.took or 0)[which] for r in requests if partner in {None, r.partner})


def p95(requests: Iterable[Request]) -> Fraction | None:
    """The smallest latency that at least 95 of 100 requests do not exceed, in ms."""
    known = sorted(r.took for r in requests if r.took is not None)
    for rank, value in enumerate(known, 1):
        if 100 * rank >= 95 * len(known):
            return Fraction(value, 1000)
    return None


def failed(requests: Iterable[Request]) -> int:
    return sum(r.status // 100 == 5 for r in requests)


def share(part: int, whole: int) -> Fraction | None:
    """In percent, with two decimals."""
    return None if whole == 0 else Fraction(int(Fraction(10_000 * part, whole) + Fraction(1, 2)), 100)
