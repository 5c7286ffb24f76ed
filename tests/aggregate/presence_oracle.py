"""Silences and jumps by their definitions, window by window. It shares no code with the product."""

from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

WEEK = 7 * 24 * 4  # windows


class Count(NamedTuple):
    """Requests of a partner in a source's window of 15 minutes, numbered since the epoch. Equal keys add up."""

    partner: str
    source: str
    window: int
    requests: int


class _Seen:
    """What a set of counts says, by partner."""

    def __init__(self, counts: Iterable[Count]) -> None:
        self.by_source: dict[tuple[str, str, int], int] = defaultdict(int)
        for count in counts:
            self.by_source[count.partner, count.source, count.window] += count.requests
        self.total: dict[tuple[str, int], int] = defaultdict(int)
        self.newest: dict[str, int] = {}
        for (partner, source, window), requests in self.by_source.items():
            self.total[partner, window] += requests
            self.newest[source] = max(window, self.newest.get(source, window))
        self.partners = sorted({partner for partner, _ in self.total})


def silences(counts: Iterable[Count]) -> set[tuple[str, int, int | None]]:
    """Partner, first window, and the window in which it ended or None."""
    seen = _Seen(counts)
    found: set[tuple[str, int, int | None]] = set()
    for partner in seen.partners:
        mine = {w: n for (p, w), n in seen.total.items() if p == partner}
        latest: dict[str, int] = {}
        for p, source, w in seen.by_source:
            if p == partner:
                latest[source] = max(w, latest.get(source, w))
        until = min(seen.newest[s] for s, w in latest.items() if w >= max(latest.values()) - 96)

        def is_missed(w: int, mine: dict[int, int] = mine, until: int = until) -> bool:
            hour = w - w % 4
            usual = (mine.get(hour + q - WEEK * k, 0) for q in range(4) for k in (1, 2, 3, 4))
            return w < until and w not in mine and all(n >= 5 for n in usual)

        began = None
        for w in range(min(mine), until + 1):
            if w in mine:
                if began is not None:
                    found.add((partner, began, min(w, began + WEEK)))
                began = None
            elif began is None and is_missed(w) and is_missed(w + 1):
                began = w
        if began is not None:
            resumed = min((w for w in mine if w > began), default=None)
            known = until if resumed is None else resumed
            found.add((partner, began, None if resumed is None and known < began + WEEK else min(known, began + WEEK)))
    return found


def jumps(counts: Iterable[Count]) -> set[tuple[str, str, int, int]]:
    """Partner, direction, UTC day as a number, and the first hour of the day that jumps."""
    seen = _Seen(counts)
    by_hour: dict[tuple[str, int], int] = defaultdict(int)
    sources: dict[tuple[str, int], set[str]] = defaultdict(set)
    for (partner, source, window), requests in seen.by_source.items():
        by_hour[partner, window // 4] += requests
        sources[partner, window // 4].add(source)
    found: dict[tuple[str, str, int], int] = {}
    for (partner, hour), requests in sorted(by_hour.items()):
        earlier = [by_hour[at] for k in (1, 2, 3, 4) if (at := (partner, hour - WEEK // 4 * k)) in by_hour]
        if len(earlier) < 3:
            continue
        used = set().union(*(sources.get((partner, hour - WEEK // 4 * k), set()) for k in range(5)))
        is_over = all(seen.newest[source] >= 4 * hour + 4 for source in used)
        if requests > 3 * max(earlier) and requests - max(earlier) >= 100:
            found.setdefault((partner, "above", hour // 24), hour)
        elif is_over and 3 * requests < min(earlier) and min(earlier) - requests >= 100:
            found.setdefault((partner, "below", hour // 24), hour)
    return {(*key, hour) for key, hour in found.items()}
