"""An invoice document of rules 1 as bytes: JSON, CSV, PDF. The same document gives the same bytes."""

import csv
import io
import json
import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from importlib import resources
from typing import Any

import typst

from billing.invoicing.render import Rendered

_FORMULA = r"[=+\-@\uff1d\uff0b\uff0d\uff20]"
_AT_START = re.compile(rf"""[\s"',;|]*{_FORMULA}|[\t\r\n]""")
_AFTER_SEPARATOR = re.compile(rf"""([",;|\t\r\n]\s*)(?={_FORMULA})""")
_CSV_COLUMNS = ("number", "issued_on", "partner", "period", "position", "description", "meter", "from", "to", "part",
                "quantity", "unit", "unit_price", "exact_amount", "amount", "currency")  # fmt: skip


def rendered(document: Mapping[str, Any]) -> Rendered:
    """All renderings of an invoice document."""
    return Rendered(as_json(document), _as_csv(document), _as_pdf(document))


def as_json(document: Mapping[str, Any]) -> bytes:
    """Canonical for people, too: indented, in document order, UTF-8."""
    return (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode()


def _as_csv(document: Mapping[str, Any]) -> bytes:
    """One row per part of a line, one row per line's total; RFC 4180. Text that a spreadsheet would run is disarmed."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(_CSV_COLUMNS)
    head = [
        document["number"],
        document["issued_on"],
        _text_cell(document["buyer"]["name"]),
        document["period"]["label"],
    ]
    for line in document["lines"]:
        about = [
            line["position"],
            _text_cell(line["description"]),
            _text_cell(line["meter"] or ""),
            line["from"],
            line["to"],
        ]
        for part in line["parts"]:
            writer.writerow(
                [
                    *head,
                    *about,
                    _text_cell(part["explanation"]),
                    part["quantity"],
                    _text_cell(part["unit"] or ""),
                    part["unit_price"],
                    part["amount"],
                    "",
                    document["currency"],
                ]
            )
        writer.writerow(
            [
                *head,
                *about,
                "line total",
                line["billed_quantity"],
                _text_cell(line["unit"] or ""),
                "",
                line["exact_amount"],
                line["amount"],
                document["currency"],
            ]
        )
    writer.writerow([*head, "", "total", "", "", "", "", "", "", "", "", document["total"], document["currency"]])
    return out.getvalue().encode()


def _text_cell(text: str) -> str:
    """Text that no spreadsheet takes for a formula, also where it splits the cell at a separator of its own."""
    inner = _AFTER_SEPARATOR.sub(r"\1'", text)
    return f"'{inner}" if _AT_START.match(text) else inner


def _as_pdf(document: Mapping[str, Any]) -> bytes:
    """The invoice as a finance department sends it: Typst, embedded font, dated by the invoice and not by the clock."""
    layout, fonts = (
        resources.files("billing.invoicing.rules1"),
        resources.files("billing.invoicing.render").joinpath("fonts"),
    )
    issued = datetime.combine(date.fromisoformat(document["issued_on"]), time(), UTC)
    with resources.as_file(layout) as path, resources.as_file(fonts) as shapes:
        pdf = typst.compile(
            str(path / "invoice.typ"),
            root=str(path),
            font_paths=[str(shapes)],
            ignore_system_fonts=True,
            format="pdf",
            sys_inputs={"invoice": json.dumps(document)},
            timestamp=int(issued.timestamp()),
        )
    if not isinstance(pdf, bytes):
        raise TypeError(f"one PDF expected, not {type(pdf)}")
    return pdf
