"""The alert rule: at the threshold and not before, each once, passed ones marked, corrections withdraw."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregate.quota.rule import AlertRule, Fired, Mark, due, projection
from schemas.quotas import ALWAYS, level

D = Decimal
START, END = datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC)
THRESHOLDS = tuple(D(t) for t in (50, 80, 90, 100, 120))
RULE = AlertRule("acme", "requests", "plan", "MONTH", START, END, D(1000), THRESHOLDS, ALWAYS, ((START, END),))
NOON = START + timedelta(days=10)
NOTHING = Fired()
OLD_ID = "27ad8d525804c038a273b9db"  # of 50 percent of RULE, as the version that did not tell limits apart gave it
LATER = START + timedelta(days=3)  # when another limit was first seen
LAST = START + timedelta(days=5)


def mark(threshold: int, limit: int | None = 1000, since: datetime | None = ALWAYS) -> Mark:
    return Mark(D(threshold), None if limit is None else D(limit), since)


def fired(used: str, held: Fired = NOTHING, rule: AlertRule = RULE) -> list[tuple[str, str, bool]]:
    return [(a.kind, str(a.threshold_percent), a.passed) for a in due(rule, D(used), held, seen_until=NOON)]


def under(limit: int, since: datetime | None) -> AlertRule:
    return RULE._replace(limit=D(limit), limit_since=since)


@pytest.mark.parametrize(
    ("used", "expected"),
    [
        pytest.param("499.999999999", [], id="the last unit below"),
        pytest.param("500", [("quota", "50", False)], id="exactly at it"),
        pytest.param(
            "950",
            [("quota", "50", True), ("quota", "80", True), ("quota", "90", False)],
            id="from nothing to 95 percent",
        ),
        pytest.param(
            "1000",
            [("quota", "50", True), ("quota", "80", True), ("quota", "90", True), ("quota", "100", False)],
            id="used up: used >= limit",
        ),
    ],
)
def test_thresholds(used: str, expected: list[tuple[str, str, bool]]) -> None:
    """Fires when usage >= threshold; the lower of several at once are marked as passed."""
    assert fired(used) == expected


def test_what_has_fired_does_not_fire_again_and_a_correction_withdraws_once() -> None:
    """The ledger decides; nothing is deleted."""
    both, eighty = [mark(50), mark(80)], [mark(80)]
    assert fired("850", Fired(both)) == []
    assert fired("700", Fired(both)) == [("withdrawn", "80", False)]
    assert fired("700", Fired(both, eighty)) == []
    assert fired("850", Fired(both, eighty)) == [], "and it does not fire a second time"


@given(st.lists(st.decimals(0, 3000, places=3, allow_nan=False), max_size=12))
def test_however_usage_grows_each_threshold_fires_once(steps: list[Decimal]) -> None:
    """Any sequence of growing totals gives the same alerts as the last total alone."""
    held: list[Mark] = []
    ids = []
    for used in sorted(steps):
        for alert in due(RULE, used, Fired(tuple(held)), seen_until=NOON):
            held.append(alert.mark)
            ids.append(alert.alert_id)
    assert len(ids) == len(set(ids))
    assert [m.threshold_percent for m in held] == [
        t for t in RULE.thresholds if steps and max(steps) >= level(RULE.limit, t)
    ]


def test_projection() -> None:
    """At the average so far; none when it is used up, or will not be before the period ends."""
    assert projection(RULE, D(500), NOON) == START + timedelta(days=20)
    assert projection(RULE, D(1000), NOON) is None
    assert projection(RULE, D(100), NOON) is None
    assert projection(RULE, D(0), NOON) is None
    assert projection(RULE, D("0.000000001"), NOON) is None, "later than there is a date for"


def test_another_limit_alerts_anew_and_takes_back_what_it_no_longer_reaches() -> None:
    """Raised: what fired under the lower limit holds no more. What is reached under the higher limit must be sent."""
    before = Fired([mark(50), mark(80)])
    assert fired("850", before, under(2000, LATER)) == [("withdrawn", "50", False), ("withdrawn", "80", False)]
    assert fired("1600", Fired(before.alerts, before.alerts), under(2000, LATER)) == [
        ("quota", "50", True),
        ("quota", "80", False),
    ]
    assert fired("850", before, under(1500, LATER)) == [("quota", "50", False), ("withdrawn", "80", False)]


def test_a_limit_that_comes_back_fires_again_under_other_ids() -> None:
    """A, B, A: three agreements. Each alert of the second A is one of its own, and is not known by the id of the
    first.
    """
    first = due(RULE, D(850), NOTHING, seen_until=NOON)
    again = due(under(1000, LAST), D(850), Fired([a.mark for a in first], [a.mark for a in first]), seen_until=NOON)
    assert [a.threshold_percent for a in again] == [a.threshold_percent for a in first] == [50, 80]
    assert not {a.alert_id for a in again} & {a.alert_id for a in first}
    assert fired("850", Fired([a.mark for a in [*first, *again]]), under(1000, LAST)) == []


def test_a_withdrawal_names_the_alert_that_it_takes_back() -> None:
    """Two limits, two alerts at the same threshold: who counts open alerts must know which of them is closed."""
    (one,) = due(RULE, D(600), NOTHING, seen_until=NOON)
    (two,) = due(under(1100, LATER), D(600), Fired([one.mark]), seen_until=NOON)
    back = due(under(5000, LAST), D(600), Fired([one.mark, two.mark]), seen_until=NOON)
    assert [(a.kind, a.withdraws) for a in back] == [("withdrawn", one.alert_id), ("withdrawn", two.alert_id)]
    assert len({a.alert_id for a in [one, two, *back]}) == 4
    assert one.withdraws is None


def test_a_threshold_that_is_no_longer_asked_for_is_not_taken_back() -> None:
    """The partner is still there: every alert that was sent still holds."""
    rule = RULE._replace(thresholds=(D(80),))
    assert fired("600", Fired([mark(50)]), rule) == []
    assert fired("400", Fired([mark(50)]), rule) == [("withdrawn", "50", False)]


@pytest.mark.parametrize("named", [1000, None])
def test_what_an_earlier_version_fired_counts_for_the_limit_it_names(named: int | None) -> None:
    """An upgrade must not send everything again. Where no limit was kept (on Kafka), it is the first that is known."""
    old = Fired([mark(50, named, None), mark(80, named, None)])
    assert fired("850", old) == []
    assert fired("850", old, under(1000, None)) == []
    assert fired("850", old, under(1000, LATER)) == [("quota", "50", True), ("quota", "80", False)]
    known = ["50", "80"] if named is None else []
    alerts = [("quota", t, t != "90") for t in ("50", "80", "90") if t not in known]
    assert fired("850", old, under(900, ALWAYS)) == alerts


def test_ids_of_an_earlier_version_stay_as_they_are() -> None:
    """Whoever has got an alert knows its repeat by its id; and a withdrawal names the alert by the id that was sent."""
    (alert,) = due(under(1000, None), D(600), NOTHING, seen_until=NOON)
    assert alert.alert_id == OLD_ID
    (back,) = due(RULE, D(400), Fired([mark(50, 1000, None)]), seen_until=NOON)
    assert back.withdraws == OLD_ID


def days(number: int) -> timedelta:
    return timedelta(days=number)


def test_a_projection_ends_with_the_plan_and_begins_with_it() -> None:
    """From the 11th to the 21st: half of it in 4 days is all of it on the 19th; at a rate that takes longer it is
    never used up.
    """
    rule = RULE._replace(held=((START + days(10), START + days(20)),))
    assert projection(rule, D(500), START + days(14)) == START + days(18)
    assert projection(rule, D(400), START + days(14)) is None, "on the 21st it would be: the plan has just ended"
    assert projection(rule, D(401), START + days(14)) is not None
    assert projection(rule, D(500), START + days(10)) is None, "nothing is known of its time"


def test_a_projection_of_a_plan_that_is_left_and_taken_up_again_counts_its_own_time() -> None:
    """Four days, four days' pause, and on: what the partner does under another plan takes nothing of this quota."""
    rule = RULE._replace(held=((START, START + days(4)), (START + days(8), END)))
    assert projection(rule, D(500), START + days(3)) == START + days(10), (
        "six days of its own: two of them after the pause"
    )
    assert projection(rule, D(500), START + days(10)) == START + days(16)
    assert projection(rule, D(500), START + days(6)) == START + days(12), "the pause itself is no time"
