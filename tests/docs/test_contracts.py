"""The bills of docs/contracts.md, made by the functions that make invoices."""

import json
import re
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
import yaml

from billing.invoicing.document import invoice
from billing.periods import billing_period
from billing.rating import bills
from billing.rating.issued import IssuedDocument
from billing.rating.terms.credits import in_order, ledger, states
from billing.usage.warehouse import Span
from schemas.catalog import checks
from schemas.catalog.records import Catalog, OwnPrices
from schemas.catalog.terms import Bound, Commitment, Credit, Discount, Fee, PurchaseOrder
from tests.billing.catalogs import document
from tests.docs.pages import ROOT, block, blocks, rows, section
from tollbook.cli.invoices import prepaid

PAGE = "docs/contracts.md"
_USED = re.compile(r"([0-9]+) ([a-z]+)")


def examples() -> list[str]:
    return [b.name.removesuffix(" bills") for b in blocks(ROOT / PAGE) if b.name.endswith(" bills")]


def read(name: str) -> Any:
    return yaml.load(block(PAGE, name), Loader=yaml.BaseLoader)


def catalog(terms: dict[str, Any]) -> Catalog:
    """The rate card of the page, and one partner with these terms."""
    partner = {
        "id": "acme",
        "name": "Acme",
        "legal_entity": "north",
        "time_zone": "Europe/Berlin",
        "plans": [{"plan": "basic", "valid_from": "2026-01-01"}],
    }
    parts = {"legal_entities": document()["legal_entities"], **read("card"), "partners": [partner | terms]}
    book = Catalog.model_validate(parts)
    assert checks.problems(book) == []
    return book


class Used:
    """The usage of a meter in each of its spans."""

    def __init__(self, counts: dict[str, int]) -> None:
        self._counts = counts

    def of_spans(self, spans: list[Span]) -> list[Decimal]:
        return [Decimal(self._counts.get(span.meter, 0)) for span in spans]


def months_of(name: str) -> list[tuple[str, str]]:
    """The months of an example with what was used."""
    return [(m[1], m[2]) for m in re.finditer(r"^(20[0-9-]+): (.*)$", block(PAGE, f"{name} bills"), re.MULTILINE)]


def shown(book: Catalog, months: list[tuple[str, str]]) -> tuple[str, list[IssuedDocument]]:
    """The bills of months in order, each resting on the ones before, as text and as documents."""
    text = ""
    before: list[IssuedDocument] = []
    for number, (label, used) in enumerate(months, 1):
        period = billing_period(book, book.partners[0], label, None)
        assert period is not None
        counts = {meter: int(count) for count, meter in _USED.findall(used)}
        (draft,), problems = bills.drafts_of(book, [period], Used(counts), {"acme": before})  # type: ignore[arg-type]
        if problems:
            return "".join(f"{problem}\n" for problem in problems["acme"]), before
        content = {
            "rules": 2, "period": label, "legal_entity": "north", "catalog_sha256": "", "code_version": "0",
            "usage": {"acme": ""}, "versions": {"events": 1, "rollups": 1},
        }  # fmt: skip
        name = f"NM-2026-{number:06d}"
        made = invoice("c", content, book, draft, number=name, issued_on=date(2026, 12, 31))
        text += f"{label}: {used}\n"
        for line in made["lines"]:
            text += (
                f"  {line['description']} {line['first_day']} - {line['last_day']}".ljust(45) + f"{line['amount']:>9}\n"
            )
        for extra in made.get("extras", ()):
            text += f"  {extra['description']}".ljust(45) + f"{extra['amount']:>9}\n"
        text += "  total".ljust(45) + f"{made['total']:>9}\n"
        before.append(IssuedDocument(name, "invoice", "acme", label, "EUR", draft.total, "", json.dumps(made)))
    return text, before


@pytest.mark.parametrize("name", examples())
def test_the_bills_are_those_that_are_shown(name: str) -> None:
    """Finance checks its reading of a contract against these."""
    text, _ = shown(catalog(read(name)), months_of(name))
    assert text == block(PAGE, f"{name} bills")


def test_a_used_up_order_is_named() -> None:
    """Whoever closes the month sends this line to the partner."""
    text, (october,) = shown(catalog(read("order")), [("2026-10", "1000 requests"), ("2026-11", "1000 requests")])
    assert october.content["buyer"]["purchase_order"] == "PO 7"
    assert text == block(PAGE, "order used up")


def test_the_statement_of_credits_is_the_one_that_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """A partner compares it with its own books."""
    book = catalog(read("credits"))
    partner = book.partners[0]
    _, documents = shown(book, months_of("credits"))
    booked = ledger(partner.credits, documents, date(2027, 1, 5))
    prepaid.screen(partner, states(in_order(partner.credits), booked), booked)
    printed = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert printed == block(PAGE, "credits statement").splitlines()


@pytest.mark.parametrize(
    ("title", "model"),
    [
        ("Own prices", OwnPrices),
        ("Fees", Fee),
        ("Discounts", Discount),
        ("Minimum and maximum of a month", Bound),
        ("Commitments", Commitment),
        ("Prepaid credits", Credit),
        ("Purchase orders", PurchaseOrder),
    ],
)
def test_every_field_of_a_term_is_described(title: str, model: Any) -> None:
    """With what is required in bold."""
    described = {
        row[0].strip("`*"): row[0].startswith("**")
        for row in rows(section(PAGE, title))
        if "`" in row[0] and not row[0].startswith("field of")
    }
    assert described == {field: info.is_required() for field, info in model.model_fields.items()}
