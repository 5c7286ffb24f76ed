"""An invoice as CSV: one row for each line, so that SUM(amount) is the total. RFC 4180, UTF-8, plain spaces.

How a line is made up of its tiers stands in the PDF and in the JSON: rows of parts and of totals would be added up with the lines.
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
    """The lines of an invoice document, in its order; numbers are plain decimals. Text that a spreadsheet would run is disarmed."""
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
    return out.getvalue().encode()


def _text(text: str | None) -> str:
    """A cell of text. A space that does not break, or is thin, is one that no search finds: it becomes a plain one."""
    return text_cell("".join(" " if unicodedata.category(c) == "Zs" else c for c in text or ""))
