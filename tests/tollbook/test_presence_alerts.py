"""Silences and jumps, as usage comes in any order, late and from several sources, against the oracle."""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from random import Random
from typing import Any, cast

import pyarrow as pa
import pytest

from aggregate.alerts.reconcile import reconciled
from billing.usage.warehouse import Meters, Warehouse
from schemas.alerts import State, Statement
from schemas.catalog.records import Catalog
from schemas.grants import Grants
from schemas.tables import ROLLUPS
from schemas.windows import WINDOW_US, from_us, to_us
from tests.aggregate import presence_oracle
from tests.aggregate.presence_oracle import Count
from tests.long import amount
from tollbook.alerting import presence
from tollbook.alerting.scene import Detector, Scene

DAY = 96
MONDAY = to_us(datetime(2026, 8, 31, tzinfo=UTC)) // WINDOW_US
CATALOG = Catalog.model_validate({
    "partners": [
        {"id": name, "name": name, "time_zone": "Etc/UTC", "status": "internal"} for name in ("acme", "bolt")
    ],
})  # fmt: skip


def rollup(count: Count) -> dict[str, Any]:
    start = from_us(count.window * WINDOW_US)
    return {
        "partner_id": count.partner, "source": count.source, "window_start": start, "requests": count.requests, "event_day": start.date(),
    }  # fmt: skip


class Told:
    """A ledger in memory, evaluated as counts come."""

    def __init__(self, detector: Detector) -> None:
        self.detector = detector
        self.statements: dict[str, Statement] = {}
        self.fired: list[str] = []
        self.counts: list[Count] = []
        self.seen: datetime | None = None
        self.is_quick = False  # whether the last evaluation examined nothing

    def add(self, new: Sequence[Count], catalog: Catalog = CATALOG) -> list[Statement]:
        """What is stated once these counts are there, too."""
        is_first = not self.counts
        self.counts += new
        house = Meters()
        house.con.register("rollups", pa.Table.from_pylist([rollup(count) for count in self.counts], ROLLUPS.schema))
        changed: dict[str, datetime] = {}
        for count in new:
            start = from_us(count.window * WINDOW_US)
            changed[count.partner] = min(start, changed.get(count.partner, start))
        before, self.seen = self.seen, from_us((max(count.window for count in self.counts) + 1) * WINDOW_US)
        scene = Scene(
            house=cast("Warehouse", house),
            catalog=catalog,
            days=sorted({rollup(count)["event_day"] for count in new}),
            seen_until=self.seen,
            now=self.seen,
            grants=Grants(()),
            limits_since={},
            statements=self.statements,
            changed=None if is_first or not new else changed,
            seen_before=before,
        )
        self.is_quick = scene.is_in_newest_window
        due = reconciled(
            self.statements,
            self.detector.evaluate(scene),
            lambda alert: self.detector.covers(scene, alert),
            events_version=None,
            material=self.detector.material,
        )
        self.statements |= {statement.alert_id: statement for statement in due}
        self.fired += [statement.alert_id for statement in due if statement.state is State.FIRED]
        assert len(set(self.fired)) == len(self.fired)
        return due

    def silent(self) -> set[tuple[str, int, int | None]]:
        return {
            (a.subject, number(a.at), None if a.ends_at is None else number(a.ends_at))
            for a in (s.alert for s in self.statements.values() if s.holds)
        }

    def jumped(self) -> set[tuple[str, str, int, int]]:
        return {
            (a.subject, a.key["direction"], (date.fromisoformat(a.key["day"]) - date(1970, 1, 1)).days, number(a.at) // 4)
            for a in (s.alert for s in self.statements.values() if s.holds)
        }  # fmt: skip


def number(instant: datetime | None) -> int:
    assert instant is not None
    return to_us(instant) // WINDOW_US


def usual(partner: str = "acme", source: str = "edge", *, days: range = range(35), hours: range = range(8, 11), requests: int = 5) -> list[Count]:  # fmt: skip
    """The same requests in each window of some hours of each day."""
    return [
        Count(partner, source, MONDAY + DAY * day + 4 * hour + q, requests)
        for day in days
        for hour in hours
        for q in range(4)
    ]


def at(day: int, hour: int, quarter: int = 0) -> int:
    return MONDAY + DAY * day + 4 * hour + quarter


def without(counts: Sequence[Count], partner: str, first: int, end: int) -> list[Count]:
    return [count for count in counts if count.partner != partner or not first <= count.window < end]


BOTH = [*usual(), *usual("bolt", requests=1)]


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        pytest.param(BOTH, set(), id="nobody is silent"),
        pytest.param(without(BOTH, "acme", at(30, 9, 1), at(30, 9, 3)), {("acme", at(30, 9, 1), at(30, 9, 3))}, id="half an hour"),
        pytest.param(without(BOTH, "acme", at(30, 9, 1), at(30, 9, 2)), set(), id="a quarter is not enough"),
        pytest.param(without(BOTH, "acme", at(27, 9), at(27, 11)), set(), id="three weeks before it are not enough"),
        pytest.param(without(BOTH, "acme", at(28, 9), at(28, 11)), {("acme", at(28, 9), at(29, 8))}, id="to the next request"),
        pytest.param(
            without(without(BOTH, "acme", at(34, 9, 2), at(35, 0)), "bolt", at(34, 10), at(35, 0)),
            set(),
            id="the newest window may be incomplete",
        ),
        pytest.param(
            without(without(BOTH, "acme", at(34, 9, 2), at(35, 0)), "bolt", at(34, 10, 1), at(35, 0)),
            {("acme", at(34, 9, 2), None)},
            id="a newer one has events",
        ),
        pytest.param(without(BOTH, "acme", at(34, 9, 1), at(35, 0)), {("acme", at(34, 9, 1), None)}, id="it goes on"),
        pytest.param(
            without([*BOTH, *usual("bolt", days=range(35, 43))], "acme", at(33, 9), at(99, 0)),
            {("acme", at(33, 9), at(40, 9))},
            id="a week at most",
        ),
        pytest.param(
            without([c._replace(requests=4) if c.window == at(9, 9, 3) else c for c in BOTH], "acme", at(30, 9), at(30, 10)),
            set(),
            id="four requests in one of the windows before",
        ),
        pytest.param(without(BOTH, "bolt", at(30, 8), at(30, 11)), set(), id="few requests are silent by chance"),
        pytest.param(without(usual(), "acme", at(34, 9), at(35, 0)), set(), id="alone in its log"),
        pytest.param(
            without([*usual(), *usual("bolt", "west", days=range(40))], "acme", at(34, 9), at(35, 0)), set(), id="its log is late",
        ),
    ],
)  # fmt: skip
def test_silence(counts: list[Count], expected: set[tuple[str, int, int | None]]) -> None:
    """Both sides of each rule."""
    told = Told(presence.SILENCE)
    told.add(counts)
    assert told.silent() == expected == presence_oracle.silences(counts)


def test_late_lines_withdraw_a_silence_and_a_request_ends_it() -> None:
    told = Told(presence.SILENCE)
    told.add(without(BOTH, "acme", at(34, 9), at(35, 0)))
    assert told.silent() == {("acme", at(34, 9), None)}
    [ended] = told.add([Count("acme", "edge", at(35, 8), 1), Count("bolt", "edge", at(35, 8, 1), 1)])
    assert (ended.state, ended.alert.ends_at) == (State.RESTATED, from_us(at(35, 8) * WINDOW_US))
    [gone] = told.add([Count("acme", "edge", w, 1) for w in range(at(34, 9), at(34, 11))])
    assert gone.state is State.WITHDRAWN


def test_a_partner_that_is_suspended_or_left_is_not_silent() -> None:
    told = Told(presence.SILENCE)
    told.add(without(BOTH, "acme", at(34, 9), at(35, 0)))
    [gone] = told.add([], Catalog.model_validate({"partners": [p for p in CATALOG.model_dump()["partners"] if p["id"] != "acme"]}))  # fmt: skip
    assert (gone.state, gone.alert.subject) == (State.WITHDRAWN, "acme")


JUMPY = usual(requests=50, days=range(30)) + usual(
    "bolt", requests=1
)  # 200 an hour, a last day 29 of which is a Tuesday
HOUR = at(29, 9)


def changed(requests: int, *, first: int = HOUR, quarters: int = 4, days: Sequence[int] = ()) -> list[Count]:
    """JUMPY with other requests in some windows, and without some days of acme."""
    kept = [c for c in JUMPY if c.partner != "acme" or (c.window - MONDAY) // DAY not in days]
    counts = [c._replace(requests=requests) if c.partner == "acme" and first <= c.window < first + quarters else c for c in kept]  # fmt: skip
    return [c for c in counts if c.requests]


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        pytest.param(changed(50), set(), id="as usual"),
        pytest.param(changed(150), set(), id="three times as many"),
        pytest.param([*changed(150), Count("acme", "edge", HOUR, 1)], {"above"}, id="one more"),
        pytest.param(changed(603, quarters=1), {"above"}, id="in the first quarter of it"),
        pytest.param(changed(16), {"below"}, id="64 of 200"),
        pytest.param([*changed(16), Count("acme", "edge", HOUR, 3)], set(), id="67 of 200 are more than a third"),
        pytest.param(changed(0), set(), id="none at all is silence"),
        pytest.param(changed(151, days=[1, 8]), set(), id="two earlier weeks are not enough"),
        pytest.param(changed(151, days=[1]), {"above"}, id="three are"),
        pytest.param([c._replace(requests=c.requests // 10) for c in changed(350)], {"above"}, id="120 more of 20"),
        pytest.param([c._replace(requests=c.requests // 10) for c in changed(290)], set(), id="96 more of 20"),
    ],
)  # fmt: skip
def test_jump(counts: list[Count], expected: set[str]) -> None:
    """Both sides of each rule."""
    told = Told(presence.JUMP)
    told.add(counts)
    day = HOUR // DAY
    assert told.jumped() == {("acme", direction, day, HOUR // 4) for direction in expected}
    assert told.jumped() == presence_oracle.jumps(counts)


def drawn(chance: Random) -> list[Count]:
    """Six weeks of two partners and two sources, with pauses, bursts and falls in the last two."""
    made = []
    for partner in ("acme", "bolt"):
        sources = chance.choice([["edge"], ["edge", "west"], ["west"]])
        base = chance.choice([5, 12, 40])
        pauses = [
            (first, first + chance.choice([1, 2, 3, 8, 90, 700]))
            for first in chance.sample(range(28 * DAY, 43 * DAY), 6)
        ]
        pauses += [
            (at(day, 8) - MONDAY + chance.randrange(6), at(day, 11) - MONDAY - chance.randrange(6))
            for day in chance.sample(range(26, 43), 3)
        ]
        bursts = {chance.randrange(21 * 24, 43 * 24): chance.choice([1, 4, 9]) for _ in range(40)}
        for count in usual(partner, days=range(43), hours=range(8, 10), requests=base):
            place = count.window - MONDAY
            if any(first <= place < end for first, end in pauses):
                continue
            many = base * bursts.get(place // 4, 1)
            many = many // 5 or 1 if place // 4 % 29 == 0 and place > 21 * DAY else many
            made.append(count._replace(source=chance.choice(sources), requests=many))
    return made  # fmt: skip


@pytest.mark.parametrize("seed", range(amount(1, 4, 300)))
@pytest.mark.parametrize("kind", ["silence", "jump"])
def test_usage_that_comes_in_any_order_gives_what_the_oracle_finds(kind: str, seed: int) -> None:
    """Most usage comes in time order, in parts of some hours, and a part of it late. After each part, the alerts that
    hold are those of all usage so far, unless only the newest window changed, which waits for the next one.
    """
    chance = Random(f"{kind} {seed}")
    told = Told(presence.SILENCE if kind == "silence" else presence.JUMP)
    drawn_counts = drawn(chance)
    due = {count: count.window + chance.choice([0, 0, 0, 0, 0, 0, 3, 200]) for count in drawn_counts}
    counts = sorted(due, key=lambda count: (due[count], count))
    start = MONDAY + chance.choice([20, 28, 30]) * DAY
    place = sum(due[count] < start for count in counts)
    told.add(counts[:place])
    while place < len(counts):
        size = chance.choice([1, 2, 5, 20, 60])
        told.add(counts[place : place + size])
        place += size
        if kind == "silence":
            assert told.is_quick or told.silent() == presence_oracle.silences(counts[:place]), f"after {place} counts"
        else:
            assert told.is_quick or told.jumped() == presence_oracle.jumps(counts[:place]), f"after {place} counts"
