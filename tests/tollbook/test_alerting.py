"""Alerts of the local run: each once, in its own period, at the event that crossed; a crash delays them and loses
none.
"""

import hashlib
import re
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from lake.lake import Lake
from schemas.tables import ALERTS, TableShape
from tests.tollbook.fixtures import (
    DAY_MS,
    METERS,
    MINUTE_MS,
    PARTNERS,
    PRICES,
    T0_MS,
    Here,
    ended,
    process,
    requests,
    table_rows,
    write_catalog,
)

KILL_BEFORE_ALERTS = """
import os
from aggregate.alerts import ledger
from tollbook.__main__ import main

ledger.record = lambda *args, **kwargs: os._exit(9)
main()
"""
SEPTEMBER_MS = T0_MS - 10 * DAY_MS


def fired(here: Here, *files: Path) -> list[dict[str, Any]]:
    """Run, and what alerted on thresholds of quotas in this run."""
    return [a for a in told(here, *files) if a["threshold_percent"] is not None]


def told(here: Here, *files: Path) -> list[dict[str, Any]]:
    """Run, and all that alerted in this run."""
    done = here.tollbook(*here.run_words(*files), "--json")
    assert (done.code, done.err) == (0, "")
    return list(done.json["alerts"])


def thresholds(alerts: Sequence[dict[str, Any]]) -> list[tuple[str, bool]]:
    return [(a["threshold_percent"], a["passed"]) for a in alerts]


def at(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


def ledger(here: Here) -> list[dict[str, Any]]:
    """Table `alerts`, in the order of its keys, without projections."""
    rows = here.table(
        "alerts", "FROM t ORDER BY partner_id, meter, plan, quota_period, period_start, threshold_percent, kind"
    )
    return [row for row in rows if row["threshold_percent"] is not None]


def test_crossing_several_thresholds_in_one_run_fires_each_and_marks_the_passed_ones(here: Here) -> None:
    """From nothing to 95 percent: on-call must see 50, 80 and 90, and that only the last is news."""
    log = here.log("a.log", *requests(95))
    assert thresholds(fired(here, log)) == [("50", True), ("80", True), ("90", False)]
    assert fired(here, log) == []
    with log.open("ab") as file:
        file.writelines(requests(4, T0_MS + 200 * MINUTE_MS))
    assert fired(here, log) == []  # 99: nothing new is reached
    with log.open("ab") as file:
        file.writelines(requests(1, T0_MS + 300 * MINUTE_MS))
    assert thresholds(fired(here, log)) == [("100", False)]  # exactly at it
    assert fired(here, log) == []
    assert [row["threshold_percent"] for row in ledger(here)] == [Decimal(t) for t in (50, 80, 90, 100)]


def test_it_crosses_at_the_event_that_reached_it_in_the_order_of_event_times(here: Here) -> None:
    """Not when the log was read, and not in the order of the log: the alert says when the partner got there."""
    lines = requests(95)
    log = here.log("a.log", *reversed(lines))
    alerts = fired(here, log)
    assert [a["crossed_at"] for a in alerts] == [at(T0_MS + n * MINUTE_MS).isoformat() for n in (49, 79, 89)]
    assert [row["crossed_at"] for row in ledger(here)] == [at(T0_MS + n * MINUTE_MS) for n in (49, 79, 89)]


def test_it_says_what_it_rests_on_and_when_the_quota_will_be_used_up(here: Here) -> None:
    """Total, limit, commit, and the projection: 50 requests in the first hour, so 100 after two."""
    [alert] = fired(here, here.log("a.log", *requests(50, step_ms=72_000)))
    assert (alert["used"], alert["quota"], alert["quota_period"], alert["plan"]) == ("50", "100", "MONTH", "small")
    assert alert["projected_exhaustion_at"] == at(T0_MS + 120 * MINUTE_MS).isoformat()
    assert alert["events_version"] == 1
    [row] = ledger(here)
    assert row["events_version"] == 1
    assert row["projected_exhaustion_at"] == at(T0_MS + 120 * MINUTE_MS)
    assert (row["period_start"], row["period_end"]) == (
        datetime(2026, 10, 1, tzinfo=UTC),
        datetime(2026, 11, 1, tzinfo=UTC),
    )


def test_late_usage_alerts_in_its_own_period(here: Here) -> None:
    """A September log that comes in October counts for September's quota, and takes nothing from October's."""
    assert thresholds(fired(here, here.log("a.log", *requests(60)))) == [("50", False)]
    late = fired(here, here.log("b.log", *requests(85, SEPTEMBER_MS)))
    assert thresholds(late) == [("50", True), ("80", False)]
    assert {a["period_start"] for a in late} == {"2026-09-01T00:00:00+00:00"}


def test_what_is_not_billed_does_not_count_towards_the_quota(here: Here) -> None:
    """The quota is on the meter, and the meter leaves out 429 and 5xx."""
    assert fired(here, here.log("a.log", *requests(49), *requests(40, T0_MS + DAY_MS, response__status=503))) == []
    assert thresholds(fired(here, here.log("b.log", *requests(1, T0_MS + 2 * DAY_MS)))) == [("50", False)]


@pytest.mark.slow
def test_a_crash_between_landing_and_alerting_delays_alerts_and_loses_none(here: Here) -> None:
    """The lines are landed and are not read again: the alerts must come from what the lake holds."""
    log = here.log("a.log", *requests(95))
    for _ in range(2):
        died = ended(process(here.run_words(log), folder=here.folder, code=("-c", KILL_BEFORE_ALERTS)))
        assert died.code == 9, died.err
    assert here.balanced(95)
    assert ledger(here) == []
    assert thresholds(fired(here, log)) == [("50", True), ("80", True), ("90", False)]
    assert fired(here, log) == []


def test_a_run_that_counts_nothing_new_alerts_when_the_catalog_lowers_a_quota(here: Here) -> None:
    """Alerts follow from the totals and the catalog, not from lines that happen to be read."""
    log = here.log("a.log", *requests(40))
    assert fired(here, log) == []
    write_catalog(here.catalog, prices=PRICES.replace("limit: 100", "limit: 50"))
    assert thresholds(fired(here, log)) == [("50", True), ("80", False)]


def test_usage_before_a_plan_does_not_move_the_crossing_of_its_quota(here: Here) -> None:
    """A plan that begins within the month counts from there: 40 requests before it are another plan's."""
    plans = "[{plan: old, valid_from: 2026-01-01, valid_to: 2026-10-02}, {plan: small, valid_from: 2026-10-02}]"
    write_catalog(
        here.catalog,
        partners=PARTNERS.replace("[{plan: small, valid_from: 2026-01-01}]", plans),
        prices=PRICES + "  - {id: old, rate_card: card}\n",
    )
    [alert] = fired(here, here.log("a.log", *requests(40), *requests(60, T0_MS + DAY_MS)))
    assert alert["used"] == "60"
    assert alert["crossed_at"] == at(T0_MS + DAY_MS + 49 * MINUTE_MS).isoformat()


def test_a_plan_taken_up_again_within_a_month_has_one_quota(here: Here) -> None:
    """Twice 60 requests under one plan are 120 of its 100, each threshold once, though the plan was left in between."""
    plans = (
        "[{plan: small, valid_from: 2026-01-01, valid_to: 2026-10-02}, {plan: other, valid_from: 2026-10-02, valid_to: 2026-10-03}, "
        "{plan: small, valid_from: 2026-10-03}]"
    )
    write_catalog(
        here.catalog,
        partners=PARTNERS.replace("[{plan: small, valid_from: 2026-01-01}]", plans),
        prices=PRICES + "  - {id: other, rate_card: card}\n",
    )
    log = here.log("a.log", *requests(60), *requests(500, T0_MS + DAY_MS), *requests(60, T0_MS + 2 * DAY_MS))
    alerts = fired(here, log)
    assert [a["threshold_percent"] for a in alerts] == ["50", "80", "90", "100", "120"]
    assert alerts[1]["crossed_at"] == at(T0_MS + 2 * DAY_MS + 19 * MINUTE_MS).isoformat()
    assert fired(here, log) == []
    assert len(ledger(here)) == len({row["alert_id"] for row in ledger(here)}) == 5


def test_quotas_in_gigabytes_cross_at_the_byte(here: Here) -> None:
    """The threshold is in the meter's unit, the sum in bytes; between them is an exact division."""
    write_catalog(
        here.catalog,
        meters=METERS + "  - {id: egress, aggregate: sum, field: response_bytes, unit: GB, divide_by: 1000000000}\n",
        prices=PRICES.replace(
            "{meter: requests, period: MONTH, limit: 100}", "{meter: egress, period: DAY, limit: 0.000002}"
        ),
    )
    alerts = fired(here, here.log("a.log", *requests(3, response__size=500)))
    assert [(a["threshold_percent"], a["used"], a["crossed_at"]) for a in alerts] == [
        ("50", "0.0000015", at(T0_MS + MINUTE_MS).isoformat())
    ]


def test_the_screen_shows_alerts_with_unit_period_and_projection(here: Here) -> None:
    """What on-call reads in the mail of the scheduler."""
    shown = here.run(here.log("a.log", *requests(60))).out
    assert re.search(r"acme +requests +50 % +60 +100 +2026-10 +10-01 00:49", shown)
    assert "acme will have used up requests by 10-01 01:40\n" in shown


@pytest.mark.slow
def test_quotas_of_a_day_and_a_month_that_begin_together_have_ledgers_of_their_own(here: Here) -> None:
    """On the first of a month both periods begin at the same instant: what fired for the day says nothing of the
    month.
    """
    quotas = "{meter: requests, period: MONTH, limit: 100}\n      - {meter: requests, period: DAY, limit: 40}"
    write_catalog(here.catalog, prices=PRICES.replace("{meter: requests, period: MONTH, limit: 100}", quotas))
    log = here.log("a.log", *requests(40))
    assert {(a["quota_period"], a["threshold_percent"], a["kind"]) for a in fired(here, log)} == {
        ("DAY", threshold, "quota") for threshold in ("50", "80", "90", "100")
    }
    assert fired(here, log) == []  # and nothing of the month is withdrawn
    with log.open("ab") as file:
        file.writelines(requests(15, T0_MS + DAY_MS))
    assert [(a["quota_period"], a["threshold_percent"]) for a in fired(here, log)] == [("MONTH", "50")]


FIRST, LATER, LAST = "2026-10-20T00:00:00Z", "2026-10-21T00:00:00Z", "2026-10-22T00:00:00Z"


def quota(here: Here, limit: int, *thresholds: int) -> None:
    """Write the catalog with another quota a month."""
    shown = f"limit: {limit}, thresholds: [{', '.join(map(str, thresholds))}]" if thresholds else f"limit: {limit}"
    write_catalog(here.catalog, prices=PRICES.replace("limit: 100", shown))


def shown(alerts: Sequence[dict[str, Any]]) -> list[tuple[str, str, str]]:
    return [(a["kind"], a["threshold_percent"], a["quota"]) for a in alerts]


def test_a_quota_that_is_raised_alerts_at_its_new_limit(here: Here) -> None:
    """4 of 4; raised to 10: no longer used up; 12 of 10: used up.

    The last word on a partner over its quota must not be `withdrawn`.

    The case of getlago/lago-api#6132 and simstudioai/sim#5171, where a raised limit never alerted again.
    """
    quota(here, 4, 50, 100)
    log = here.log("a.log", *requests(4))
    first = fired(here, log)
    assert shown(first) == [("quota", "50", "4"), ("quota", "100", "4")]
    quota(here, 10, 50, 100)
    back = fired(here, log)
    assert shown(back) == [("withdrawn", "50", "10"), ("withdrawn", "100", "10")]
    assert [a["withdraws"] for a in back] == [a["alert_id"] for a in first]
    more = fired(here, here.log("b.log", *requests(8, T0_MS + DAY_MS)))
    assert shown(more) == [("quota", "50", "10"), ("quota", "100", "10")]
    assert fired(here, log) == []
    assert len({row["alert_id"] for row in ledger(here)}) == 6


@pytest.mark.slow
def test_a_limit_that_comes_back_alerts_again_at_each_time_and_a_run_that_is_repeated_does_not(here: Here) -> None:
    """A, B, A, on one day of a clock that stands still: each holds from another instant, and that is read back from
    the lake.
    """
    log = here.log("a.log", *requests(60))
    for number, (limit, expected) in enumerate(
        [(100, ["quota 50"]), (1000, ["withdrawn 50"]), (100, ["quota 50"]), (1000, ["withdrawn 50"])]
    ):
        quota(here, limit)
        for repeat in range(2):
            done = here.tollbook(*here.run_words(log), "--json", "--now", FIRST).json["alerts"]
            assert [f"{a['kind']} {a['threshold_percent']}" for a in done] == (expected if repeat == 0 else [])
        assert len({row["alert_id"] for row in ledger(here)}) == number + 1
    since = [row["limit_since"] for row in here.table("limits", "FROM t ORDER BY limit_since")]
    assert since[0] == datetime(2000, 1, 1, tzinfo=UTC), "of the first that was seen nothing is known but that it holds"
    assert [(at - since[1]).microseconds for at in since[1:]] == [0, 1, 2]


@pytest.mark.slow
def test_a_crash_after_a_new_limit_was_seen_changes_no_instant(here: Here) -> None:
    """From when it holds is written before anything is told: the next run, a day later, tells the same alerts."""
    log = here.log("a.log", *requests(60))
    fired(here, log)
    quota(here, 70)
    words = [*here.run_words(log), "--now", LATER]
    died = ended(process(words, folder=here.folder, code=("-c", KILL_BEFORE_ALERTS)))
    assert died.code == 9, died.err
    [eighty, fifty] = sorted(
        here.tollbook(*here.run_words(log), "--json", "--now", LAST).json["alerts"], key=lambda a: a["passed"]
    )
    assert [a["limit_since"] for a in (fifty, eighty)] == ["2026-10-21T00:00:00+00:00"] * 2


def test_an_alert_whose_usage_is_gone_altogether_is_withdrawn(here: Here) -> None:
    """A meter that counts nothing of it any more has no row: nothing is 0 of the quota, and not what it was."""
    log = here.log("a.log", *requests(60))
    assert shown(fired(here, log)) == [("quota", "50", "100")]
    write_catalog(here.catalog, meters=METERS.replace('exclude_status: ["429", "5xx"]', "routes: [no-such-route]"))
    assert [(a["kind"], a["used"]) for a in fired(here, log)] == [("withdrawn", "0")]
    assert fired(here, log) == []


def test_a_projection_does_not_run_past_the_end_of_the_plan(here: Here) -> None:
    """50 of 100 in the first day of a plan of one day and a half: before it would be used up, it has ended."""
    plans = "[{plan: small, valid_from: 2026-01-01, valid_to: 2026-10-02}, {plan: other, valid_from: 2026-10-02}]"
    write_catalog(
        here.catalog,
        partners=PARTNERS.replace("[{plan: small, valid_from: 2026-01-01}]", plans),
        prices=PRICES + "  - {id: other, rate_card: card}\n",
    )
    [alert] = fired(here, here.log("a.log", *requests(50, step_ms=20 * MINUTE_MS)))
    assert alert["projected_exhaustion_at"] is None, "at this rate on the 2nd at 09:20, under another plan"


@pytest.mark.slow
def test_a_ledger_of_an_earlier_version_counts_for_the_limit_it_names(here: Here) -> None:
    """Its rows keep their ids and are not fired again; a lake without table `limits` and without the new columns is
    brought up to date.
    """
    log = here.log("a.log", *requests(60))
    assert shown(fired(here, log)) == [("quota", "50", "100")]
    as_before(here.lake)
    assert fired(here, log) == []
    assert [row["alert_id"] for row in ledger(here)] == [OLD_ID]
    quota(here, 1000)
    [back] = fired(here, log)
    assert (back["kind"], back["withdraws"]) == ("withdrawn", OLD_ID)
    quota(here, 100)
    assert shown(fired(here, log)) == [("quota", "50", "100")]


_OLD_PARTS = ["acme", "requests", "small", "MONTH", "2026-10-01T00:00:00+00:00", "5E+1", "quota"]
OLD_ID = hashlib.sha256("\x1f".join(_OLD_PARTS).encode()).hexdigest()[:24]


def as_before(root: Path) -> None:
    """Make a lake's ledger, of one row, what the version before limits were told apart would have left."""
    shape = TableShape("alerts", pa.schema([f for f in ALERTS.schema if f.name not in ALERTS.later]))
    [row] = table_rows(root, "alerts")
    shutil.rmtree(root / "limits")
    shutil.rmtree(root / "alerts")
    DeltaTable.create(root / "alerts", shape.schema)
    rows = pa.Table.from_pylist([{name: row[name] for name in shape.schema.names} | {"alert_id": OLD_ID}], shape.schema)
    Lake(root).open(shape).commit([Lake(root).write(shape, rows)], versions={"quota": 1}, info={"events": 1})


@pytest.mark.slow
def test_a_late_file_moves_the_crossing_back_and_the_earlier_statement_stays(here: Here) -> None:
    """50 requests on the 3rd, then 20 of the 1st that came late: the 50th request was the 30th of the 3rd."""
    first = fired(here, here.log("a.log", *requests(55, T0_MS + 2 * DAY_MS)))
    assert [(a["kind"], a["crossed_at"]) for a in first] == [
        ("quota", at(T0_MS + 2 * DAY_MS + 49 * MINUTE_MS).isoformat())
    ]
    late = fired(here, here.log("b.log", *requests(20)))
    moved = at(T0_MS + 2 * DAY_MS + 29 * MINUTE_MS)
    assert [(a["kind"], a["restates"], a["crossed_at"]) for a in late] == [
        ("restated", first[0]["alert_id"], moved.isoformat())
    ]
    assert [a["kind"] for a in fired(here, here.log("c.log", *requests(2, T0_MS + 3 * DAY_MS)))] == []
    assert [row["crossed_at"] for row in ledger(here)] == [at(T0_MS + 2 * DAY_MS + 49 * MINUTE_MS), moved]


def test_crossings_stay_in_the_order_of_thresholds_after_late_files(here: Here) -> None:
    """Late usage between two crossings moves only the later ones."""
    fired(here, here.log("a.log", *requests(95, T0_MS + 5 * DAY_MS)))
    between = T0_MS + 5 * DAY_MS + 60 * MINUTE_MS + 1
    late = fired(here, here.log("b.log", *requests(4, between, step_ms=1)))
    assert {(a["threshold_percent"], a["kind"]) for a in late} == {("80", "restated"), ("90", "restated")}
    newest = {row["threshold_percent"]: row["crossed_at"] for row in ledger(here)}  # a restated row comes last
    assert list(newest.values()) == sorted(newest.values())
    assert newest[Decimal(80)] == at(T0_MS + 5 * DAY_MS + 75 * MINUTE_MS)


@pytest.mark.slow
def test_a_withdrawn_alert_that_holds_again_is_told_again(here: Here) -> None:
    """A meter that stops counting and counts again: the last word on a partner over its quota is that it is over."""
    log = here.log("a.log", *requests(60))
    [first] = fired(here, log)
    write_catalog(here.catalog, meters=METERS.replace('exclude_status: ["429", "5xx"]', "routes: [no-such-route]"))
    assert [a["kind"] for a in fired(here, log)] == ["withdrawn"]
    write_catalog(here.catalog)
    [again] = fired(here, log)
    assert (again["kind"], again["restates"], again["alert_id"]) == (
        "restated",
        first["alert_id"],
        f"{first['alert_id']}-3",
    )
    assert again["crossed_at"] == first["crossed_at"]


@pytest.mark.slow
def test_a_quota_that_will_be_used_up_is_stated_once_for_each_projected_day(here: Here) -> None:
    """10 requests in the first hours of each day, of 100 a month. More of them on the same day of the projection say
    nothing; a day without any moves it.
    """
    days = [here.log(f"{n}.log", *requests(10, T0_MS + n * DAY_MS, step_ms=60 * MINUTE_MS)) for n in range(4)]
    assert told(here, *days[:2]) == []
    [ahead] = told(here, days[2])
    assert (ahead["kind"], ahead["subject"], ahead["evidence"]["used"]) == ("exhaustion", "acme", "30")
    assert ahead["evidence"]["projected_day"] == "2026-10-08"
    assert told(here, here.log("more.log", *requests(1, T0_MS + 2 * DAY_MS + 1))) == []
    moved = told(here, days[3])
    assert [(a["kind"], a["evidence"]["projected_day"]) for a in moved] == [("restated", "2026-10-09")]
    late = told(here, here.log("late.log", *requests(1, T0_MS + 20 * DAY_MS)))
    assert [(a["kind"], a["withdraws"]) for a in late] == [("withdrawn", ahead["alert_id"])]
