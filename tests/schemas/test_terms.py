"""Terms of a contract: the constructor refuses what no contract can mean, and says what to write instead."""

from typing import Any

import pytest
from pydantic import ValidationError

from schemas.catalog.terms import Bound, Discount, PurchaseOrder
from tests.billing.catalogs import book, document

ORDER = {"number": "PO 1", "valid_from": "2026-01-01"}


def partner(**fields: Any) -> Any:
    """Acme with other fields."""
    return book(partners=[document()["partners"][0] | fields])


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"amount": "10"}, "`amount` and `currency` belong together"),
        ({"currency": "EUR"}, "`amount` and `currency` belong together"),
        ({"amount": "0", "currency": "EUR"}, "greater than 0"),
        ({"valid_to": "2026-01-01"}, "valid_to 2026-01-01 is not after valid_from 2026-01-01"),
    ],
)
def test_an_order_that_means_nothing_is_refused(fields: dict[str, str], says: str) -> None:
    """Each message says what to write instead."""
    with pytest.raises(ValidationError, match=says):
        PurchaseOrder.model_validate(ORDER | fields)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({}, "a discount is a `percent` or an `amount`; give one of them"),
        ({"percent": "5", "amount": "1", "currency": "EUR"}, "give one of them"),
        ({"percent": "5", "currency": "EUR"}, "`amount` and `currency` belong together"),
        ({"percent": "100.01"}, "less than or equal to 100"),
        ({"percent": "0"}, "greater than 0"),
        (
            {"percent": "5", "valid_from": "2026-01-15"},
            "valid_from 2026-01-15 is not the first day of a month.*write 2026-01-01",
        ),
        ({"percent": "5", "valid_to": "2026-02-15"}, "valid_to 2026-02-15 is not the first day of a month"),
    ],
)
def test_a_discount_that_means_nothing_is_refused(fields: dict[str, str], says: str) -> None:
    """Each message says what to write instead."""
    with pytest.raises(ValidationError, match=says):
        Discount.model_validate({"valid_from": "2026-01-01"} | fields)


def test_a_bound_needs_a_currency() -> None:
    """A catalog may have plans in several."""
    with pytest.raises(ValidationError, match="currency"):
        Bound.model_validate({"valid_from": "2026-01-01", "amount": "1"})


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"country": "UK"}, "'UK' is not a country; write its two capital letters"),
        ({"country": "de"}, "'de' is not a country"),
        ({"payment_terms_days": "366"}, "less than or equal to 365"),
    ],
)
def test_a_partner_is_invoiced_in_ways_that_exist(fields: dict[str, str], says: str) -> None:
    """A country that does not exist would be on every invoice."""
    with pytest.raises(ValidationError, match=says):
        partner(**fields)


def test_what_a_catalog_does_not_say_does_not_change_its_text() -> None:
    """The hashes of old closes stay: a field that was added later is left out if it has its default."""
    text = book().canonical_json()
    for field in ("country", "contact", 'payment_terms_days":null', "purchase_orders"):
        assert field not in text
