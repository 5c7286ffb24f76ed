"""States of documents and what is open of them: a function of rows and a day."""

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from billing.receivables import audit
from billing.receivables.audit import AuditEntry, AuditRow
from billing.receivables.items import DocumentState, Item, aged, items

D = Decimal


def row(number: str, total: str, issued_on: str = "2026-11-05", **changes: Any) -> dict[str, Any]:
    document = json.dumps({"issued_on": issued_on, "due_on": "2026-12-05", "seller": {"id": "north"}})
    return {
        "number": number, "kind": "invoice", "partner_id": "acme", "legal_entity": "north", "period": "2026-10", "currency": "EUR",
        "total": D(total), "document": document, "refers_to": None, "voids": False, **changes,
    }  # fmt: skip


def credit(number: str, total: str, refers_to: str, **changes: Any) -> dict[str, Any]:
    return row(number, total, kind="credit_note", refers_to=refers_to, **changes)


def trail(*entries: AuditEntry) -> list[AuditRow]:
    return audit.appended([], entries, by="ann", now=datetime(2026, 11, 6, tzinfo=UTC))


def payment(number: str, amount: str, day: str = "2026-11-20", name: str = "t1") -> AuditEntry:
    return AuditEntry("payment", name, {"number": number, "amount": amount, "currency": "EUR", "date": day})


def states(found: list[Item]) -> dict[str, tuple[str, Decimal]]:
    return {item.number: (str(item.state), item.open) for item in found}


def test_an_invoice_is_issued_then_sent_then_paid() -> None:
    """A part paid is still sent; what is paid is paid even if nobody recorded that it was sent."""
    rows = [row("N-1", "36.33")]
    sent = AuditEntry("sent", "N-1", {})
    assert states(items(rows, [])) == {"N-1": ("issued", D("36.33"))}
    assert states(items(rows, trail(sent))) == {"N-1": ("sent", D("36.33"))}
    assert states(items(rows, trail(sent, payment("N-1", "36.32")))) == {"N-1": ("sent", D("0.01"))}
    both = trail(payment("N-1", "36.32"), payment("N-1", "0.01", name="t2"))
    assert states(items(rows, both)) == {"N-1": ("paid", D(0))}
    assert states(items(rows, trail(payment("N-1", "40")))) == {"N-1": ("paid", D("-3.67"))}


def test_a_credit_note_reduces_the_document_that_it_names() -> None:
    """Nothing is open of the note itself; an invoice credited in full is paid, and a voided one is void."""
    rows = [
        row("N-1", "36.33"),
        credit("CN-1", "-6.33", "N-1"),
        row("N-2", "5"),
        credit("CN-2", "-5", "N-2", voids=True),
    ]
    assert states(items(rows, [])) == {
        "N-1": ("issued", D(30)), "CN-1": ("issued", D(0)), "N-2": ("void", D(0)), "CN-2": ("issued", D(0)),
    }  # fmt: skip
    rest = credit("CN-3", "-30", "N-1")
    assert states(items([*rows, rest], []))["N-1"] == ("paid", D(0))
    assert states(items(rows, trail(payment("N-2", "5"))))["N-2"] == ("void", D(-5))


def test_a_day_does_not_know_what_came_after_it() -> None:
    """The list of open items of an earlier day can be made again."""
    rows = [row("N-1", "10"), row("N-2", "7", "2026-12-05"), credit("CN-1", "-4", "N-1")]
    rows[2]["document"] = rows[1]["document"]
    paid = trail(payment("N-1", "5", "2026-11-20"))
    assert states(items(rows, paid, date(2026, 11, 19))) == {"N-1": ("issued", D(10))}
    assert states(items(rows, paid, date(2026, 11, 20))) == {"N-1": ("issued", D(5))}
    assert states(items(rows, paid, date(2026, 12, 5))) == {
        "N-1": ("issued", D(1)), "N-2": ("issued", D(7)), "CN-1": ("issued", D(0)),
    }  # fmt: skip


def test_open_items_are_summed_by_age_at_both_edges() -> None:
    """30 days are 0-30, 31 are not; partners and currencies are apart, and what sums to nothing is left out."""
    days = {
        "A": "2026-12-31",
        "B": "2026-12-01",
        "C": "2026-11-30",
        "D": "2026-11-01",
        "E": "2026-10-31",
        "F": "2026-10-02",
        "G": "2026-10-01",
    }
    rows = [row(number, "1", day) for number, day in days.items()]
    rows += [row("H", "2", currency="USD"), row("I", "3", partner_id="zeta")]
    on = date(2026, 12, 31)
    found = aged(items(rows, trail(payment("I", "3")), on), on)
    assert [(each.partner_id, each.currency, list(each.by_age.values()), each.total) for each in found] == [
        ("acme", "EUR", [D(2), D(2), D(2), D(1)], D(7)),
        ("acme", "USD", [D(0), D(2), D(0), D(0)], D(2)),
    ]


def test_overdue_begins_the_day_after_the_due_date() -> None:
    """And what is paid is never overdue."""
    (item,) = items([row("N-1", "1")], [])
    assert not item.is_overdue(date(2026, 12, 5))
    assert item.is_overdue(date(2026, 12, 6))
    (paid,) = items([row("N-1", "1")], trail(payment("N-1", "1")))
    assert paid.state == DocumentState.PAID
    assert not paid.is_overdue(date(2027, 1, 1))
