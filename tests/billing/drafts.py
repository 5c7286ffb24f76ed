"""Invoice documents for the tests of renderings: rated by the product, from usage written here."""

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from billing import rating
from billing.closing import Close
from billing.document import invoice
from billing.quota_statement import Row
from schemas.catalog import Catalog
from tests.billing.catalogs import document


def made(parts: dict[str, Any], usage: dict[str, int], label: str = "2026-10") -> dict[str, Any]:
    """The first partner's invoice when each metered span counted what `usage` says; the evidence is written here, too."""
    catalog = Catalog.model_validate(parts)
    asked, problems = rating.ask(catalog, catalog.partners[0], label)
    draft, found = rating.draft(catalog, asked, [Decimal(usage.get(span.meter, 0)) for span in asked.spans()])
    assert problems + found == []
    plan = catalog.plan(catalog.partners[0].plans[0].plan)
    draft = draft._replace(
        quotas=tuple(
            Row(q.meter, q.period, plan.id, used, q.limit, used >= q.limit, *draft.period)
            for q in plan.quotas
            for used in [Decimal(usage.get(q.meter, 0)) / catalog.meter(q.meter).divide_by]
            if q.period == "MONTH"
        )
    )
    content = {
        "catalog": json.loads(catalog.canonical_json()),
        "catalog_sha256": "ca" * 32,
        "code_version": "0.0.0",
        "usage": {draft.partner.id: "5a" * 32},
        "versions": {"events": 7, "rollups": 5},
    }
    close = Close("c105e" * 4 + "0000", label, "north", json.dumps(content), datetime(2026, 11, 5, tzinfo=UTC))
    return invoice(close, draft, number="NM-2026-000042", issued_on=date(2026, 11, 5))


def small() -> dict[str, Any]:
    """Every price model in one invoice, prices that change within the month, a quota that is reached."""
    parts = document()
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
        {"valid_from": "2026-10-11", "rates": rates},
    ]
    parts["meters"][2]["billable"] = "false"
    return made(parts, {"requests": 1234567, "egress": 2_500_000_001, "exports": 12_345})


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
    prices = [{**rates[1], "description": f"Line {n}: {word[:n]}"} for n in range(2, lines)]
    parts["rate_cards"][0]["versions"][0]["rates"] = [rates[0], *prices, rates[2]]
    return made(parts, {"requests": 10**15 - 1, "egress": 10**18 + 1})


def in_currency(currency: str) -> dict[str, Any]:
    """The plain invoice in another currency."""
    parts = document()
    parts["rate_cards"][0]["currency"] = currency
    return made(parts, {"requests": 12345, "egress": 2_500_000_000})
