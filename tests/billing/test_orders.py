"""Purchase orders: which one pays for a bill, and what is reported if none does."""

import json
from decimal import Decimal
from typing import Any

import pytest

from billing.periods import billing_period
from billing.rating.issued import IssuedDocument
from billing.rating.terms.orders import order_of
from schemas.catalog import checks
from tests.billing.test_terms import catalog

FIRST = {"number": "PO 1", "amount": "100.00", "currency": "EUR", "valid_from": "2026-01-01", "valid_to": "2026-11-01"}
SECOND = {"number": "PO 2", "valid_from": "2026-10-31"}


def named(order: str | None, total: str, kind: str = "invoice") -> IssuedDocument:
    """A document that names an order."""
    buyer = {} if order is None else {"purchase_order": order}
    return IssuedDocument("N-1", kind, "acme", "2026-09", "EUR", Decimal(total), "", json.dumps({"buyer": buyer}))


def chosen(orders: list[dict[str, str]], total: str, *before: IssuedDocument, label: str = "2026-10") -> Any:
    book = catalog(purchase_orders=orders)
    partner = book.partners[0]
    period = billing_period(book, partner, label, None)
    assert period is not None
    return order_of(partner.purchase_orders, period, "EUR", Decimal(total), before)


@pytest.mark.parametrize(
    ("orders", "total", "before", "number"),
    [
        pytest.param([], "5", [], None, id="no orders"),
        pytest.param([FIRST], "100.00", [], "PO 1", id="the whole amount"),
        pytest.param([FIRST, SECOND], "100.01", [], "PO 2", id="a cent more goes to the next order"),
        pytest.param([FIRST], "40", [named("PO 1", "60")], "PO 1", id="what is left"),
        pytest.param([FIRST], "100", [named("PO 2", "60"), named(None, "7")], "PO 1", id="of other orders"),
        pytest.param([FIRST], "100", [named("PO 1", "60"), named("PO 1", "-60", "credit_note")], "PO 1", id="given back"),
        pytest.param([SECOND, FIRST], "1", [], "PO 2", id="the first of the contract, from its first day"),
        pytest.param([FIRST], "-5", [named("PO 1", "100")], "PO 1", id="a negative bill uses nothing"),
        pytest.param([FIRST | {"valid_from": "2026-11-01", "valid_to": "2026-12-01"}], "5", [], None, id="not begun"),
    ],
)  # fmt: skip
def test_the_first_order_with_enough_left_pays(
    orders: list[dict[str, str]], total: str, before: list[IssuedDocument], number: str | None
) -> None:
    """An invoice without its order comes back unpaid."""
    assert chosen(orders, total, *before) == (number, [])


def test_orders_that_do_not_suffice_are_named_with_what_is_left() -> None:
    """All of them in one line, with the remedy."""
    both = [FIRST, FIRST | {"number": "PO 3", "amount": "50"}]
    _, (says,) = chosen(both, "100.01", named("PO 1", "120"))
    assert says == (
        "the bill of 2026-10 is 100.01 EUR, and purchase order PO 1 has 0.00 EUR left, PO 3 has 50.00 EUR left; add an order, or raise its "
        "`amount`"
    )


def test_an_order_that_ended_is_named() -> None:
    """The day on which the last one ended is the first without one."""
    number, (says,) = chosen([FIRST], "5", label="2026-11")
    assert number is None
    assert says == "no purchase order holds on 2026-11-30 (PO 1 before 2026-11-01); add one, or correct its `valid_to`"


@pytest.mark.parametrize(
    ("orders", "where", "says"),
    [
        ([SECOND, SECOND], ("purchase_orders", 1, "number"), "'PO 2' is listed twice; list each order once"),
        (
            [FIRST | {"currency": "USD"}],
            ("purchase_orders", 0, "currency"),
            "is USD, but plan 'plan-a' is priced in EUR",
        ),
    ],
)
def test_orders_that_contradict_the_catalog_are_refused(
    orders: list[dict[str, str]], where: tuple[str | int, ...], says: str
) -> None:
    """Each problem names the field and the remedy."""
    (problem,) = checks.problems(catalog(purchase_orders=orders))
    assert problem.where == ("partners", 0, *where)
    assert says in problem.message
