"""Noisy neighbours against an oracle that looks at every request, and the bounds of the rule from both sides."""

from collections.abc import Mapping
from datetime import UTC, datetime
from fractions import Fraction
from random import Random
from typing import Any

import pyarrow as pa
import pytest

from aggregate.alerts.detectors.neighbour import Others, alert_of, effects, incidents, percent, window_of
from billing.usage.warehouse import Meters
from schemas.alerts import Alert
from schemas.tables import TIME
from schemas.windows import from_us, to_us
from tests.aggregate.neighbour_oracle import MINUTE, Request, Told, told_of
from tests.long import amount
from tollbook.alerting.neighbour import great_shares, others

NOON = to_us(datetime(2026, 10, 1, 12, tzinfo=UTC))
_EVENTS = pa.schema(
    [
        ("partner_id", pa.string()), ("occurred_at", TIME), ("request_bytes", pa.int64()), ("response_bytes", pa.int64()),
        ("latency_us", pa.int64()), ("status", pa.int16()), ("event_day", pa.date32()),
    ]
)  # fmt: skip


def house_of(requests: list[Request]) -> Meters:
    """The requests as the view `events`."""
    house = Meters()
    rows = [
        {
            "partner_id": r.partner, "occurred_at": from_us(r.at), "request_bytes": r.size // 3, "response_bytes": r.size - r.size // 3,
            "latency_us": r.took, "status": r.status, "event_day": from_us(r.at).date(),
        }
        for r in requests
    ]  # fmt: skip
    house.con.register("events", pa.Table.from_pylist(rows, _EVENTS))
    return house


def alerts_of(requests: list[Request]) -> list[Alert]:
    """What the detector finds in requests."""
    house = house_of(requests)
    shares = great_shares(house, from_us(min(r.at for r in requests)), from_us(max(r.at for r in requests) + 1))
    complete = window_of(from_us(max(r.at for r in requests)))
    return [alert_of(i) for i in incidents(shares, lambda spans: others(house, spans), until=complete)]


def told(alert: Alert) -> Told:
    """An alert as the oracle tells it."""
    evidence = alert.evidence
    assert alert.at is not None

    def exact(value: str | None) -> Fraction | None:
        return None if value is None else Fraction(value)

    return Told(
        alert.subject,
        to_us(alert.at),
        None if alert.ends_at is None else to_us(alert.ends_at),
        evidence["causes"],
        evidence["effects"],
        evidence["requests"],
        tuple(exact(evidence[f"{name}_percent{when}"]) for when in ("", "_before") for name in ("requests", "bytes", "time")),
        tuple(
            (evidence[f"others_requests{when}"], exact(evidence[f"others_p95_ms{when}"]), exact(evidence[f"others_errors_percent{when}"]))
            for when in ("", "_before")
        ),
    )  # fmt: skip


def drawn(chance: Random, windows: int = 34) -> list[Request]:
    """Three partners with steady traffic; one at a time floods while the others are served worse, or are not."""
    made: list[Request] = []
    flood: list[tuple[str, int, int, int]] = []  # who, requests in a window, added latency, percent of errors
    for window in range(windows):
        start = NOON + window * 5 * MINUTE
        if chance.random() < 0.3:
            flood = [
                (
                    chance.choice("abc"),
                    chance.choice([0, 60, 99, 100, 150, 300]),
                    chance.choice([0, 9, 20, 50]),
                    chance.choice([0, 0, 2, 6]),
                )
            ]
        elif chance.random() < 0.3:
            flood = []
        if window >= windows - 3:
            flood = [("a", 150, 50, 6)]
        for partner in "abc":
            count = chance.choice([0, 20, 25, 30])
            size, slower, failing = 900, 0, 0
            for who, more, latency, errors in flood:
                if who == partner and more:
                    count, size = more, chance.choice([90, 900, 9_000])
                elif who != partner:
                    slower, failing = latency, errors
            made += [
                Request(
                    start + chance.choice([0, 1, 299_999_999, chance.randrange(5 * MINUTE)]),
                    partner,
                    chance.choice([size, 0]),
                    chance.choice([None, 40_000, 40_000, 40_001, 20_000]) if not slower else (40 + slower) * 1000,
                    500 if chance.randrange(100) < failing else 200,
                )
                for _ in range(count)
            ]  # fmt: skip
    return made


@pytest.mark.parametrize("seed", range(amount(8, 24, 2_000)))
def test_alerts_are_those_of_the_oracle(seed: int) -> None:
    """Times, causes, effects and every figure."""
    requests = drawn(Random(seed))
    found = alerts_of(requests)
    assert {told(alert) for alert in found} == told_of(requests)
    assert len({alert.alert_id for alert in found}) == len(found)
    assert {alert.partner_id for alert in found} <= {None}, "figures of others are not for a partner"


def test_what_is_drawn_has_alerts_of_every_sort() -> None:
    """Otherwise two sides that find nothing would agree."""
    found = [alert for seed in range(12) for alert in told_of(drawn(Random(seed)))]
    assert {alert.causes for alert in found} == {"requests", "bytes", "requests, bytes"}
    assert {alert.effects for alert in found} == {"latency", "errors", "latency, errors"}
    assert any(alert.end is None for alert in found)


@pytest.mark.parametrize(("windows", "minutes"), [(3, 15), (23, 115), (24, 120), (30, 120)])
@pytest.mark.slow
def test_an_incident_lasts_as_long_as_it_is_noisy_and_two_hours_at_most(windows: int, minutes: int) -> None:
    """Each window is compared with the hour before the first one, in which it was quiet."""
    made = [(window, "own", 10, 40_000) for window in range(12)]
    made += [(12 + window, "own", 200, 40_000) for window in range(windows)]
    is_loud = range(12, 12 + windows)
    made += [(window, "x", 60, 90_000 if window in is_loud else 40_000) for window in range(12 + windows + 2)]
    requests = [
        Request(NOON + window * 5 * MINUTE + number, partner, 900, took, 200)
        for window, partner, count, took in made
        for number in range(count)
    ]
    found = alerts_of(requests)
    assert {told(alert) for alert in found} == told_of(requests)
    assert [(alert.subject, alert.at, alert.ends_at) for alert in found] == [
        ("own", from_us(NOON + 60 * MINUTE), from_us(NOON + (60 + minutes) * MINUTE))
    ]


@pytest.mark.parametrize(
    ("during", "before", "expected"),
    [
        pytest.param(Others(50, 0, 50, 60_000), Others(50, 0, 50, 40_000), ["latency"], id="half as much again"),
        pytest.param(Others(50, 0, 50, 59_999), Others(50, 0, 50, 40_000), [], id="a microsecond less"),
        pytest.param(Others(50, 0, 50, 39_999), Others(50, 0, 50, 20_000), [], id="less than 20 ms"),
        pytest.param(Others(50, 0, 50, 40_000), Others(50, 0, 50, 20_000), ["latency"], id="20 ms"),
        pytest.param(Others(50, 0, 49, 60_000), Others(50, 0, 50, 40_000), [], id="too few in the window"),
        pytest.param(Others(50, 0, 50, 60_000), Others(50, 0, 49, 40_000), [], id="too few before"),
        pytest.param(Others(50, 1, 0, None), Others(50, 0, 0, None), ["errors"], id="two points"),
        pytest.param(Others(51, 1, 0, None), Others(50, 0, 0, None), [], id="less than two points"),
        pytest.param(Others(100, 5, 0, None), Others(100, 3, 0, None), [], id="less than twice"),
        pytest.param(Others(100, 6, 0, None), Others(100, 3, 0, None), ["errors"], id="twice"),
        pytest.param(Others(0, 0, 0, None), Others(50, 0, 0, None), [], id="nobody else"),
    ],
)
def test_what_is_worse_for_the_others(during: Others, before: Others, expected: list[str]) -> None:
    assert effects(during, before) == expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({}, "requests", id="at every bound"),
        pytest.param({"flood": 99}, None, id="too few requests"),
        pytest.param({"others": 101}, None, id="less than a fifth of all windows' requests"),
        pytest.param({"own_before": 34}, None, id="less than three times its average"),
        pytest.param({"windows": 2}, None, id="too little to compare with"),
    ],
)
def test_what_is_a_jump(changes: Mapping[str, int], expected: str | None) -> None:
    """100 of 500 requests, three windows before with 33 of its own each: one less of anything is no jump."""
    given: dict[str, int] = {"flood": 100, "others": 100, "own_before": 33, "windows": 3, **changes}
    before = [("own", given["own_before"], 40_000), ("x", 500, 40_000)]
    made: list[Any] = [(window, *some) for window in range(given["windows"]) for some in before]
    made += [(given["windows"], "own", given["flood"], 40_000)]
    made += [(given["windows"], name, given["others"], 80_000) for name in "wxyz"]
    requests = [
        Request(NOON + window * 5 * MINUTE + number, partner, 0, took, 200)
        for window, partner, count, took in made
        for number in range(count)
    ]
    requests.append(Request(NOON + (given["windows"] + 1) * 5 * MINUTE, "x", 0, 40_000, 200))
    found = alerts_of(requests)
    assert {told(alert) for alert in found} == told_of(requests)
    assert [alert.evidence["causes"] for alert in found if alert.subject == "own"] == ([expected] if expected else [])


def test_shares_are_rounded_half_up() -> None:
    assert [percent(1, 3), percent(2, 3), percent(1, 20_000), percent(1, 1), percent(0, 5), percent(0, 0)] == [
        "33.33", "66.67", "0.01", "100", "0", None,
    ]  # fmt: skip
