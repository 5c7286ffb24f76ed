"""Which alerts must hold, of every kind, by the ledger of what was sent. Written from docs/alerts.md alone.

Imports nothing of Tollbook: own periods, own money in fractions, and the oracles of the single kinds. Times are
milliseconds since the epoch.
"""

import collections
import datetime as dt
import json
import math
import zoneinfo
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

from tests.aggregate import neighbour_oracle, presence_oracle, throttle_oracle
from tests.e2e import incidents, oracle
from tests.e2e.oracle import Ledger, Seen

THRESHOLDS = (50, 80, 90, 100, 120)  # percent of a quota or budget, where the catalog names none
FIRST_LIMIT_SINCE = "2000-01-01T00:00:00+00:00"  # as a limit says that no other was before it
WINDOW_MS = oracle.WINDOW_US // 1000
DAY_MS, HOUR_MS = incidents.DAY_MS, incidents.HOUR_MS
FIVE_MS = 5 * incidents.MINUTE_MS
TRIES, CONFLICTS = 10, 10
KINDS = {
    "quota", "exhaustion", "budget", "throttle", "neighbour", "network", "credential", "conflict", "silence", "jump",
}  # fmt: skip

Place = tuple[str, ...]  # kind, subject, and what distinguishes it among those of its kind and subject


class Told(NamedTuple):
    """What is stated about an alert that holds. `figures` are those whose change is stated again."""

    at: int | None
    ends_at: int | None
    figures: object = None


class Due(NamedTuple):
    """The alerts that must hold, and those that may: whether they fired depends on when somebody looked."""

    must: Mapping[Place, Told]
    may: frozenset[Place]


class Quota(NamedTuple):
    """A quota of a partner in one period, [start, end)."""

    partner: str
    period: str
    start: int
    end: int
    limit: int

    def key(self, **more: str) -> dict[str, str]:
        return {
            "meter": "requests", "plan": oracle.plan_of(self.partner), "quota_period": self.period,
            "period_start": text(self.start), "limit": str(self.limit), "limit_since": FIRST_LIMIT_SINCE, **more,
        }  # fmt: skip


def due(ledger: Ledger, quota: int) -> Due:
    """All alerts, when everything has been read. `quota`: the monthly limit of each partner but dora."""
    must: dict[Place, Told] = {}
    may: set[Place] = set()
    for each in quotas(quota):
        must |= thresholds(ledger, each)
        ahead, perhaps = exhaustion(ledger, each)
        must |= ahead
        may |= perhaps
    must |= budgets(ledger) | credentials(ledger) | conflicts(ledger)
    must |= throttle(ledger.requests) | neighbours(ledger.requests) | networks(ledger.requests)
    counts = counted(ledger.requests)
    return Due(must | silences(counts) | jumps(counts), frozenset(may))


def quotas(monthly: int) -> Iterator[Quota]:
    """All quotas, in all periods that the logs touch."""
    for partner, (zone, *_) in oracle.PARTNERS.items():
        if partner != "dora":
            for month in (9, 10, 11):
                yield Quota(partner, "MONTH", *oracle.month_ms(2026, month, zone), monthly)
            continue
        where = zoneinfo.ZoneInfo(zone)
        for day in range(-1, oracle.DAYS + 1):
            date = dt.date(2026, 9, 28) + dt.timedelta(days=day)
            starts = (dt.datetime.combine(date + dt.timedelta(days=n), dt.time(), where) for n in (0, 1))
            start, end = (int(s.timestamp()) * 1000 for s in starts)
            yield Quota(partner, "DAY", start, end, oracle.DAY_LIMIT)


def thresholds(ledger: Ledger, quota: Quota) -> dict[Place, Told]:
    """At the time of the request that reached the threshold."""
    times = billed(ledger, quota.partner, quota.start, quota.end)
    found = {}
    for percent in THRESHOLDS:
        needed = -(-quota.limit * percent // 100)
        if len(times) >= needed:
            found[place("quota", quota.partner, quota.key(threshold_percent=str(percent)))] = Told(
                times[needed - 1], quota.end
            )
    return found


def exhaustion(ledger: Ledger, quota: Quota) -> tuple[dict[Place, Told], set[Place]]:
    """The projection at the newest usage must be told. One that was right on the way stays if the period is over."""
    times = billed(ledger, quota.partner, quota.start, quota.end)
    where = place("exhaustion", quota.partner, quota.key())
    whole, limit = quota.end - quota.start, quota.limit
    newest = (max(seen.time_ms for seen in ledger.requests) // WINDOW_MS + 1) * WINDOW_MS
    ends = range((quota.start // WINDOW_MS + 1) * WINDOW_MS, min(newest, quota.end - 1) + 1, WINDOW_MS)
    used, is_possible = 0, False
    for as_of in ends:
        while used < len(times) and times[used] < as_of:
            used += 1
        elapsed = as_of - quota.start
        if 20 * elapsed >= whole and min(used, limit - 1) * whole >= limit * elapsed:
            is_possible = True
    may = {where} if is_possible else set()
    if (foreseen := projected(quota, len(times), newest)) is not None:
        return {where: foreseen}, may
    is_averted = 100 * len(times) * whole < 95 * limit * (newest - quota.start)
    return {}, set() if newest < quota.end and len(times) < limit and is_averted else may


def projected(quota: Quota, used: int, as_of: int) -> Told | None:
    """What is told when so much was used up to a time; None: the quota lasts, it is used up, or it is too early."""
    elapsed, whole = as_of - quota.start, quota.end - quota.start
    if as_of >= quota.end or 20 * elapsed < whole or not 0 < used < quota.limit:
        return None
    left_us = elapsed * 1000 * math.ceil(Fraction(quota.limit, used) * 1_000_000) // 1_000_000
    if left_us >= whole * 1000:
        return None
    at = dt.datetime.fromtimestamp(quota.start // 1000, dt.UTC) + dt.timedelta(microseconds=left_us)
    day = at.astimezone(zoneinfo.ZoneInfo(oracle.PARTNERS[quota.partner][0])).date()
    return Told(None, quota.end, day.isoformat())


def budgets(ledger: Ledger) -> dict[Place, Told]:
    """From the end of the quarter of an hour in which the amount of the month was reached; fees count at once."""
    found = {}
    for partner, budget in oracle.BUDGETS.items():
        zone, currency, decimals, _ = oracle.PARTNERS[partner]
        for month in (9, 10, 11):
            start, end = oracle.month_ms(2026, month, zone)
            if not any(start <= t < end for t, _, _ in ledger.usage[partner]):
                continue
            windows: dict[int, list[int]] = collections.defaultdict(list)
            for time_ms, status, size in ledger.usage[partner]:
                if start <= time_ms < end and status != 429 and status < 500:
                    windows[time_ms // WINDOW_MS].append(size)
            steps = [(start, 0, 0)]
            for window, sizes in sorted(windows.items()):
                _, count, size = steps[-1]
                steps.append(((window + 1) * WINDOW_MS, count + len(sizes), size + sum(sizes)))
            for percent in THRESHOLDS:
                wanted = Fraction(budget * percent * 10**decimals, 100)
                reached = (at for at, count, size in steps if oracle.minor(partner, count, size) >= wanted)
                if (at := next(reached, None)) is not None:
                    key = {"period": f"2026-{month:02}", "threshold_percent": str(percent), "budget": str(budget), "currency": currency}  # fmt: skip
                    found[place("budget", partner, key)] = Told(at, end)
    return found


def throttle(requests: Sequence[Seen]) -> dict[Place, Told]:
    """The bucket is full again two seconds after it was empty, so times that are apart are looked at apart."""
    seconds: dict[int, list[bool]] = collections.defaultdict(list)
    for seen in requests:
        if seen.partner == "dora":
            seconds[seen.time_ms // 1000].append(seen.status == 429)
    counts = {second: (len(refused), sum(refused)) for second, refused in sorted(seconds.items())}
    found = {}
    for group in apart(counts, 120):
        some = {second: counts[second] for second in group}
        for first, last, peak, excess, total, refused in throttle_oracle.episodes_of(
            some, Fraction(oracle.RATE), oracle.BURST
        ):
            key = {"plan": oracle.plan_of("dora"), "start": text(first * 1000)}
            percent = Fraction(math.floor(Fraction(10_000 * refused, total) + Fraction(1, 2)), 100)
            figures = (peak, excess, total, refused, percent)
            found[place("throttle", "dora", key)] = Told(first * 1000, (last + 1) * 1000, figures)
    return found


def neighbours(requests: Sequence[Seen]) -> dict[Place, Told]:
    """Looked at around the windows in which a partner has a hundred requests; without them nobody is one."""
    all_ = [
        neighbour_oracle.Request(
            s.time_ms * 1000, s.partner, s.request + s.response, s.took_ms * 1000, s.status
        )
        for s in requests
    ]  # fmt: skip
    busy = collections.Counter((s.partner, s.time_ms // FIVE_MS) for s in requests)
    heavy = sorted({window for (_, window), n in busy.items() if n >= 100})
    newest = max(all_, key=lambda r: r.at, default=None)
    found = {}
    for group in apart(heavy, 60):
        begin, end = (group[0] - 24) * FIVE_MS * 1000, (group[-1] + 2) * FIVE_MS * 1000
        some = [r for r in all_ if begin <= r.at < end]
        for told in neighbour_oracle.told_of([*some, *([] if newest is None or newest in some else [newest])]):
            key = {"window": "5m", "start": text(told.start // 1000)}
            figures = (told.causes, told.effects, told.requests, told.shares, told.others)
            ended = told.end is not None
            found[place("neighbour", told.partner, key)] = Told(
                told.start // 1000, None if told.end is None else told.end // 1000, figures if ended else None
            )
    return found


def networks(requests: Sequence[Seen]) -> dict[Place, Told]:
    """Requests of dora from elsewhere, by day."""
    days: dict[int, list[Seen]] = collections.defaultdict(list)
    for seen in requests:
        if seen.partner == "dora" and seen.network != incidents.NETWORK:
            days[seen.time_ms // DAY_MS].append(seen)
    return {
        place("network", some[0].credential, {"partner": "dora", "outside": "NETWORK", "day": date(day)}): Told(
            min(s.time_ms for s in some), (day + 1) * DAY_MS, tuple(sorted({s.network for s in some})[:5])
        )
        for day, some in days.items()
    }


def credentials(ledger: Ledger) -> dict[Place, Told]:
    """The record names them by a hash with a key of the lake, so they are told apart by their first request."""
    by_credential: dict[str, list[Seen]] = collections.defaultdict(list)
    for _, seen in ledger.strange:
        by_credential[seen.credential].append(seen)
    found = {}
    for some in by_credential.values():
        if len(some) >= TRIES:
            first = min(s.time_ms for s in some)
            found["credential", str(first)] = Told(first, None, tuple(sorted({s.source for s in some})))
    return found


def conflicts(ledger: Ledger) -> dict[Place, Told]:
    """Entries that contradict what was counted, by source and day."""
    days: dict[tuple[str, int], list[int]] = collections.defaultdict(list)
    for seen in ledger.contrary:
        days[seen.source, seen.time_ms // DAY_MS].append(seen.time_ms)
    return {
        place("conflict", source, {"day": date(day)}): Told(min(times), (day + 1) * DAY_MS)
        for (source, day), times in days.items()
        if len(times) >= CONFLICTS
    }


def silences(counts: Sequence[presence_oracle.Count]) -> dict[Place, Told]:
    """Partners that did not send when they always do."""
    found = {}
    for partner, first, end in presence_oracle.silences(counts):
        at = first * WINDOW_MS
        found[place("silence", partner, {"since": text(at)})] = Told(at, None if end is None else end * WINDOW_MS)
    return found


def jumps(counts: Sequence[presence_oracle.Count]) -> dict[Place, Told]:
    """Hours that are far from those of the weeks before; the first of a day."""
    return {
        place("jump", partner, {"day": date(day), "direction": direction}): Told(hour * HOUR_MS, (day + 1) * DAY_MS)
        for partner, direction, day, hour in presence_oracle.jumps(counts)
    }


def counted(requests: Iterable[Seen]) -> list[presence_oracle.Count]:
    """How many requests a partner has in a source's windows."""
    windows = collections.Counter((s.partner, s.source, s.time_ms // WINDOW_MS) for s in requests)
    return [presence_oracle.Count(*where, number) for where, number in windows.items()]


def billed(ledger: Ledger, partner: str, start: int, end: int) -> list[int]:
    """The times of the requests that a meter counts, ascending."""
    return sorted(t for t, s, _ in ledger.usage[partner] if start <= t < end and s != 429 and s < 500)


def apart(numbers: Iterable[int], gap: int) -> Iterator[list[int]]:
    """Ascending numbers in groups that are more than `gap` apart."""
    group: list[int] = []
    for number in numbers:
        if group and number - group[-1] > gap:
            yield group
            group = []
        group.append(number)
    if group:
        yield group


def place(kind: str, subject: str, key: Mapping[str, str]) -> Place:
    """Where an alert stands, by its kind, subject and key."""
    return kind, subject, *(f"{name}={value}" for name, value in sorted(key.items()))


def told_of(data: Mapping[str, Any]) -> tuple[Place, Told]:
    """What a statement says, by the `data` of its message."""
    kind, key, evidence = data["kind"], data["key"], data["evidence"]
    at, ends_at = (None if data[name] is None else milliseconds(data[name]) for name in ("at", "ends_at"))
    where = place(kind, data["subject"], key)
    if kind == "credential" and "credential" in key:
        assert key["credential"] == data["subject"]
        where = ("credential", str(at))
    if kind == "exhaustion":
        at = None  # when it was first foreseen
    return where, Told(at, ends_at, _figures(kind, evidence, has_ended=ends_at is not None))


def _figures(kind: str, evidence: Mapping[str, Any], *, has_ended: bool) -> object:
    if kind == "throttle":
        names = ("peak_per_s", "excess", "requests", "refused", "refused_percent")
        return tuple(Fraction(evidence[name]) for name in names)
    if kind == "neighbour" and has_ended:
        shares = [f"{name}_percent{when}" for when in ("", "_before") for name in ("requests", "bytes", "time")]
        others = [[f"others_{name}{when}" for name in ("requests", "p95_ms", "errors_percent")] for when in ("", "_before")]  # fmt: skip
        return (
            evidence["causes"], evidence["effects"], evidence["requests"],
            tuple(_number(evidence[name]) for name in shares),
            tuple(tuple(_number(evidence[name]) for name in names) for names in others),
        )  # fmt: skip
    if kind in {"network", "credential"}:
        return tuple(evidence["networks" if kind == "network" else "sources"])
    return evidence["projected_day"] if kind == "exhaustion" else None


def _number(value: object) -> Fraction | None:
    return None if value is None else Fraction(str(value))


def holding(statements: Iterable[Mapping[str, Any]]) -> dict[Place, Told]:
    """The alerts that hold by the newest statement about each, by the `data` of messages in any order."""
    newest: dict[str, Mapping[str, Any]] = {}
    for data in statements:
        if data["number"] >= newest.get(data["alert_id"], data)["number"]:
            newest[data["alert_id"]] = data
    return dict(told_of(data) for data in newest.values() if data["state"] != "withdrawn")


def differences(expected: Due, found: Mapping[Place, Told]) -> list[str]:
    """Where predicted and found alerts disagree."""
    wrong = [f"{where}: predicted {told}, found {found.get(where)}" for where, told in expected.must.items() if found.get(where) != told]  # fmt: skip
    more = sorted(found.keys() - expected.must.keys() - expected.may)
    return wrong + [f"{where}: not predicted, found {found[where]}" for where in more]


def repeats(statements: Sequence[Mapping[str, Any]]) -> list[str]:
    """Alerts that were told twice: each fires once, with the first of its statements, which are numbered."""
    by_alert: dict[str, list[Mapping[str, Any]]] = collections.defaultdict(list)
    for data in sorted(statements, key=lambda data: data["number"]):
        by_alert[data["alert_id"]].append(data)
    wrong = []
    for alert_id, mine in by_alert.items():
        numbers, states = ([data[name] for data in mine] for name in ("number", "state"))
        if numbers != list(range(1, len(mine) + 1)) or states[0] != "fired" or states.count("fired") > 1:
            wrong.append(f"{mine[0]['kind']} {alert_id}: {list(zip(numbers, states, strict=True))}")
    return wrong


def statements(rows: Sequence[tuple[object, ...]]) -> list[dict[str, Any]]:
    """Rows of table `alerts` as the `data` of messages.

    rows: alert_id, kind, withdraws, restates, number, subject, key, began_at, ends_at, evidence, events_version.
    """
    fired = {row[0]: row[1] for row in rows if row[2] is None and row[3] is None}
    found = []
    for own, kind, withdraws, restates, number, subject, key, at, ends_at, evidence, version in rows:
        about = withdraws or restates or own
        found.append(
            {
                "id": own, "alert_id": about, "number": number, "kind": fired[about], "subject": subject,
                "state": "fired" if about == own and kind == fired[about] else kind,
                "key": json.loads(str(key)), "evidence": json.loads(str(evidence)),
                "at": at, "ends_at": ends_at, "events_version": version,
            }
        )  # fmt: skip
    return found


def milliseconds(instant: object) -> int:
    """Since 1970, of a time or its text."""
    at = instant if isinstance(instant, dt.datetime) else dt.datetime.fromisoformat(str(instant))
    return (at - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(milliseconds=1)


def text(time_ms: int) -> str:
    """As keys name a time."""
    return (dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(milliseconds=time_ms)).isoformat()


def date(day: int) -> str:
    """As keys name a day, by its number since 1970."""
    return (dt.date(1970, 1, 1) + dt.timedelta(days=day)).isoformat()
