"""The audit trail: each act once, in a chain in which a changed, missing or repeated row is named."""

from datetime import timedelta
from pathlib import Path

import pytest

from billing.receivables import audit
from billing.receivables.audit import AuditEntry, AuditRow
from lake.lake import Lake
from lake.storage.local import LocalStore
from tests.billing.lakes import NOW
from tests.lake.faulty import FaultyStore, Killed, commits_to

CLOSED = AuditEntry("close", "c1", {"period": "2026-10"})
ISSUED = [AuditEntry("issue", f"N-{n}", {"total": "1.00", "currency": "EUR"}) for n in (1, 2)]


def trail() -> list[AuditRow]:
    """Three rows by two people."""
    first = audit.appended([], [CLOSED], by="ann", now=NOW)
    return first + audit.appended(first, ISSUED, by="bob", now=NOW + timedelta(hours=1))


@pytest.mark.integration
def test_rows_are_appended_once_and_read_in_order(tmp_path: Path) -> None:
    """What was recorded is not recorded again, whoever repeats it; an approval counts for each person."""
    Lake(tmp_path).create()
    assert len(audit.record(Lake(tmp_path), [CLOSED], by="ann", now=NOW)) == 1
    assert audit.record(Lake(tmp_path), [CLOSED], by="bob", now=NOW) == []
    for who in ("ann", "bob", "bob"):
        audit.record(Lake(tmp_path), [AuditEntry("approve", "c1", {}), *ISSUED], by=who, now=NOW)
    found = audit.rows(Lake(tmp_path))
    assert [(row.number, row.recorded_by, row.what, row.subject) for row in found] == [
        (1, "ann", "close", "c1"), (2, "ann", "approve", "c1"), (3, "ann", "issue", "N-1"), (4, "ann", "issue", "N-2"),
        (5, "bob", "approve", "c1"),
    ]  # fmt: skip
    assert audit.problems(found) == []


@pytest.mark.integration
def test_of_two_at_once_the_second_follows_the_first(tmp_path: Path) -> None:
    """The second writer finds its row number taken, reads again, and appends."""
    Lake(tmp_path).create()

    def other() -> None:
        audit.record(Lake(tmp_path), [CLOSED], by="ann", now=NOW)

    slow = Lake(FaultyStore(LocalStore(tmp_path), 1, other, counted=commits_to("audit")))
    audit.record(slow, ISSUED, by="bob", now=NOW)
    found = audit.rows(Lake(tmp_path))
    assert [row.what for row in found] == ["close", "issue", "issue"]
    assert audit.problems(found) == []


@pytest.mark.integration
@pytest.mark.parametrize("when", ["before", "halfway", "after"])
def test_a_kill_at_the_commit_leaves_all_rows_or_none(tmp_path: Path, when: str) -> None:
    """The repetition completes the trail, and it holds each act once."""
    Lake(tmp_path).create()
    dying = Lake(FaultyStore(LocalStore(tmp_path), 1, when=when, counted=commits_to("audit")))
    with pytest.raises(Killed):
        audit.record(dying, ISSUED, by="bob", now=NOW)
    assert len(audit.rows(Lake(tmp_path))) in {0, 2}
    audit.record(Lake(tmp_path), ISSUED, by="bob", now=NOW)
    assert [row.subject for row in audit.rows(Lake(tmp_path))] == ["N-1", "N-2"]


def test_times_never_go_back() -> None:
    """A clock that went back does not put a row before an earlier one."""
    first = audit.appended([], [CLOSED], by="ann", now=NOW)
    (second, *_) = audit.appended(first, ISSUED, by="ann", now=NOW - timedelta(days=1))
    assert second.recorded_at == NOW


@pytest.mark.parametrize("column", AuditRow._fields)
def test_a_change_of_any_column_of_any_row_is_named(column: str) -> None:
    """Of the last row, too, which no later row names."""
    for place, row in enumerate(trail()):
        value = getattr(row, column)
        other = (
            value + timedelta(seconds=1)
            if column == "recorded_at"
            else value + 7
            if column == "number"
            else f"{value}x"
        )
        changed = trail()
        changed[place] = row._replace(**{column: other})
        found = audit.problems(changed)
        assert any(f"audit row {changed[place].number} " in problem for problem in found), (column, place)


def test_a_missing_and_a_repeated_row_are_named() -> None:
    """The row after the gap says which number is missing."""
    first, second, third = trail()
    assert "audit row 3 (issue N-2): it should be number 2" in audit.problems([first, third])[0]
    assert "audit row 2 (issue N-1): it should be number 1" in audit.problems([second, third])[0]
    assert "audit row 2 (issue N-1): it should be number 3" in audit.problems([first, second, second, third])[0]


def test_a_row_put_in_the_place_of_another_is_named() -> None:
    """Its own hash may be right: then the next row names another one before it."""
    first, _, third = trail()
    (forged,) = audit.appended([first], [AuditEntry("issue", "N-9", {})], by="bob", now=NOW)
    assert audit.problems([first, forged, third]) == [
        "audit row 3 (issue N-2): it names another row before it than row 2; restore table audit from a backup"
    ]
