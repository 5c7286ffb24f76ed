"""The lake as meters see it: sums that no splitting changes, at pinned versions, wherever the lake lies."""

import shutil
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing.periods import billing_period
from billing.rating import drafts, outlines
from billing.usage.warehouse import Meters, Span, Warehouse
from lake.lake import Lake
from schemas.tables import ROLLUPS
from schemas.windows import WINDOW_US, from_us, to_us
from tests.billing.catalogs import book
from tests.billing.lakes import land, request, requests
from tests.long import amount

pytestmark = pytest.mark.integration

CATALOG = book()
OCTOBER = billing_period(CATALOG, CATALOG.partners[0], "2026-10", None)
assert OCTOBER is not None
OUTLINE = outlines.outline(CATALOG, CATALOG.partners[0], OCTOBER)
METERS = Meters()
START = to_us(datetime(2026, 9, 30, 22, tzinfo=UTC))  # October in Berlin
WINDOWS = 745 * 4
PIECES = st.lists(
    st.tuples(st.integers(0, WINDOWS - 1), st.integers(0, 40), st.integers(0, 10**10), st.sampled_from([200, 404, None])),
    max_size=12,
)  # fmt: skip


def billed(pieces: list[tuple[int, int, int, int | None]]) -> Decimal:
    """Acme's October total when these partial sums stand in the rollups: (window, requests, bytes, status)."""
    rows = [
        {
            "partner_id": "acme",
            "window_start": from_us(START + window * WINDOW_US),
            "source": "edge",
            "status": status,
            "requests": count,
            "request_bytes": 0,
            "response_bytes": size,
            "latency_us": 0,
        }
        for window, count, size, status in pieces
    ]
    METERS.con.register("rollups", pa.Table.from_pylist(rows, ROLLUPS.schema))
    METERS.define_metered(CATALOG, OUTLINE.spans())
    found = {row["span"]: row["quantity"] for row in METERS.query("by_span").to_pylist()}
    draft, problems = drafts.draft(CATALOG, OUTLINE, [found.get(i, Decimal(0)) for i in range(len(OUTLINE.spans()))])
    assert problems == []
    assert draft is not None
    return draft.total


@settings(max_examples=amount(15, 40), deadline=None)
@given(PIECES, st.data())
def test_splitting_usage_into_windows_in_any_order_changes_nothing(
    pieces: list[tuple[int, int, int, int | None]], data: st.DataObject
) -> None:
    """Partial sums may be cut and shuffled: more files, more workers, more windows, the same bill."""
    parts = []
    for window, count, size, status in pieces:
        first, small = data.draw(st.integers(0, count)), data.draw(st.integers(0, size))
        elsewhere = data.draw(st.integers(0, WINDOWS - 1))
        parts += [(window, first, small, status), (elsewhere, count - first, size - small, status)]
    assert billed(data.draw(st.permutations(parts))) == billed(pieces)


def test_a_meter_of_nothing_counts_nothing(tmp_path: Path) -> None:
    """A lake without usage, a span without length, a partner nobody knows: 0, never an error."""
    root = land(tmp_path / "lake", [])
    day = datetime(2026, 10, 1, tzinfo=UTC)
    spans = [Span("acme", "requests", day, day), Span("nobody", "egress", day, datetime(2026, 11, 1, tzinfo=UTC))]
    assert Warehouse(Lake(root)).usage(CATALOG, spans) == [0, 0]


def test_a_pinned_version_does_not_move(tmp_path: Path) -> None:
    """A reader sees one state of the lake while others write, and can come back to it."""
    root = land(tmp_path / "lake", requests(3, "2026-10-02T00:00Z"))
    span = Span("acme", "requests", datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC))
    before = Warehouse(Lake(root))
    land(root, requests(4, "2026-10-03T00:00Z"), "more")
    assert before.usage(CATALOG, [span]) == [3]
    assert Warehouse(Lake(root)).usage(CATALOG, [span]) == [7]
    assert Warehouse(Lake(root), before.versions).usage(CATALOG, [span]) == [3]


@pytest.mark.parametrize("name", ["with space", "hash#tag", "glob[1]*", "quote's", "Straße 日本", "a=b&c", "q?x"])
def test_a_lake_is_read_wherever_it_lies(october: Path, tmp_path: Path, name: str) -> None:
    """A folder's name is a name: no pattern, no address, no SQL."""
    root = shutil.copytree(october, tmp_path / name / "lake")
    span = Span("acme", "requests", datetime(2026, 9, 1, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC))
    assert Warehouse(Lake(root)).usage(CATALOG, [span]) == [12]


def test_the_crossing_is_the_event_that_reaches_the_level(tmp_path: Path) -> None:
    """The same event that counting them one by one finds."""
    times = [
        f"2026-10-{day:02d}T{hour:02d}:{minute:02d}Z" for day in (2, 3) for hour in (0, 7) for minute in (1, 14, 16, 59)
    ]
    root = land(tmp_path / "lake", [request(at, status=500 if at.endswith("14Z") else 200) for at in times])
    counted = [at for at in times if not at.endswith("14Z")]
    house = Warehouse(Lake(root))
    span = Span("acme", "requests", datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC))
    for level in range(1, len(counted) + 1):
        assert house.crossing(CATALOG, span, Decimal(level)) == datetime.fromisoformat(counted[level - 1])
    assert house.crossing(CATALOG, span, Decimal(len(counted)) + Decimal("0.001")) is None
