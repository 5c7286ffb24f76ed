"""Windows: every instant is in exactly one, in every time zone a month is a whole number of them."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from schemas.windows import EPOCH, WINDOW_US, from_us, to_us, window_for


@given(st.integers(-(2**62), 2**62))
def test_every_instant_is_in_exactly_one_window(t: int) -> None:
    """[start, end): the start belongs, the end is the next one's."""
    window = window_for(t)
    assert window.start_us <= t < window.end_us
    assert window.end_us - window.start_us == WINDOW_US
    assert window_for(window.end_us).start_us == window.end_us
    assert window_for(window.start_us - 1).end_us == window.start_us


@given(st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001
def test_instants_survive_the_way_to_integers_and_back(instant: datetime) -> None:
    """To the microsecond: no float on the way."""
    assert from_us(to_us(instant)) == instant


def test_the_last_microsecond_belongs_to_the_window() -> None:
    """Edge from both sides."""
    edge = to_us(EPOCH + timedelta(minutes=15))
    assert window_for(edge - 1).start_us == 0
    assert window_for(edge).start_us == edge
