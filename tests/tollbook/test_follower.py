"""What the decision server knows of a lake at an instant: periods that turn, grants, budgets, and how old it is."""

import gc
import logging
import weakref
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from aggregate.decisions.credentials import named
from aggregate.decisions.rule import Decision, DecisionPolicy, DenialReason
from aggregate.quota import grants
from aggregate.quota.grants import Asked
from lake.lake import Lake
from tests.tollbook.deciding import CATALOG, use, write_catalog
from tollbook.deciding.follower import Follower

NOW = datetime(2026, 10, 31, 23, 59, 50, tzinfo=UTC)


class Clock:
    """A clock that is set."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


class Place:
    """A follower of a lake, and its clock."""

    def __init__(self, folder: Path, catalog: str = CATALOG) -> None:
        self.lake, self.clock = folder / "lake", Clock()
        use(self.lake, "acme", 10, NOW - timedelta(hours=1), "g1")
        self.follower = Follower(
            Lake(self.lake), write_catalog(folder / "catalog", catalog), clock=self.clock, log=logging.getLogger("test")
        )

    def decided(self, credential: str = "api_key:a-1") -> Decision:
        view = self.follower.view
        return view.accounts.decide(named(credential), as_of=view.as_of, now=self.clock.now, policy=DecisionPolicy())


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_a_period_that_turns_allows_without_any_event(place: Place) -> None:
    """To the microsecond, and without a look at the lake."""
    assert (place.decided().reason, place.decided().retry_after_s) == (DenialReason.QUOTA, 10)
    place.clock.now = datetime(2026, 11, 1, tzinfo=UTC) - timedelta(microseconds=1)
    place.follower.step()
    assert (place.decided().reason, place.decided().retry_after_s) == (DenialReason.QUOTA, 1)
    place.clock.now += timedelta(microseconds=1)
    assert place.decided().allows


def test_a_grant_allows_until_it_ends(place: Place) -> None:
    ends_at = NOW + timedelta(seconds=1)
    asked = Asked("acme", "requests", "MONTH", Decimal(1), None, ends_at, "a launch")
    assert place.decided().reason is DenialReason.QUOTA
    grants.record(Lake(place.lake), asked, by="op", now=NOW)
    place.follower.step()
    assert place.decided().allows
    place.clock.now = ends_at - timedelta(microseconds=1)
    assert place.decided().allows
    place.clock.now = ends_at
    assert place.decided().reason is DenialReason.QUOTA


def test_usage_that_is_too_old_is_answered_as_the_plan_says(place: Place) -> None:
    """At the plan's 2 s it still counts; a microsecond later it does not."""
    place.clock.now = NOW + timedelta(seconds=2)
    assert place.decided().reason is DenialReason.QUOTA
    assert place.decided("api_key:b-1").allows
    place.clock.now += timedelta(microseconds=1)
    assert (place.decided().reason, place.decided().is_stale) == (DenialReason.STALE, True)
    assert (place.decided("api_key:b-1").reason, place.decided("api_key:b-1").is_stale) == (None, True)
    place.follower.step()
    assert (place.decided().reason, place.decided().is_stale) == (DenialReason.QUOTA, False)


@pytest.mark.parametrize(("amount", "reason"), [("10", DenialReason.BUDGET), ("10.01", None)])
def test_a_budget_that_blocks_denies_at_its_amount(tmp_path: Path, amount: str, reason: DenialReason | None) -> None:
    """Each request costs 1 EUR, as `tollbook invoice rate` bills it."""
    catalog = CATALOG.replace("limit: 10, enforce: block", "limit: 1000, enforce: block").replace(
        "id: acme, name: A,", f"id: acme, name: A, budget: {{amount: {amount}, enforce: block}},"
    )
    decided = Place(tmp_path, catalog).decided()
    assert decided.reason is reason
    assert [(s.unit, s.used) for s in decided.standings if s.reason is DenialReason.BUDGET] == [
        ("EUR", Decimal("10.00"))
    ]


def test_accounts_are_freed_when_a_new_catalog_takes_their_place(place: Place) -> None:
    """Without the garbage collector, which does not scan the accounts of the server (tollbook/deciding/server.py)."""
    before = weakref.ref(place.follower.view.accounts)
    assert place.decided().reason is DenialReason.QUOTA
    catalog = weakref.ref(place.follower.view.accounts.catalog)
    is_on = gc.isenabled()
    gc.disable()
    try:
        write_catalog(place.lake.parent / "catalog", CATALOG.replace("limit: 10,", "limit: 11,"))
        for _ in range(10):  # it looks at the catalog in one of ten rounds
            place.follower.step()
        assert place.decided().allows
        assert (before(), catalog()) == (None, None)
    finally:
        if is_on:
            gc.enable()
