"""Renders an invoice document as JSON, CSV and PDF. Equal documents give equal bytes."""

import json
from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from importlib import resources
from typing import Any, NamedTuple

import typst

from billing.invoicing.render.csv_lines import as_csv
from billing.invoicing.render.typefaces import families, typefaces
from schemas.texts.wording import wording


class Rendered(NamedTuple):
    """The three renderings of one invoice."""

    json: bytes
    csv: bytes
    pdf: bytes


def rendered(document: Mapping[str, Any]) -> Rendered:
    """All renderings of an invoice document."""
    return Rendered(as_json(document), as_csv(document), as_pdf(document))


def as_json(document: Mapping[str, Any]) -> bytes:
    """The JSON rendering: indented, in document order, UTF-8."""
    return (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode()


def as_pdf(document: Mapping[str, Any]) -> bytes:
    """The PDF rendering by Typst, with embedded fonts. Its timestamp is the date of the invoice."""
    folder = resources.files("billing.invoicing.render")
    issued = datetime.combine(date.fromisoformat(document["issued_on"]), time(), UTC)
    with resources.as_file(folder) as path:
        pdf = typst.compile(
            str(path / "invoice.typ"),
            root=str(path),
            font_paths=typefaces(),
            format="pdf",
            sys_inputs=inputs(document),
            timestamp=int(issued.timestamp()),
        )
    if not isinstance(pdf, bytes):
        raise TypeError(f"one PDF expected, not {type(pdf)}")
    return pdf


def inputs(document: Mapping[str, Any]) -> dict[str, str]:
    """What the template gets, as JSON: the document, the texts of its language, and the families of its fonts."""
    texts = wording(document.get("language", "en")).table
    fonts = families(document["buyer"].get("country"))
    return {name: json.dumps(value) for name, value in (("invoice", document), ("texts", texts), ("fonts", fonts))}
