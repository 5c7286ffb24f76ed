"""A year of small days with upkeep: the first invoices verify, and a commit does what it did on the first day."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from aggregate import upkeep
from aggregate.landing import settlement
from aggregate.upkeep import UpkeepRules
from aggregate.verify import prove
from billing.invoicing import closing, issuing
from lake import tables
from lake.lake import Lake
from lake.storage.local import LocalStore
from schemas.tables import EVENTS, ROLLUPS
from tests.billing.catalogs import book
from tests.billing.lakes import books, land, request
from tests.lake.faulty import FaultyStore
from tests.long import LONG

pytestmark = pytest.mark.integration

MONTHS, DAYS = (12, 28) if LONG else (2, 4)
COMMITS_A_DAY = 3
RULES = UpkeepRules(min_files=2, grace=timedelta(days=1), kept_commits=10)


def landed(root: Path, day: date) -> int:
    """Some commits of one day; the number of operations of the store for one more, and for opening its tables."""
    for n in range(COMMITS_A_DAY):
        partner = ("acme", "zeta")[n % 2]
        land(root, [request(f"{day}T{8 + n:02}:00Z", partner, response_bytes=10**8)], f"{day}-{n}")
    store = FaultyStore(LocalStore(root))
    lake = Lake(store)
    lake.open(EVENTS)
    lake.open(ROLLUPS)
    lake.consistent_cut()
    return len(store.operations)


def test_a_year_of_days_that_are_compacted_and_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each month is closed, issued and corrected by nothing; each day is compacted and its logs are cut."""
    monkeypatch.setattr(tables, "CHECKPOINT_COMMITS", 5)
    root = tmp_path / "lake"
    first, work, documents = datetime(2026, 10, 1, tzinfo=UTC), list[int](), dict[str, bytes]()
    for month in range(MONTHS):
        start = date(first.year + (9 + month) // 12, (9 + month) % 12 + 1, 1)
        for day in range(DAYS):
            today = start + timedelta(days=day)
            work.append(landed(root, today))
            list(
                upkeep.keep_up(
                    Lake(root), now=datetime(today.year, today.month, today.day, 23, tzinfo=UTC), rules=RULES
                )
            )
        now = datetime(start.year, start.month, 28, tzinfo=UTC) + timedelta(days=10)
        settlement.settle(Lake(root), now=lambda now=now: now)  # type: ignore[misc]
        upkeep.before_close(Lake(root), now=now)
        made = closing.close(Lake(root), book(), f"{start:%Y-%m}", "north", prove=books(root), now=now)
        assert issuing.issue(Lake(root), made, now=now).new == 2
        if month == 0:
            documents = {path.name: path.read_bytes() for path in (root / "documents").iterdir()}
    checked = issuing.verify(Lake(root))
    assert len(checked) == 2 * MONTHS
    assert [problem for found in checked for problem in found.problems] == []
    assert prove(Lake(root)).problems == []
    assert {name: (root / "documents" / name).read_bytes() for name in documents} == documents
    # The first days have less than one checkpoint; afterwards no day costs more than the others.
    assert max(work[-DAYS:]) <= 1.2 * max(work[:DAYS])
    assert len(list((root / "events" / "_delta_log").glob("0*.json"))) < 2 * (RULES.kept_commits + COMMITS_A_DAY + 5)
    # A file of each day that a close lists, and those that wait a day for their deletion.
    assert len(list((root / "events").glob("event_day=*/*.parquet"))) <= MONTHS * DAYS + 2 * COMMITS_A_DAY + 1
