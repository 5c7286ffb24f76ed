"""Contracts with one error, in the form of tests.billing.broken_catalogs."""

from tests.billing.broken_catalogs import Broken

_REFERENCE = "    reference: PO 1\n"


def _term(name: str, text: str, field: str, says: str) -> Broken:
    """A term in the place of acme's reference, on line 5."""
    return Broken(name, "partners", _REFERENCE, f"    {text}\n", 5, f"partners.acme.{field}", says)


BROKEN_TERMS = [
    _term(
        "a minimum in another currency than the plan",
        "minimums: [{amount: 5, currency: USD, valid_from: 2026-01-01}]",
        "minimums.0.currency",
        "is USD, but plan 'plan-a' is priced in EUR; write the amounts in EUR",
    ),
    _term(
        "a commitment in another currency than the plan",
        "commitments: [{amount: 5, currency: JPY, term: year, valid_from: 2026-01-01}]",
        "commitments.0.currency",
        "is JPY, but plan 'plan-a' is priced in EUR",
    ),
    _term(
        "a discount from the middle of a month",
        "discounts: [{percent: 5, valid_from: 2026-01-15}]",
        "discounts.0",
        "valid_from 2026-01-15 is not the first day of a month",
    ),
    _term(
        "a discount of more than everything",
        "discounts: [{percent: 101, valid_from: 2026-01-01}]",
        "discounts.0.percent",
        "101 is too large; the maximum is 100",
    ),
    _term(
        "a term of two weeks",
        "commitments: [{amount: 5, currency: EUR, term: fortnight, valid_from: 2026-01-01}]",
        "commitments.0.term",
        "'fortnight' is not one of 'month', 'quarter' or 'year'",
    ),
    _term(
        "own prices of an unknown meter",
        "prices: [{currency: EUR, valid_from: 2026-01-01, rates: [{meter: calls, price: {model: per_unit, unit_price: 1}}]}]",
        "prices.0.rates.0.meter",
        "'calls'; known ids: egress, requests",
    ),
    _term(
        "an own fee without a name",
        "prices: [{currency: EUR, valid_from: 2026-01-01, rates: [{price: {model: flat, amount: 1}}]}]",
        "prices.0.rates",
        "an own fee needs a `description`",
    ),
    _term(
        "a credit that never pays",
        "credits: [{id: a, amount: 5, currency: USD, valid_from: 2026-01-01}]",
        "credits.0.currency",
        "so it would never pay; write the amount in EUR",
    ),
    _term(
        "an order with an amount of no currency",
        "purchase_orders: [{number: PO 1, amount: 5, valid_from: 2026-01-01}]",
        "purchase_orders.0",
        "`amount` and `currency` belong together",
    ),
    _term("a country that does not exist", "country: UK", "country", "'UK' is not a country"),
]
