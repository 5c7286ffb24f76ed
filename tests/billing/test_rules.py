"""Invoices of earlier rules: proved by them byte for byte, and compared with today's only where somebody asks."""

import tarfile
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from billing.invoicing import closing, issuing
from billing.invoicing.closing import Refused
from billing.invoicing.comparing import earlier_rules
from lake.lake import Lake
from tests.billing.lakes import books

pytestmark = pytest.mark.integration

KEPT = Path(__file__).parent / "lakes_kept"
NOW = datetime(2026, 12, 3, tzinfo=UTC)


@pytest.fixture
def issued_by_rules_1(tmp_path: Path) -> Path:
    """August to October 2026 of four partners and two entities whose contracts change, issued before rules had
    numbers.
    """
    with tarfile.open(KEPT / "rules-1.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    Lake(tmp_path / "lake").upgrade(copy=None, progress=lambda _: None)
    return tmp_path / "lake"


def test_invoices_of_rules_1_verify_to_their_bytes(issued_by_rules_1: Path) -> None:
    """Twelve invoices, whatever has been corrected since: what a partner was sent does not change."""
    checked = issuing.verify(Lake(issued_by_rules_1))
    assert len(checked) == 12
    assert [problem for c in checked for problem in c.problems] == []


def test_their_documents_are_written_again_by_rules_1(issued_by_rules_1: Path) -> None:
    """Deleted and asked for: the layout of then."""
    path = issued_by_rules_1 / "documents" / "NM-2026-000007.csv"
    before = path.read_bytes()
    path.unlink()
    made = closing.newest_close(Lake(issued_by_rules_1), "2026-10", "north")
    assert made is not None
    assert issuing.issue(Lake(issued_by_rules_1), made, now=NOW).new == 0
    assert path.read_bytes() == before


def test_what_the_rules_of_today_would_bill_is_distinguished(issued_by_rules_1: Path) -> None:
    """The faults of rules 1, in money: plans that had ended were billed on, and a new price version began the count
    anew.
    """
    found = {
        e.number: (e.partner_id, e.period, e.issued, e.would_be)
        for e in earlier_rules.explained(Lake(issued_by_rules_1))
    }
    assert len(found) == 12
    assert found["NM-2026-000003"] == ("zeta", "2026-08", Decimal("48.14"), Decimal("48.14"))  # nothing changed in it
    assert found["NM-2026-000001"] == (
        "acme",
        "2026-08",
        Decimal("67.85"),
        Decimal("51.85"),
    )  # with a plan of next month
    partner, period, was, would = found["SO-2026-000003"]
    assert (partner, period, was, would) == ("yota", "2026-10", Decimal(3194), Decimal(0))
    assert found["NM-2026-000007"][2] > (found["NM-2026-000007"][3] or 0)


@pytest.mark.slow
def test_what_rules_1_settled_is_settled(issued_by_rules_1: Path) -> None:
    """The next month goes on from where the last invoice of then ended, and no month is billed again."""
    periods = closing.settled_periods(Lake(issued_by_rules_1))
    assert {(s.partner_id, s.label) for s in periods} == {
        (partner, f"2026-{month:02d}") for partner in ("acme", "kilo", "yota", "zeta") for month in (8, 9, 10)
    }
    catalog = closing.all_closes(Lake(issued_by_rules_1))[-1].catalog()
    made = closing.close(Lake(issued_by_rules_1), catalog, "2026-11", "north", prove=books(issued_by_rules_1), now=NOW)
    ends = {s.partner_id: s.end for s in periods if s.label == "2026-10"}
    assert {p: datetime.fromisoformat(c["start"]) for p, c in made.content["partners"].items()} == {
        partner: ends[partner] for partner in ("acme", "kilo", "zeta")
    }
    report = issuing.issue(Lake(issued_by_rules_1), made, now=NOW)
    assert [i.number for i in report.invoices] == ["NM-2026-000010", "NM-2026-000011", "NM-2026-000012"]
    assert all(not c.problems for c in issuing.verify(Lake(issued_by_rules_1)))
    with pytest.raises(Refused, match="lies before the first month that is settled"):
        closing.close(Lake(issued_by_rules_1), catalog, "2026-07", "north", prove=books(issued_by_rules_1), now=NOW)
