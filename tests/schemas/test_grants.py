"""The effective limit of a quota: on both sides of every instant of a grant, and before, in and after the period."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from schemas.grants import Grants, QuotaGrant, effective_limit
from schemas.quotas import ALWAYS

START, END = datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC)
TICK = timedelta(microseconds=1)


def day(number: int) -> datetime:
    return START + timedelta(days=number - 1)


def grant(amount: int, start: int, end: int, *, recorded: int | None = None, revoked: int | None = None) -> QuotaGrant:
    return QuotaGrant(
        f"{amount}-{start}", "acme", "requests", "MONTH", Decimal(amount), day(start), day(end), "launch", "ada",
        day(start if recorded is None else recorded), None if revoked is None else day(revoked),
    )  # fmt: skip


def limit(*grants: QuotaGrant, now: datetime, since: datetime = ALWAYS) -> tuple[int, datetime]:
    found = effective_limit(Decimal(100), since, grants, start=START, end=END, now=now)
    assert found.granted == found.limit - 100
    return int(found.limit), found.since


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        pytest.param(day(5) - TICK, (100, ALWAYS), id="before"),
        pytest.param(day(5), (150, day(5)), id="begins"),
        pytest.param(day(9) - TICK, (150, day(5)), id="still holds"),
        pytest.param(day(9), (100, day(9)), id="ended: a new limit, though it is the old one"),
        pytest.param(END + timedelta(days=99), (100, day(9)), id="after the period"),
    ],
)
def test_a_grant_of_four_days(now: datetime, expected: tuple[int, datetime]) -> None:
    assert limit(grant(50, 5, 9), now=now) == expected


def test_a_period_that_is_over_is_judged_at_its_last_instant() -> None:
    """Whatever the clock says; what begins with the next period does not count."""
    for now in (END - TICK, END, END + timedelta(days=999)):
        assert limit(grant(50, 5, 40), grant(7, 32, 40), now=now) == (150, day(5))


def test_a_grant_that_begins_in_the_past_takes_effect_when_it_is_recorded() -> None:
    assert limit(grant(50, 2, 20, recorded=6), now=day(7)) == (150, day(6))


def test_a_grant_that_was_revoked_before_it_began_never_was() -> None:
    one = grant(50, 10, 20, recorded=5, revoked=7)
    assert {limit(one, now=day(n)) for n in (6, 8, 15, 25)} == {(100, ALWAYS)}


def test_a_revocation_ends_a_grant_and_is_a_new_limit() -> None:
    """Also in a later period that the grant had reached into, whose limit changed twice."""
    one = grant(50, -20, 20, revoked=-5)
    assert limit(one, now=day(3)) == (100, day(-5))


def test_grants_that_follow_each_other_change_nothing() -> None:
    first, second = grant(50, 5, 9), grant(50, 9, 12, recorded=8)
    assert limit(first, second, now=day(10)) == (150, day(5))
    assert limit(first, second._replace(amount=Decimal(60)), now=day(10)) == (160, day(9))


def test_a_limit_of_the_catalog_that_is_newer_than_the_grant_counts_from_then() -> None:
    assert limit(grant(50, 5, 20), now=day(10), since=day(8)) == (150, day(8))


def test_a_watch_is_told_of_every_instant_once() -> None:
    grants = Grants((grant(50, 5, 9, recorded=4),))
    assert [grants.changes(day(n), day(n + 1)) for n in range(3, 10)] == [False, True, False, False, False, True, False]
