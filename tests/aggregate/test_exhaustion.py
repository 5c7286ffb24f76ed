"""Projected exhaustion: at the average rate, to the end of the period or of the plan, and not from too little time."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from aggregate.quota.exhaustion import ahead, is_averted
from aggregate.quota.rule import AlertRule
from schemas.quotas import ALWAYS
from schemas.zones import zone

D = Decimal
START, END = datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC)
RULE = AlertRule("acme", "requests", "plan", "MONTH", START, END, D(3100), (D(100),), ALWAYS, ((START, END),))
DAY = timedelta(days=1)


def day(used: str, days: float, rule: AlertRule = RULE) -> str | None:
    """The projected day, or None if there is no alert."""
    alert = ahead(rule, D(used), unit="requests", as_of=START + days * DAY, zone=zone("Etc/UTC"))
    return None if alert is None else alert.evidence["projected_day"]


@pytest.mark.parametrize(
    ("used", "days", "expected"),
    [
        pytest.param("1000", 10, None, id="exactly at the end of the month: it lasts"),
        pytest.param("1001", 10, "2026-10-31", id="one more: on the last day"),
        pytest.param("2000", 10, "2026-10-16", id="twice the rate: in the middle"),
        pytest.param("3100", 10, None, id="used up already: that is a threshold"),
        pytest.param("900", 1.5, None, id="less than a twentieth of the month: too early to say"),
        pytest.param("900", 1.56, "2026-10-06", id="a little more than a twentieth"),
        pytest.param("0", 10, None, id="no usage"),
        pytest.param("3000", 31, None, id="the period is over"),
    ],
)
def test_when_it_will_be_used_up(used: str, days: float, expected: str | None) -> None:
    """Whole periods with the plan."""
    assert day(used, days) == expected


def test_the_end_of_the_plan_comes_first() -> None:
    """At this rate the quota is used up on the 16th, but the plan ends on the 15th or on the 17th."""
    for last, expected in ((15, None), (17, "2026-10-16")):
        rule = RULE._replace(held=((START, START + (last - 1) * DAY),))
        assert day("2000", 10, rule) == expected


def test_a_projection_that_wavers_around_the_end_is_not_withdrawn_at_once() -> None:
    """Between 95 and 100 percent of the limit it neither fires nor is withdrawn."""
    as_of = START + 10 * DAY
    assert not is_averted(RULE, D("990"), as_of=as_of)
    assert not is_averted(RULE, D("950"), as_of=as_of)
    assert is_averted(RULE, D("949"), as_of=as_of)
    assert not is_averted(RULE, D("3100"), as_of=as_of), "it came true"
    assert not is_averted(RULE, D("10"), as_of=END), "the period is over: it stays on record"
