"""Credits and voids: what is left of an invoice, gapless credit notes, and the month that a void opens again.

The amounts are worked out by hand. October of acme is NM-2026-000001: a fee of 31.00, 12 requests for 5.25 (ten at 0.5,
two at 0.125), and 1.2 GB less 0.5 free at 0.12, which is 0.08: 36.33 EUR.
"""

import contextlib
import json
import shutil
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from billing.invoicing import closing, issuing
from billing.invoicing.closing import Refused
from billing.invoicing.corrections import crediting, records
from billing.invoicing.corrections.crediting import CreditNote, CreditRequest
from billing.receivables import audit
from lake.errors import Fenced
from lake.lake import Lake
from lake.storage.local import LocalStore
from schemas.catalog.records import Catalog
from tests.billing.catalogs import book, document
from tests.billing.lakes import NOW, land, requests
from tests.billing.pdf_reader import words
from tests.lake.faulty import FaultyStore, Killed

pytestmark = pytest.mark.integration

D = Decimal
ACME = "NM-2026-000001"


def credit(root: Path, number: str = ACME, *, reason: str = "outage", **asked: Any) -> CreditNote:
    wanted = {name: value if name == "line" else D(value) for name, value in asked.items()}
    return crediting.credit(Lake(root), number, CreditRequest(**wanted), reason=reason, by="ana", now=NOW)


def void(root: Path, number: str = ACME, *, reason: str = "wrong company") -> CreditNote:
    return crediting.void(Lake(root), number, reason=reason, by="ana", now=NOW)


def bill(root: Path, catalog: Catalog | None = None, label: str = "2026-10") -> dict[str, dict[str, Any]]:
    """The month closed and issued: partner → the document."""
    now = NOW if label == "2026-10" else NOW + timedelta(days=30)
    made = closing.close(Lake(root), catalog or book(), label, "north", prove=lambda *_: [], now=now)
    return {i.partner_id: dict(i.document) for i in issuing.issue(Lake(root), made, now=now).invoices}


def amounts(note: CreditNote) -> list[str]:
    return [line["amount"] for line in note.document["lines"]]


def problems(root: Path) -> list[str]:
    return [problem for checked in issuing.verify(Lake(root)) for problem in checked.problems]


def totals(root: Path) -> dict[str, str]:
    """The issued documents: number → total."""
    return {i.number: i.document["total"] for i in issuing.listed(Lake(root))}


def refusal(action: Any, *args: Any, **options: Any) -> str:
    with pytest.raises(Refused) as refused:
        action(*args, **options)
    (problem,) = refused.value.problems
    return str(problem)


def test_a_credit_is_a_document_of_its_own_that_names_the_invoice(issued: Path) -> None:
    """Its amounts are negative, its number is of another series, and the invoice stays as it was."""
    before = (issued / "documents" / f"{ACME}.json").read_bytes()
    note = credit(issued, amount="6.33")
    assert (note.number, note.is_new, note.document["total"]) == ("NM-CN-2026-000001", True, "-6.33")
    assert note.document["kind"] == "credit_note"
    assert note.document["refers_to"]["number"] == ACME
    assert note.document["reason"] == "outage"
    assert json.loads((issued / "documents" / "NM-CN-2026-000001.json").read_text()) == note.document
    assert (issued / "documents" / f"{ACME}.json").read_bytes() == before
    pdf = (issued / "documents" / "NM-CN-2026-000001.pdf").read_bytes()
    text = " ".join(word.text for word in words(pdf))
    assert "Credit note" in text
    assert f"Corrects invoice {ACME}" in text
    assert "\N{MINUS SIGN}6.33" in text
    assert "Payable" not in text
    assert problems(issued) == []
    assert totals(issued) == {ACME: "36.33", "NM-2026-000002": "32.11", "NM-CN-2026-000001": "-6.33"}


def test_the_same_command_again_credits_nothing_more(issued: Path) -> None:
    """Whoever is not sure whether a command came through repeats it. Another reason is another credit."""
    first = credit(issued, amount="1", line=1)
    again = credit(issued, amount="1.00", line=1)
    assert (again.number, again.is_new, again.document) == (first.number, False, first.document)
    assert credit(issued, amount="1", line=1, reason="another outage").number == "NM-CN-2026-000002"


def test_no_more_is_credited_than_is_left(issued: Path) -> None:
    """Of a line, and of the invoice: to the cent, whatever was credited before."""
    assert refusal(credit, issued, amount="36.34") == (
        f"{ACME}: 36.34 EUR is more than is left of the invoice: 36.33 EUR"
    )
    credit(issued, amount="5.20", line=2)
    assert refusal(credit, issued, amount="0.06", line=2) == (
        f"{ACME}: 0.06 EUR is more than is left of line 2: 0.05 EUR"
    )
    credit(issued, amount="31.10")
    assert refusal(credit, issued, amount="0.05", line=2) == (
        f"{ACME}: 0.05 EUR is more than is left of the invoice: 0.03 EUR"
    )
    credit(issued, amount="0.03", line=2)
    assert sum(map(D, totals(issued).values())) == D("32.11"), "all of acme's invoice, and nothing of zeta's"
    assert problems(issued) == []


@pytest.mark.parametrize(
    ("asked", "problem"),
    [
        ({"amount": "0"}, "amount 0 is not above 0 with at most 2 decimals, which EUR has"),
        ({"amount": "-1"}, "amount -1 is not above 0 with at most 2 decimals, which EUR has"),
        ({"amount": "0.005"}, "amount 0.005 is not above 0 with at most 2 decimals, which EUR has"),
        ({"amount": "1", "line": 4}, f"{ACME} has no line 4; its lines are 1 to 3"),
        ({"amount": "1", "line": 0}, f"{ACME} has no line 0; its lines are 1 to 3"),
        ({"quantity": "1"}, f"{ACME}: a quantity is credited on one line; name it with --line"),
        ({"quantity": "1", "line": 1}, f"{ACME}: line 1 has no quantity; credit an amount of it"),
        (
            {"quantity": "12.5", "line": 2},
            f"{ACME}: quantity 12.5 is not above 0, or more than is left of line 2: 12 requests",
        ),
    ],
)
def test_a_wrong_credit_is_one_line_and_changes_nothing(issued: Path, asked: dict[str, Any], problem: str) -> None:
    """The message says what is possible."""
    before = totals(issued)
    assert refusal(credit, issued, **asked) == problem
    assert totals(issued) == before
    assert records.recorded(Lake(issued)) == {}


def test_a_quantity_is_credited_by_the_prices_of_the_invoice(issued: Path) -> None:
    """The last units first: 3 of 12 requests are two at 0.125 and one at 0.5, which is 0.75; the other nine 4.50."""
    assert amounts(credit(issued, line=2, quantity="3")) == ["-0.75"]
    assert refusal(credit, issued, line=2, quantity="10") == (
        f"{ACME}: quantity 10 is not above 0, or more than is left of line 2: 9 requests"
    )
    assert amounts(credit(issued, line=2, quantity="9")) == ["-4.50"]
    assert problems(issued) == []


def test_a_void_credits_what_is_left_and_only_once(issued: Path) -> None:
    """36.33 less 1.00 of line 2 and 2.00 of the whole: the credits are not given twice."""
    credit(issued, amount="1", line=2)
    credit(issued, amount="2")
    note = void(issued)
    assert amounts(note) == ["-31.00", "-4.25", "-0.08", "2.00"]
    assert (note.number, note.document["total"]) == ("NM-CN-2026-000003", "-33.33")
    assert void(issued)._replace(is_new=True) == note, "repeated"
    gone = f"{ACME} was voided by credit note {note.number}; nothing of it is left"
    assert refusal(void, issued, reason="another") == gone
    assert refusal(credit, issued, amount="1", reason="another") == gone
    assert refusal(void, issued, note.number) == (
        f"{note.number} is a credit note, which cannot be corrected; correct {ACME} instead"
    )
    assert problems(issued) == []


def test_the_audit_trail_shows_who_credited_and_voided_what_and_why(issued: Path) -> None:
    """Once each, also if a command is repeated."""
    for _ in range(2):
        credit(issued, amount="1")
    for _ in range(2):
        void(issued)
    found = [row for row in audit.rows(Lake(issued)) if row.what in {"credit", "void"}]
    facts = [(row.what, row.subject, row.recorded_by, row.content["refers_to"], row.content["reason"]) for row in found]
    assert facts == [
        ("credit", "NM-CN-2026-000001", "ana", ACME, "outage"),
        ("void", "NM-CN-2026-000002", "ana", ACME, "wrong company"),
    ]
    assert audit.problems(audit.rows(Lake(issued))) == []


def test_a_number_that_was_never_issued_is_named_with_those_that_were(issued: Path) -> None:
    """A typing error is found at once."""
    assert refusal(void, issued, "NM-2026-000009") == (
        f"no invoice 'NM-2026-000009' in this lake; issued documents: {ACME}, NM-2026-000002"
    )


def test_a_void_opens_exactly_its_period(issued: Path) -> None:
    """Another time zone in the catalog must not bill hours twice, nor leave any out: the old bounds hold."""
    land(issued, requests(5, "2026-10-20T00:00Z"), "late")
    void(issued)
    parts = document()
    parts["partners"][0]["time_zone"] = "Asia/Tokyo"
    again = bill(issued, book(**parts))
    assert again["acme"]["number"] == "NM-2026-000003"
    assert again["acme"]["total"] == "36.96", "17 requests are 5.875, rounded to 5.88; bytes are 0.5 kB more"
    period = again["acme"]["period"]
    assert (period["start"], period["end"]) == ("2026-09-30T22:00:00+00:00", "2026-10-31T23:00:00+00:00")
    assert again["zeta"]["number"] == "NM-2026-000002", "zeta is billed as before"
    assert problems(issued) == []


def test_a_month_before_others_is_billed_again_after_a_void(issued: Path) -> None:
    """November is issued. October of acme is voided, and billed anew alone; December is not touched by it."""
    land(issued, requests(3, "2026-11-10T00:00Z"), "november")
    bill(issued, label="2026-11")
    void(issued)
    again = bill(issued)
    assert again["acme"]["number"] == "NM-2026-000005"
    assert again["acme"]["total"] == "36.33"
    assert closing.reopened_periods(Lake(issued)) == []
    assert problems(issued) == []


@pytest.mark.slow
def test_a_repeated_issue_does_not_issue_what_was_voided(tmp_path: Path) -> None:
    """The close is still the newest of its month, and all its invoices are void. Another close bills the month."""
    root = land(tmp_path / "lake", requests(12, "2026-10-10T00:00Z", response_bytes=0))
    acme = book(partners=document()["partners"][:1])
    made = closing.close(Lake(root), acme, "2026-10", "north", prove=lambda *_: [], now=NOW)
    assert issuing.issue(Lake(root), made, now=NOW).new == 1
    void(root)
    assert issuing.issue(Lake(root), made, now=NOW)[:2] == ([], 0)
    assert bill(root, acme)["acme"]["number"] == "NM-2026-000002"


@pytest.mark.slow
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_kill_at_any_step_leaves_no_half_void(issued: Path, when: str, tmp_path: Path) -> None:
    """Either nothing happened, or the void stands; a repeated command gives one credit note, number 1."""
    nth = 0
    while True:
        nth += 1
        root = shutil.copytree(issued, tmp_path / f"{when}{nth}")
        store = FaultyStore(LocalStore(root), nth, when=when)
        with contextlib.suppress(Killed):
            crediting.void(Lake(store), ACME, reason="wrong company", by="ana", now=NOW)
        struck = store.struck
        notes = [number for number in totals(root) if "CN" in number]
        assert notes in ([], ["NM-CN-2026-000001"])
        assert len(closing.reopened_periods(Lake(root))) == len(notes)
        assert void(root).number == "NM-CN-2026-000001"
        assert problems(root) == []
        if not struck:
            return


def test_of_two_at_once_one_wins_and_the_other_is_told(issued: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the check and the commit of a credit, another process voids the invoice: the credit is fenced."""
    numbered = crediting.notes.numbered
    others = iter([lambda: void(issued)])

    def meanwhile(*args: Any, **options: Any) -> Any:
        for other in others:
            other()
        return numbered(*args, **options)

    monkeypatch.setattr(crediting.notes, "numbered", meanwhile)
    with pytest.raises(Fenced):
        credit(issued, amount="36.33")
    assert totals(issued)["NM-CN-2026-000001"] == "-36.33"
    assert "was voided by credit note NM-CN-2026-000001" in refusal(credit, issued, amount="36.33")
    assert problems(issued) == []


def discounted(**terms: Any) -> Catalog:
    """Acme with terms of a contract from this year on."""
    parts: dict[str, Any] = document()
    parts["partners"][0] |= {name: [term | {"valid_from": "2026-01-01"}] for name, term in terms.items()}
    return book(**parts)


EUR = {"currency": "EUR"}


@pytest.mark.parametrize(
    ("terms", "credited", "then"),
    [
        ({"discounts": {"percent": "10"}}, ["-0.75", "0.07"], "32.02"),  # 10 % of 36.33 are 3.63, of 35.58 are 3.56
        ({"discounts": {"percent": "50", "meter": "requests"}}, ["-0.75", "0.38"], "33.33"),  # 2.63, and 2.25 of 4.50
        ({"discounts": {"amount": "5", **EUR}}, ["-0.75"], "30.58"),
        ({"maximums": {"amount": "36", **EUR}}, ["-0.75", "0.33"], "35.58"),  # nothing is above it any more
        ({"minimums": {"amount": "36", **EUR}}, ["-0.75", "0.42"], "36.00"),  # 35.58, so 0.42 lack now
    ],
)
def test_a_quantity_is_credited_with_what_the_month_takes_off_it(
    root: Path, terms: dict[str, Any], credited: list[str], then: str
) -> None:
    """Three requests less cost 0.75 less: what the partner paid for them is given back, and no more."""
    paid = D(bill(root, discounted(**terms))["acme"]["total"])
    note = credit(root, line=2, quantity="3")
    assert amounts(note) == credited
    assert paid + D(note.document["total"]) == D(then)
    assert problems(root) == []


def test_a_quantity_is_credited_beside_the_fees_that_the_invoice_had(root: Path) -> None:
    """The bill of November has the fee of December alone: 31.00, 5.25 and 10.00, of which 0.25 is above the maximum."""
    terms = {"fees": {"id": "line", "amount": "10", "due": "advance", **EUR}, "maximums": {"amount": "46", **EUR}}
    bill(root, discounted(**terms))
    land(root, requests(12, "2026-11-03T00:00Z", response_bytes=0), "november")
    number = bill(root, discounted(**terms), "2026-11")["acme"]["number"]
    assert amounts(credit(root, number, line=2, quantity="3")) == ["-0.75", "0.25"]


def test_of_two_discounts_of_one_name_each_gives_its_own_back(root: Path) -> None:
    """36.33 less 10 % twice is 29.43; 35.58 less 10 % twice, 3.56 and 3.20, is 28.82."""
    catalog: dict[str, Any] = document()
    catalog["partners"][0]["discounts"] = [{"percent": "10", "valid_from": "2026-01-01"}] * 2
    paid = D(bill(root, book(**catalog))["acme"]["total"])
    note = credit(root, line=2, quantity="3")
    assert amounts(note) == ["-0.75", "0.07", "0.07"]
    assert paid + D(note.document["total"]) == D("28.82")


def test_of_two_rates_of_a_meter_each_is_credited(root: Path) -> None:
    """Twelve requests cost 5.25 and 1.20, and nine cost 4.50 and 0.90. Both rates charge for the same requests."""
    catalog: dict[str, Any] = document()
    (version,) = catalog["rate_cards"][0]["versions"]
    version["rates"].append({"meter": "requests", "price": {"model": "per_unit", "unit_price": "0.1"}})
    bill(root, book(**catalog))
    assert amounts(credit(root, line=2, quantity="3")) == ["-0.75", "-0.30"]
    assert refusal(credit, root, line=4, quantity="10") == (
        f"{ACME}: quantity 10 is not above 0, or more than is left of line 4: 9 requests"
    )
    assert amounts(credit(root, line=4, quantity="9")) == ["-4.50", "-0.90"]
    assert problems(root) == []


def test_a_month_at_its_minimum_gives_nothing_back_for_a_quantity(root: Path) -> None:
    bill(root, discounted(minimums={"amount": "40", **EUR}))
    assert refusal(credit, root, line=2, quantity="3") == (
        f"{ACME}: without 3 it costs the same, for example because of its minimum; credit an amount"
    )
    assert amounts(credit(root, line=2, amount="0.75")) == ["-0.75"]
