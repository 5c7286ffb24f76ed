"""Payments from a CSV: what is read, what is matched, and that each transaction is recorded once."""

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from billing.receivables import audit, payments
from billing.receivables.items import items
from billing.receivables.payments import BadPayments, Matched, Payment
from lake.lake import Lake
from tests.billing.test_items import credit, row

HEADER = "transaction_id,date,amount,currency,number\n"
ROWS = [row("N-1", "36.33"), row("N-2", "5", currency="JPY"), row("N-3", "7"), credit("CN-1", "-7", "N-3", voids=True)]
NOW = datetime(2026, 12, 1, tzinfo=UTC)


def read(*lines: str) -> list[Payment]:
    return payments.read(HEADER + "\n".join(lines) + "\n")


def matched(found: list[Payment], trail: list[audit.AuditRow] | None = None) -> Matched:
    return payments.matched(found, items(ROWS, trail or []), trail or [])


def test_columns_may_stand_in_any_order_among_others() -> None:
    """Banks export more than is needed, with a byte order mark."""
    text = '\ufeffnumber,text,amount,currency,date,transaction_id\r\nN-1,"a, b\nc",36.33,EUR,2026-11-20,t1\r\n'
    (found,) = payments.read(text)
    assert found == Payment("t1", date(2026, 11, 20), Decimal("36.33"), "EUR", "N-1")


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("t1,20.11.2026,5,EUR,N-1", "line 2: date '20.11.2026' is not a day"),
        ('t1,2026-11-20,"1,50",EUR,N-1', "line 2: amount '1,50' is not an amount"),
        ("t1,2026-11-20,1e3,EUR,N-1", "line 2: amount '1e3' is not an amount"),
        ("t1,2026-11-20,0,EUR,N-1", "line 2: amount '0' is not an amount"),
        ("t1,2026-11-20,-,EUR,N-1", "line 2: amount '-' is not an amount"),
        ("t1,2026-11-20,1.005,EUR,N-1", "line 2: amount 1.005 has more than the 2 decimals of EUR"),
        ("t1,2026-11-20,1.5,JPY,N-2", "line 2: amount 1.5 has more than the 0 decimals of JPY"),
        ("t1,2026-11-20,5,EURO,N-1", "line 2: currency 'EURO' is unknown"),
        ("t1,2026-11-20,5,EUR,", "line 2: `number` is empty"),
        ("t1,2026-11-20,5", "line 2: `currency` is empty"),
        ("t1,2026-11-20,5,EUR,N-1\nt1,2026-11-20,6,EUR,N-1", "line 3: transaction t1 is there twice"),
        ('"t1', "line 1: unexpected end of data"),
    ],
)
def test_a_line_that_cannot_be_read_is_named(line: str, problem: str) -> None:
    """Nothing of such a file is recorded: whoever exported it must look at it."""
    with pytest.raises(BadPayments) as refused:
        read(line)
    assert refused.value.problems[0].startswith(problem)


def test_a_file_without_the_columns_is_refused() -> None:
    """Also an empty one."""
    for text in ("", "date;amount\n"):
        with pytest.raises(BadPayments, match="the header lacks transaction_id"):
            payments.read(text)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("t1,2026-11-20,5,EUR,N-9", "transaction t1: no document 'N-9'"),
        ("t1,2026-11-20,5,USD,N-1", "transaction t1: N-1 is in EUR, and the payment in USD"),
        ("t1,2026-11-20,5,EUR,CN-1", "transaction t1: CN-1 is a credit note"),
        ("t1,2026-11-20,5,EUR,N-3", "transaction t1: N-3 is void"),
    ],
)
def test_a_payment_that_pays_no_document_is_named_and_the_others_count(line: str, problem: str) -> None:
    """One wrong number must not hold up the others."""
    found = matched(read(line, "t2,2026-11-20,1,EUR,N-1"))
    assert [payment.transaction_id for payment in found.payments] == ["t2"]
    (only,) = found.unmatched
    assert only.startswith(problem)


def test_a_transaction_is_recorded_once_and_never_changed(tmp_path: Path) -> None:
    """The same file again, and one that overlaps with it, count nothing twice."""
    lake = Lake(tmp_path / "lake")
    lake.create()
    first = matched(read("t1,2026-11-20,36.00,EUR,N-1"))
    assert payments.record(lake, first, by="ann", now=NOW) == ["t1"]
    assert payments.record(lake, first, by="bob", now=NOW) == []
    more = matched(read("t1,2026-11-20,36,EUR,N-1", "t2,2026-11-21,0.33,EUR,N-1"), audit.rows(lake))
    assert payments.record(lake, more, by="ann", now=NOW) == ["t2"]
    (paid, *_) = items(ROWS, audit.rows(lake))
    assert (paid.state.value, paid.paid, paid.open) == ("paid", Decimal("36.33"), Decimal(0))
    changed = matched(read("t1,2026-11-20,37,EUR,N-1"), audit.rows(lake))
    assert changed.payments == []
    assert "was recorded as 36.00 EUR of 2026-11-20 for N-1" in changed.unmatched[0]
    back = matched(read("t3,2026-11-25,-36.00,EUR,N-1"), audit.rows(lake))
    payments.record(lake, back, by="ann", now=NOW)
    (paid, *_) = items(ROWS, audit.rows(lake))
    assert (paid.state.value, paid.open) == ("issued", Decimal("36.00"))
