"""Pieces of time: every span consists of whole ones, whatever the other spans are."""

from datetime import UTC, datetime, timedelta, timezone

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from billing.usage.pieces import instants, pieces
from schemas.tables import TIME
from schemas.windows import WINDOW_US, from_us, to_us

START_US = to_us(datetime(2026, 9, 30, 22, tzinfo=UTC))
BERLIN = timezone(timedelta(hours=2))
BOUNDS = st.lists(st.integers(0, 400).map(lambda n: from_us(START_US + n * WINDOW_US)), max_size=8)


@given(BOUNDS)
def test_a_piece_begins_at_the_last_bound_that_is_not_later(bounds: list[datetime]) -> None:
    """Each window from the first bound to the last one, once and in order."""
    rows = pieces(bounds).to_pylist()
    windows = [row["window_start"] for row in rows]
    first, last = (min(bounds), max(bounds)) if bounds else (from_us(0), from_us(0))
    assert windows == [from_us(us) for us in range(to_us(first), to_us(last), WINDOW_US)]
    assert [row["piece_start"] for row in rows] == [max(b for b in bounds if b <= window) for window in windows]


def test_a_plan_without_bounds_has_no_more_pieces_than_events_have_times() -> None:
    """A contract from the year 1 to the year 9999 is a century of windows, not ten thousand years of them."""
    found = pieces([datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 45, tzinfo=UTC)])
    assert found["window_start"][0].as_py() == datetime(1990, 1, 1, tzinfo=UTC)
    assert found["window_start"][-1].as_py() == datetime(2099, 12, 31, 23, 45, tzinfo=UTC)
    assert found["piece_start"].unique().to_pylist() == [datetime(1990, 1, 1, tzinfo=UTC)]


def test_bounds_before_the_first_possible_event_make_one_piece() -> None:
    """Two contracts that began in other years before then count the same events."""
    early = [datetime(year, 1, 1, tzinfo=UTC) for year in (1, 1980, 1990)]
    assert pieces([*early, datetime(1990, 1, 2, tzinfo=UTC)])["piece_start"].unique().to_pylist() == [early[-1]]
    assert pieces(early).num_rows == 0


def test_instants_are_the_same_in_every_offset() -> None:
    """A bill's spans have the offsets of its time zone."""
    times = [datetime(2026, 10, 1, 2, tzinfo=BERLIN), datetime(2026, 10, 1, tzinfo=UTC)] * 3_000
    assert instants(times).combine_chunks() == pa.array([times[1]] * 6_000, TIME)
    assert instants([]) == pa.chunked_array([], TIME)
