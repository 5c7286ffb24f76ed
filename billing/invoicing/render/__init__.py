"""Renders an invoice document as JSON, CSV and PDF. Equal documents give equal bytes."""

import json
from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from pathlib import Path
from threading import local
from typing import Any, NamedTuple

import typst

from billing.invoicing.render.csv_lines import as_csv
from billing.invoicing.render.typefaces import families, typefaces
from schemas.texts.wording import wording

_FOLDER = Path(__file__).parent
_of_thread = local()


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
    issued = datetime.combine(date.fromisoformat(document["issued_on"]), time(), UTC)
    pdf = _compiler().compile(format="pdf", sys_inputs=inputs(document), timestamp=int(issued.timestamp()))
    if not isinstance(pdf, bytes):
        raise TypeError(f"one PDF expected, not {type(pdf)}")
    return pdf


def _compiler() -> typst.Compiler:
    """The compiler of this thread. It keeps the template, which takes a sixth of the time of an invoice to read."""
    fonts = typefaces()
    if getattr(_of_thread, "fonts", None) is not fonts:
        _of_thread.compiler = typst.Compiler(str(_FOLDER / "invoice.typ"), str(_FOLDER), fonts)
        _of_thread.fonts = fonts
    compiler: typst.Compiler = _of_thread.compiler
    return compiler


def inputs(document: Mapping[str, Any]) -> dict[str, str]:
    """What the template gets, as JSON: the document, the texts of its language, and the families of its fonts."""
    texts = wording(document.get("language", "en")).table
    fonts = families(document["buyer"].get("country"))
    return {name: json.dumps(value) for name, value in (("invoice", document), ("texts", texts), ("fonts", fonts))}
