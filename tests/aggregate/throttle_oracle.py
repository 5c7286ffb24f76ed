"""Throttle breaches once more, from docs/alerts.md: a bucket that is followed second by second. Nothing of ours."""

from collections.abc import Mapping
from fractions import Fraction

OracleEpisode = tuple[int, int, int, Fraction, int, int]  # first, last, peak, excess, requests, refused


def episodes_of(counts: Mapping[int, tuple[int, int]], rate: Fraction, burst: int) -> list[OracleEpisode]:
    """`counts`: second → requests and those of them that were answered with 429."""
    if not counts:
        return []
    room = rate if rate > burst else Fraction(burst)
    tokens = room
    over: dict[int, Fraction] = {}
    for second in range(min(counts), max(counts) + 1):
        tokens = tokens + rate
        tokens = min(tokens, room)
        requests = counts.get(second, (0, 0))[0]
        if requests > tokens:
            over[second] = requests - tokens
            tokens = Fraction(0)
        else:
            tokens -= requests
    groups: list[list[int]] = []
    for second in sorted(over):
        if groups and second - groups[-1][-1] <= 60:
            groups[-1].append(second)
        else:
            groups.append([second])
    found = []
    for group in groups:
        inside = [counts[s] for s in range(group[0], group[-1] + 1) if s in counts]
        found.append(
            (
                group[0],
                group[-1],
                max(requests for requests, _ in inside),
                sum((over[s] for s in group), Fraction(0)),
                sum(requests for requests, _ in inside),
                sum(refused for _, refused in inside),
            )
        )
    return found
