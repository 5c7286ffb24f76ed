"""Table `grants`: two processes at once, clocks that go back, and lakes that lack it."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from aggregate.quota import grants
from aggregate.quota.grants import Asked, NoGrant, Watch
from lake.lake import Lake
from schemas.tables import GRANTS

NOW = datetime(2026, 10, 5, tzinfo=UTC)
ASKED = Asked("acme", "requests", "MONTH", Decimal("0.000000001"), None, NOW + timedelta(days=9), "launch")


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    made = Lake(tmp_path / "lake")
    made.create()
    return made


def test_a_row_is_later_than_every_row_before_when_the_clock_went_back(lake: Lake) -> None:
    """The order of rows must be that of limits, as the later one decides."""
    first, _ = grants.record(lake, ASKED, by="ada", now=NOW)
    second, _ = grants.record(lake, ASKED._replace(reason="more"), by="ada", now=NOW - timedelta(hours=1))
    ended, _ = grants.revoke(lake, first.grant_id, reason="mistake", by="bob", now=NOW - timedelta(hours=2))
    assert first.recorded_at < second.recorded_at < (ended.revoked_at or NOW)
    assert [g.amount for g in grants.read(lake).all] == [Decimal("0.000000001")] * 2


def test_what_is_not_there_cannot_be_revoked(lake: Lake) -> None:
    with pytest.raises(NoGrant, match="f00"):
        grants.revoke(lake, "f00", reason="mistake", by="bob", now=NOW)
    assert lake.open(GRANTS).version == 0


def test_a_watch_sees_what_another_process_records_and_what_time_brings(lake: Lake) -> None:
    watch = Watch(Lake(lake.root))
    assert not watch.moved(NOW)
    found, _ = grants.record(lake, ASKED, by="ada", now=NOW)
    assert watch.moved(NOW + timedelta(seconds=1))
    assert not watch.moved(NOW + timedelta(days=8))
    assert watch.moved(NOW + timedelta(days=9))
    assert not watch.moved(NOW + timedelta(days=10))
    assert Watch(lake).moved(NOW), "a process that starts does not know what was judged before"
    assert watch.grants.all == (found,)


def test_a_lake_of_an_earlier_version_has_no_grants_until_one_is_recorded(lake: Lake) -> None:
    for file in sorted((lake.root / "grants").rglob("*"), reverse=True):
        file.rmdir() if file.is_dir() else file.unlink()
    watch = Watch(lake)
    assert grants.read(lake).all == ()
    assert not watch.moved(NOW)
    grants.record(lake, ASKED, by="ada", now=NOW)
    assert watch.moved(NOW)
