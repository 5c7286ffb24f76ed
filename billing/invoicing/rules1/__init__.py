"""Rules 1: how invoices were rated, hashed and laid out until rules 2 took over. Frozen.

Invoices that were issued by these rules are proved by them, byte for byte, for as long as they are kept. Their faults
are kept with them: a plan that ended in an earlier month is billed again, and a new price version starts the count anew.
Never correct anything here; `tollbook invoice verify --explain` shows what the rules of today would bill instead.
No other module of this package is imported from outside it.
"""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from billing.invoicing.render import Rendered
from billing.invoicing.rules1 import document, rating, renderings, usage
from billing.invoicing.rules1.rating import Draft
from billing.usage.warehouse import Meters
from schemas.catalog.records import Catalog, Partner


def drafts(house: Meters, content: Mapping[str, Any], catalog: Catalog, partners: Sequence[Partner]) -> list[Draft]:
    """What the close `content` bills its partners, rated over the relation `rollups` of `house`. No draft without a line."""
    asks = [asked for p in partners if (asked := rating.ask(catalog, p, content["period"])).lines]
    counted = iter(usage.counted(house, catalog, [span for asked in asks for span in asked.spans()]))
    made = [rating.draft(catalog, asked, [next(counted) for _ in asked.spans()]) for asked in asks]
    return [draft for draft in made if draft.lines]


def invoice(
    close_id: str, content: Mapping[str, Any], catalog: Catalog, draft: Draft, *, number: str, issued_on: date
) -> dict[str, Any]:
    """The document of an invoice, in the order in which it is rendered."""
    return document.invoice(close_id, content, catalog, draft, number=number, issued_on=issued_on)


def rendered(content: Mapping[str, Any]) -> Rendered:
    """The JSON, CSV and PDF of a document."""
    return renderings.rendered(content)


usage_sha256 = usage.sha256
as_json = renderings.as_json
