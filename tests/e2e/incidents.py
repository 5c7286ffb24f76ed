"""What alerts are about, beside the usual traffic: dora's quiet weeks, and what happens in some of them.

Times are those of the oracle's logs, which begin on Monday, 2026-09-28. Everything is in one source. Imports nothing of
Tollbook.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

SOURCE = "edge"
CREDENTIAL, NETWORK = "cons-dora", "203.0.113.0/24"
SECOND_MS, MINUTE_MS, HOUR_MS, DAY_MS = 1000, 60_000, 3_600_000, 86_400_000
WINDOW_MS = 15 * MINUTE_MS
MONDAY, TUESDAY, WEDNESDAY, _, FRIDAY = range(5)


class Told(NamedTuple):
    """One line. `says`: what is not left to chance. `late_days`: how long after its time the line comes."""

    time_ms: int
    partner: str = "dora"
    says: Mapping[str, object] = {}  # it is never changed
    late_days: float = 0.0
    refused: str | None = None
    contradicted: bool = False


def script(start_ms: int) -> Iterator[Told]:
    """All lines, for logs of five weeks that begin on a Monday."""
    yield from _weeks(start_ms)
    yield from _throttled(start_ms + 17 * DAY_MS + 9 * HOUR_MS)
    yield from _noise(start_ms + 22 * DAY_MS + 12 * HOUR_MS)
    elsewhere = start_ms + 10 * DAY_MS + 20 * HOUR_MS
    yield from (_usual(elsewhere + n * MINUTE_MS, ip="198.51.100.7") for n in range(6))
    yield _usual(elsewhere + 90 * MINUTE_MS, ip="192.0.2.9")._replace(late_days=0.5)  # one network more
    yield _usual(elsewhere + DAY_MS, ip="192.0.2.9")
    for n in range(15):
        at = start_ms + 14 * DAY_MS + 5 * HOUR_MS + n * MINUTE_MS
        yield _usual(at, value="lost-dora")._replace(refused="UNKNOWN_CREDENTIAL")
    for n in range(14):
        at = start_ms + 15 * DAY_MS + 6 * HOUR_MS + n * MINUTE_MS
        yield _usual(at)._replace(contradicted=True)


def _weeks(start_ms: int) -> Iterator[Told]:
    """Hours in which something is usual for four weeks, and otherwise in the fifth."""
    for week in range(5):
        last = week == 4
        begin = start_ms + week * 7 * DAY_MS
        silent, late, above, below = (
            begin + day * DAY_MS + hour * HOUR_MS
            for day, hour in ((WEDNESDAY, 10), (MONDAY, 10), (TUESDAY, 14), (TUESDAY, 16))
        )
        yield _usual(begin + WEDNESDAY * DAY_MS + 9 * HOUR_MS)  # after the one silence, and before the other
        yield _usual(begin + FRIDAY * DAY_MS + 9 * HOUR_MS)
        for window in range(4):
            for n in range(6):
                within = window * WINDOW_MS + n * 2 * MINUTE_MS
                if not last:
                    yield _usual(silent + within)
                # These lines came days late: what looked like a silence was none.
                yield _usual(late + within)._replace(late_days=5.0 if last else 0.0)
        for n in range(160 if last else 10):
            yield _usual(above + n * 20 * SECOND_MS)
        for n in range(10 if last else 160):
            yield _usual(below + n * 20 * SECOND_MS)


def _throttled(at_ms: int) -> Iterator[Told]:
    """Two bursts of one episode, and a later one of which half comes late. Six of ten are refused."""
    for second, requests, late_days in ((0, 100, 0.0), (30, 51, 0.0), (3600, 60, 0.0), (3600, 40, 1.0)):
        for n in range(requests):
            refused = {"status": 429} if n % 10 < 6 else {}
            time_ms = at_ms + second * SECOND_MS + n
            yield _usual(time_ms, **refused)._replace(late_days=late_days)


def _noise(at_ms: int) -> Iterator[Told]:
    """Dora floods for five minutes, and bolt is answered late and with errors."""
    for n in range(60):
        yield _usual(at_ms - HOUR_MS + n * MINUTE_MS, took=10, value="cons-bolt")._replace(partner="bolt")
    for n in range(300):
        yield _usual(at_ms + n * SECOND_MS, response=10**6)
    for n in range(120):
        says = {"took": 5000, "status": 503, "value": "cons-bolt"}
        yield _usual(at_ms + n * 2 * SECOND_MS, **says)._replace(partner="bolt")


def _usual(time_ms: int, **says: object) -> Told:
    return Told(time_ms, says={"status": 200, **says})
