"""The comparison of the ledger with what holds now: fired once, restated when it changed, withdrawn when examined."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregate.alerts.reconcile import reconciled
from schemas.alerts import Alert, Kind, State, Statement

NOON = datetime(2026, 10, 10, 12, tzinfo=UTC)


def alert(name: str, hour: int = 0, peak: int = 1) -> Alert:
    return Alert(Kind.THROTTLE, "acme", {"episode": name}, NOON + timedelta(hours=hour), {"peak": peak}, "acme")


class Book:
    """A ledger in memory, and what was told in one evaluation after another."""

    def __init__(self) -> None:
        self.statements: dict[str, Statement] = {}
        self.told: list[Statement] = []

    def see(self, current: Sequence[Alert], *, examined: Sequence[str] = "abc") -> list[tuple[str, str, int]]:
        """Evaluate; what is due as (name, state, number)."""
        due = reconciled(self.statements, current, lambda a: a.key["episode"] in examined, events_version=1)
        self.statements |= {s.alert_id: s for s in due}
        self.told += due
        return [(s.alert.key["episode"], s.state, s.number) for s in due]


def test_an_alert_fires_once_and_again_only_with_other_figures() -> None:
    """Evaluating the same again says nothing; a later figure is a new statement about the same alert."""
    book = Book()
    assert book.see([alert("a"), alert("b")]) == [("a", "fired", 1), ("b", "fired", 1)]
    assert book.see([alert("a"), alert("b")]) == []
    assert book.see([alert("a", peak=2), alert("b", hour=-1)]) == [("a", "restated", 2), ("b", "restated", 2)]
    assert book.see([alert("a", peak=2), alert("b", hour=-1)]) == []


def test_only_what_was_examined_is_withdrawn_and_it_can_hold_again() -> None:
    """An alert of a day that nobody looked at stays. One that was withdrawn and holds again is told again."""
    book = Book()
    book.see([alert("a"), alert("b")])
    assert book.see([], examined="a") == [("a", "withdrawn", 2)]
    assert book.see([], examined="a") == []
    assert book.see([alert("a"), alert("b")]) == [("a", "restated", 3)]
    ids = [s.statement_id for s in book.told if s.alert.key["episode"] == "a"]
    assert ids == [alert("a").alert_id, f"{alert('a').alert_id}-2", f"{alert('a').alert_id}-3"]


def test_a_time_that_becomes_known_is_no_change_of_the_alert() -> None:
    """It is stated by itself, once. Another time, or a time with other figures, is a change."""
    book = Book()
    unknown = alert("a")._replace(at=None)
    assert book.see([unknown, alert("b")._replace(at=None)]) == [("a", "fired", 1), ("b", "fired", 1)]
    assert book.see([alert("a"), alert("b", peak=2)]) == [("a", "timed", 2), ("b", "restated", 2)]
    assert book.see([alert("a", hour=-1), alert("b", peak=2)]) == [("a", "restated", 3)]
    book.see([alert("b", peak=2)])
    assert book.see([unknown, alert("b", peak=2)]) == [("a", "restated", 5)], "it holds again"
    assert book.see([alert("a"), alert("b", peak=2)]) == [("a", "timed", 6)]


def test_two_alerts_of_one_id_are_a_mistake_of_the_detector() -> None:
    """Whichever of the two came second would be lost without a word."""
    with pytest.raises(ValueError, match="two alerts have the id"):
        Book().see([alert("a"), alert("a", peak=2)])


@given(st.lists(st.dictionaries(st.sampled_from("abc"), st.integers(1, 3)), min_size=1, max_size=8))
def test_the_ledger_says_what_holds_whatever_came_before(steps: list[dict[str, int]]) -> None:
    """Numbers have no gaps, ids are unique, and the newest statements are those of the last evaluation alone."""
    book = Book()
    for step in steps:
        book.see([alert(name, peak=peak) for name, peak in step.items()])
        holds = {s.alert.key["episode"]: s.alert.evidence["peak"] for s in book.statements.values() if s.holds}
        assert holds == step
    assert len({s.statement_id for s in book.told}) == len(book.told)
    for alert_id in {s.alert_id for s in book.told}:
        mine = [s for s in book.told if s.alert_id == alert_id]
        assert [s.number for s in mine] == list(range(1, len(mine) + 1))
        assert mine[0].state is State.FIRED
        assert State.FIRED not in {s.state for s in mine[1:]}
