"""The document of a credit note: a pure function of the correction and of the documents that it credits."""

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any

from billing.invoicing.corrections.amounts import entry
from billing.invoicing.corrections.records import Correction, CreditedLine
from schemas.money import EXACT, money, plain
from schemas.texts.wording import Wording, wording


def credit_note(
    made: Correction, documents: Mapping[str, Mapping[str, Any]], *, number: str, issued_on: date
) -> dict[str, Any]:
    """The document of a correction. `documents` holds the credited documents by number.

    Amounts are negative: what the customer gets back. The total is the sum of the lines.
    """
    original = documents[made.number]
    currency = original["currency"]
    say = wording(original.get("language", "en"))
    lines = [
        _line(position, line, documents[line.number], currency, say, alone=line.number == made.number)
        for position, line in enumerate(made.lines, 1)
    ]
    total = Decimal(0)
    for line in made.lines:
        total = EXACT.subtract(total, line.amount)
    return {
        "kind": "credit_note",
        **({"language": original["language"]} if "language" in original else {}),
        "number": number,
        "issued_on": issued_on.isoformat(),
        "due_on": issued_on.isoformat(),
        "refers_to": {
            "number": made.number,
            "issued_on": original["issued_on"],
            "json_sha256": made.content["json_sha256"],
        },
        "reason": made.content["reason"],
        "voids": made.what != "credit",
        "seller": original["seller"],
        "buyer": original["buyer"],
        "period": original["period"],
        "currency": currency,
        "lines": lines,
        "total": money(total, currency),
        "tax_note": original["tax_note"],
        "payment_terms_days": 0,
        "quotas": [],
        "evidence": {**original["evidence"], "correction_id": made.correction_id},
    }


def _line(
    position: int, credited: CreditedLine, document: Mapping[str, Any], currency: str, say: Wording, *, alone: bool
) -> dict[str, Any]:
    """One credited line, in the layout of a line of an invoice."""
    source: Mapping[str, Any] = {} if credited.position is None else entry(document, credited.position)
    period = document["period"]
    amount = EXACT.minus(credited.amount)
    quantity = "0" if credited.quantity is None else plain(EXACT.minus(credited.quantity))
    counted = credited.quantity is not None
    return {
        "position": position,
        "description": _described(credited, source, say, alone=alone),
        "meter": source.get("meter") if counted else None,
        "unit": (source.get("converted_from") or source).get("unit") if counted else None,
        "plan": source.get("plan"),
        "rate_card": source.get("rate_card"),
        **{
            name: source.get(name, period[stored])
            for name, stored in (
                ("from", "start"), ("to", "end"), ("first_day", "first_day"), ("last_day", "last_day"),
            )
        },
        "usage": None,
        "quantity": quantity,
        "counted_before": "0",
        "free_units": "0",
        "included": "0",
        "billed_quantity": quantity,
        "model": source.get("model"),
        "parts": [],
        "exact_amount": plain(amount),
        "amount": money(amount, currency),
        "credits": {"number": credited.number, "position": credited.position},
    }  # fmt: skip


def _described(credited: CreditedLine, source: Mapping[str, Any], say: Wording, *, alone: bool) -> str:
    if credited.position is None:
        return say("credited_before" if credited.amount < 0 else "credit")
    named = str(source.get("description") or source.get("meter") or source["kind"])
    return named if alone else say("line_of", description=named, number=credited.number, position=credited.position)
