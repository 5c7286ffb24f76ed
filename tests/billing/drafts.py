"""Invoice documents for the tests of renderings: rated by the product, from usage written here."""

import json
from datetime import date
from decimal import Decimal
from typing import Any

from billing.invoicing.document import LAYOUT, invoice
from billing.periods import billing_period
from billing.rating import drafts, outlines
from billing.usage.quota_statement import held_quotas
from schemas.catalog.records import Catalog
from tests.billing.catalogs import document


def made(parts: dict[str, Any], usage: dict[str, int], label: str = "2026-10") -> dict[str, Any]:
    """The first partner's invoice when each metered span counted what `usage` says; the evidence is written here,
    too.
    """
    catalog = Catalog.model_validate(parts)
    period = billing_period(catalog, catalog.partners[0], label, None)
    assert period is not None
    period = period._replace(quotas=held_quotas(catalog, catalog.partners[0], period))
    outline = outlines.outline(catalog, catalog.partners[0], period)
    draft, problems = drafts.draft(catalog, outline, [Decimal(usage.get(span.meter, 0)) for span in outline.spans()])
    assert problems == []
    assert draft is not None
    content = {
        "rules": 2,
        "layout": LAYOUT,
        "period": label,
        "legal_entity": "north",
        "catalog": json.loads(catalog.canonical_json()),
        "catalog_sha256": "ca" * 32,
        "code_version": "0.0.0",
        "usage": {draft.partner.id: "5a" * 32},
        "versions": {"events": 7, "rollups": 5},
    }
    number, day = "NM-2026-000042", date(2026, 11, 5)
    return invoice("c105e" * 4 + "0000", content, catalog, draft, number=number, issued_on=day)


def small(**partner: Any) -> dict[str, Any]:
    """Every price model in one invoice, prices of which some change within the month, a quota that is reached.

    `partner` are more fields of the partner.
    """
    parts = document()
    parts["partners"][0] |= partner
    rates = [
        *parts["rate_cards"][0]["versions"][0]["rates"],
        {"meter": "exports", "price": {"model": "package", "package_size": "100", "package_price": "2.50"}},
        {
            "meter": "requests",
            "description": "Support",
            "price": {
                "model": "volume",
                "tiers": [
                    {"up_to": "10", "unit_price": "0.2"},
                    {"up_to": None, "unit_price": "0.1", "flat_fee": "5"},
                ],
            },
        },
        {
            "meter": "exports",
            "description": "Export rebate",
            "price": {
                "model": "graduated",
                "tiers": [{"up_to": "500", "unit_price": "0"}, {"up_to": None, "package_size": "1000", "package_price": "-0.125"}],
            },
        },
    ]  # fmt: skip
    parts["meters"].append({"id": "exports", "aggregate": "count", "unit": "exports"})
    parts["rate_cards"][0]["versions"] = [
        {"valid_from": "2026-01-01", "rates": rates[:3]},
        {
            "valid_from": "2026-10-11",
            "rates": [dearer(rates[0], amount="40.00"), rates[1], dearer(rates[2], unit_price="0.14"), *rates[3:]],
        },
    ]
    parts["meters"][2]["billable"] = "false"
    return made(parts, {"requests": 1234567, "egress": 2_500_000_001, "exports": 12_345})


def dearer(rate: dict[str, Any], **price: str) -> dict[str, Any]:
    """The rate at another price."""
    return {**rate, "price": {**rate["price"], **price}}


def hostile(text: str) -> dict[str, Any]:
    """A document with `text` wherever a person chose what is written."""
    parts = document()
    parts["partners"][0] |= {"name": text, "address": [text], "reference": text, "vat_id": text[:64]}
    parts["legal_entities"][0] |= {"name": text, "address": [text], "vat_id": text[:64], "email": text[:64], "iban": text[:64], "tax_note": text}  # fmt: skip
    parts["meters"][0] |= {"description": text, "unit": text}
    parts["rate_cards"][0]["versions"][0]["rates"][0]["description"] = text
    return made(parts, {"requests": 12, "egress": 2_500_000_000})


def long(lines: int) -> dict[str, Any]:
    """So many lines, the longest names a catalog allows, words that cannot be broken, amounts of fifteen digits."""
    parts = document()
    word = "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft" * 3
    parts["partners"][0] |= {
        "name": word[:200],
        "address": [word[:200], *["A line of the address that is as long as lines of addresses are seldom, and longer"] * 9],
        "reference": "PO-" + "1234567890" * 19,
    }  # fmt: skip
    parts["meters"][0] |= {
        "description": "Requests to the wholesale interface, " * 5,
        "unit": "requests-of-a-long-name",
    }
    rates = parts["rate_cards"][0]["versions"][0]["rates"]
    prices = [{**rates[1], "description": f"Line {n}: {word[: n % 180]}"} for n in range(2, lines)]
    parts["rate_cards"][0]["versions"][0]["rates"] = [rates[0], *prices, rates[2]]
    return made(parts, {"requests": 10**15 - 1, "egress": 10**18 + 1})


def in_currency(currency: str) -> dict[str, Any]:
    """The plain invoice in another currency."""
    parts = document()
    parts["rate_cards"][0]["currency"] = currency
    return made(parts, {"requests": 12345, "egress": 2_500_000_000})
