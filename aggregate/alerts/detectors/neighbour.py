"""Noisy neighbours: the load of one partner rose, and the others were served worse than in the hour before.

Time is divided into windows that are aligned to the UTC epoch. The load of a partner in a window is its requests and
its bytes, sent and received. A partner's load jumps in a window if it has at least REQUESTS_MIN requests there, and for
requests or for bytes all of these hold:

    its share of the load of all partners is at least 1/GREAT
    its share is at least SHARE_TIMES its share in the hour before
    its load is at least LOAD_TIMES its average per window of the hour before

The average is over the windows of the hour in which anybody had requests; at least a quarter of the hour must have
some. The others are all other partners, the operator's own among them. They are served worse if one of these holds,
with at least OTHERS_MIN requests (of known latency) in the window and in the hour before:

    latency   their 95th percentile is at least 3/2 of the one before, and at least SLOWER_US greater
    errors    their share of answers with 5xx is at least twice the one before, and at least ERRORS_MORE greater

A window in which both hold is noisy. A noisy window without another one of the same partner in the hour before it
begins an incident, which is one alert. The incident goes on with each next window that is noisy when it is compared
with the hour before the first, and for at most LONGEST_HOURS: what lasts longer is no jump any more.

Time spent on a partner's requests is shown and is no cause: it also rises for those who wait because of others.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

from schemas.alerts import Alert, Kind
from schemas.money import plain
from schemas.windows import from_us, to_us

WINDOW_US = 300_000_000  # five minutes: shorter ones hold too few requests of the others for a percentile
HOUR_US = 3_600_000_000
GREAT = 5
SHARE_TIMES = 2
LOAD_TIMES = 3
REQUESTS_MIN = 100
OTHERS_MIN = 50
SLOWER_US = 20_000
ERRORS_MORE = Fraction(1, 50)
LONGEST_HOURS = 2
CAUSES = ("requests", "bytes")


class Load(NamedTuple):
    """Requests, the bytes that were sent and received, and the time that the requests took."""

    requests: int
    bytes: int
    time_us: int


class TrafficShare(NamedTuple):
    """The load of a partner in a window beside that of all partners, and of both in the hour before."""

    partner_id: str
    window: int  # its number since the epoch
    own: Load
    all: Load
    own_before: Load
    all_before: Load
    windows_before: int  # of the hour before, with requests of anybody


class WindowSpan(NamedTuple):
    """Windows [start, end), and the partner whose others are asked about."""

    partner_id: str
    start: int
    end: int


class Others(NamedTuple):
    """How all other partners were served in a span."""

    requests: int
    errors: int  # answered with 5xx
    timed: int  # requests of known latency
    p95_us: int | None  # of those; None: there are none


NOBODY = Others(0, 0, 0, None)
Ask = Callable[[Sequence[WindowSpan]], Mapping[WindowSpan, Others]]  # spans in which there were no others may be absent


class Noise(NamedTuple):
    """A window in which a partner's load jumps, and how the others were served in it and in the hour before."""

    share: TrafficShare
    during: Others
    before: Others

    @property
    def effects(self) -> list[str]:
        """What became worse for the others: latency, errors."""
        return effects(self.during, self.before)


class Incident(NamedTuple):
    """Noisy windows in a row. `own` and `all` are the sums of them. `ends`: whether its end is known."""

    first: Noise
    last: int
    own: Load
    all: Load
    during: Others
    ends: bool


def causes(share: TrafficShare, base: TrafficShare, *, hour: int) -> list[str]:
    """By what the load of a window jumps against the hour before `base`. `hour`: windows of an hour."""
    if share.own.requests < REQUESTS_MIN or 4 * base.windows_before < hour:
        return []
    found = []
    for name in CAUSES:
        own, every = getattr(share.own, name), getattr(share.all, name)
        own_before, all_before = getattr(base.own_before, name), getattr(base.all_before, name)
        if (
            own > 0
            and GREAT * own >= every
            and own * all_before >= SHARE_TIMES * own_before * every
            and own * base.windows_before >= LOAD_TIMES * own_before
        ):
            found.append(name)
    return found


def effects(during: Others, before: Others) -> list[str]:
    """What became worse for the others."""
    found = []
    if min(during.timed, before.timed) >= OTHERS_MIN:
        now_us, then_us = during.p95_us or 0, before.p95_us or 0
        if 2 * now_us >= 3 * then_us and now_us - then_us >= SLOWER_US:
            found.append("latency")
    if min(during.requests, before.requests) >= OTHERS_MIN:
        now, then = Fraction(during.errors, during.requests), Fraction(before.errors, before.requests)
        if now >= 2 * then and now - then >= ERRORS_MORE:
            found.append("errors")
    return found


def jumps(shares: Iterable[TrafficShare], ask: Ask, *, window_us: int = WINDOW_US) -> list[Noise]:
    """The windows in which a load jumps against the hour before, whether they are noisy or not."""
    hour = HOUR_US // window_us
    found = [share for share in shares if causes(share, share, hour=hour)]
    spans = [
        (WindowSpan(s.partner_id, s.window, s.window + 1), WindowSpan(s.partner_id, s.window - hour, s.window))
        for s in found
    ]
    told = ask([span for pair in spans for span in pair])
    return [
        Noise(share, told.get(during, NOBODY), told.get(before, NOBODY))
        for share, (during, before) in zip(found, spans, strict=True)
    ]


def incidents(shares: Sequence[TrafficShare], ask: Ask, *, until: int, window_us: int = WINDOW_US) -> list[Incident]:
    """All incidents, by partner and time. `until`: the first window that is not complete, which is not looked at.

    `shares` has each window of each partner with a share of at least 1/GREAT and REQUESTS_MIN requests, by partner and
    window.
    """
    hour = HOUR_US // window_us
    complete = [share for share in shares if share.window < until]
    by_window = {(share.partner_id, share.window): share for share in complete}
    noisy = [noise for noise in jumps(complete, ask, window_us=window_us) if noise.effects]
    firsts = []
    for before, noise in zip([None, *noisy], noisy, strict=False):
        is_next = before is not None and before.share.partner_id == noise.share.partner_id
        if before is None or not is_next or noise.share.window - before.share.window > hour:
            firsts.append(noise)
    runs = [_run(noise.share, by_window, hour) for noise in firsts]
    told = ask([WindowSpan(s.partner_id, s.window, s.window + 1) for run in runs for s in run])
    cut = []
    for noise, run in zip(firsts, runs, strict=True):
        held = [noise.share]
        for share in run:
            if not effects(
                told.get(WindowSpan(share.partner_id, share.window, share.window + 1), NOBODY), noise.before
            ):
                break
            held.append(share)
        cut.append(held)
    whole = ask([WindowSpan(held[0].partner_id, held[0].window, held[-1].window + 1) for held in cut])
    return [
        Incident(
            noise,
            held[-1].window,
            total(share.own for share in held),
            total(share.all for share in held),
            whole.get(WindowSpan(held[0].partner_id, held[0].window, held[-1].window + 1), NOBODY),
            held[-1].window + 1 < until or len(held) == LONGEST_HOURS * hour,
        )
        for noise, held in zip(firsts, cut, strict=True)
    ]


def _run(first: TrafficShare, by_window: Mapping[tuple[str, int], TrafficShare], hour: int) -> list[TrafficShare]:
    """The windows behind the first of an incident that jump against the hour before it."""
    found = []
    for window in range(first.window + 1, first.window + LONGEST_HOURS * hour):
        share = by_window.get((first.partner_id, window))
        if share is None or not causes(share, first, hour=hour):
            break
        found.append(share)
    return found


def alert_of(incident: Incident, *, window_us: int = WINDOW_US) -> Alert:
    """The alert about an incident. Only the operator is told, since it has figures of other partners."""
    noise = incident.first
    share, start = noise.share, from_us(noise.share.window * window_us)
    return Alert(
        Kind.NEIGHBOUR,
        share.partner_id,
        {"window": f"{window_us // 60_000_000}m", "start": start.isoformat()},
        start,
        {
            "causes": ", ".join(causes(share, share, hour=HOUR_US // window_us)),
            "effects": ", ".join(noise.effects),
            "requests": incident.own.requests,
            **{
                f"{name}_percent{when}": percent(part, whole)
                for when, own, every in (
                    ("", incident.own, incident.all),
                    ("_before", share.own_before, share.all_before),
                )
                for name, part, whole in zip(("requests", "bytes", "time"), own, every, strict=True)
            },
            **served(incident.during),
            **{f"{name}_before": value for name, value in served(noise.before).items()},
        },
        None,
        from_us((incident.last + 1) * window_us) if incident.ends else None,
    )


def served(others: Others) -> dict[str, int | str | None]:
    """How the others were served, as JSON values."""
    return {
        "others_requests": others.requests,
        "others_p95_ms": None if others.p95_us is None else plain(Decimal(others.p95_us) / 1000),
        "others_errors_percent": percent(others.errors, others.requests),
    }


def percent(part: int, whole: int) -> str | None:
    """A share in percent, rounded half up to two decimals. None: a share of nothing."""
    if whole == 0:
        return None
    return plain(Decimal((20_000 * part + whole) // (2 * whole)) / 100)


def material(alert: Alert) -> object:
    """What is stated again: begin and end, and all of an incident that has ended. While it goes on, figures grow."""
    return alert.at, alert.ends_at, None if alert.ends_at is None else dict(alert.evidence)


def total(loads: Iterable[Load]) -> Load:
    """The sum of loads."""
    requests, size, time_us = (sum(values) for values in zip((0, 0, 0), *loads, strict=True))
    return Load(requests, size, time_us)


def window_of(instant: datetime, window_us: int = WINDOW_US) -> int:
    """The number of the window of an instant."""
    return to_us(instant) // window_us
