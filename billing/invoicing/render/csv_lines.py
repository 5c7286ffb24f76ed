"""Renders an invoice as CSV with one row per amount, so that SUM(amount) is the total. RFC 4180, UTF-8, plain spaces.

The PDF and the JSON show the tiers of a line. The CSV has no rows for parts and totals, because a sum would include
them.
"""

import csv
import io
import unicodedata
from collections.abc import Mapping
from typing import Any

from billing.invoicing.render.cells import text_cell

COLUMNS = ("number", "issued_on", "partner_id", "partner", "period", "position", "description", "meter", "first_day", "last_day",
           "quantity", "included", "billed_quantity", "unit", "exact_amount", "amount", "currency")  # fmt: skip


def as_csv(document: Mapping[str, Any]) -> bytes:
    """The lines of an invoice document in document order. Numbers are plain decimals.

    Text that looks like a formula is quoted.
    """
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    buyer = document["buyer"]
    head = [
        document["number"],
        document["issued_on"],
        _text(buyer["id"]),
        _text(buyer["name"]),
        document["period"]["label"],
    ]
    for line in document["lines"]:
        writer.writerow(
            [
                *head,
                line["position"],
                _text(line["description"]),
                _text(line["meter"]),
                line["first_day"],
                line["last_day"],
                line["quantity"],
                line["included"],
                line["billed_quantity"],
                _text(line["unit"]),
                line["exact_amount"],
                line["amount"],
                document["currency"],
            ]
        )
    for extra in document.get("extras", ()):
        writer.writerow([*head, *_extra(extra, document)])
    return out.getvalue().encode()


def _extra(extra: Mapping[str, Any], document: Mapping[str, Any]) -> list[str]:
    """The cells of an amount that is not usage at a rate. It has no quantity, and covers the whole period."""
    period = document["period"]
    days = [period["first_day"], period["last_day"]]
    return [
        extra["position"],
        _text(extra["description"]),
        _text(extra.get("meter")),
        *days,
        *([""] * 4),
        extra["exact_amount"],
        extra["amount"],
        document["currency"],
    ]


def _text(text: str | None) -> str:
    """A cell of text. Non-breaking and thin spaces become plain spaces, because a search would not find them."""
    return text_cell("".join(" " if unicodedata.category(c) == "Zs" else c for c in text or ""))
