"""Which rules a close was made by: rating, hashing and the layout of documents. A close names them, and is proved by them.

Rules change when the same close would give other amounts or other bytes. The rules of before then move into a package of
their own and stay as they are.
"""

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any, Protocol

from billing.invoicing import document, render, rules1
from billing.invoicing.render import Rendered
from billing.rating import bills
from billing.rating.periods import BillingPeriod
from billing.usage.warehouse import Warehouse
from schemas.catalog.records import Catalog, Partner

NEWEST = 2


class Drafted(Protocol):
    """A draft by whatever rules."""

    @property
    def partner(self) -> Partner:
        """Who pays."""

    @property
    def currency(self) -> str:
        """Of all amounts."""

    @property
    def total(self) -> Decimal:
        """The sum of the rounded lines."""


class Rules(Protocol):
    """What a version of the rules says."""

    def partners(self, content: Mapping[str, Any], catalog: Catalog) -> list[Partner]:
        """Whose month the close fixes."""

    def drafts(self, house: Warehouse, content: Mapping[str, Any], catalog: Catalog) -> Sequence[Drafted]:
        """The drafts of the close, those with lines; `house` is the lake at the close's versions."""

    def invoice(
        self, close_id: str, content: Mapping[str, Any], catalog: Catalog, draft: Any, *, number: str, issued_on: date
    ) -> dict[str, Any]:
        """The document of an invoice."""

    def rendered(self, content: Mapping[str, Any]) -> Rendered:
        """Its renderings."""

    def as_json(self, content: Mapping[str, Any]) -> bytes:
        """Its JSON alone."""

    def usage_sha256(self, house: Warehouse, spans: Sequence[tuple[str, Any, Any]]) -> dict[str, str]:
        """The hash of each partner's usage between two instants."""


class _One:
    """Rules 1, frozen: billing/invoicing/rules1."""

    def partners(self, content: Mapping[str, Any], catalog: Catalog) -> list[Partner]:
        return [p for p in catalog.partners if p.legal_entity == content["legal_entity"]]

    def drafts(self, house: Warehouse, content: Mapping[str, Any], catalog: Catalog) -> Sequence[Drafted]:
        return rules1.drafts(house, content, catalog, self.partners(content, catalog))

    def invoice(
        self, close_id: str, content: Mapping[str, Any], catalog: Catalog, draft: Any, *, number: str, issued_on: date
    ) -> dict[str, Any]:
        return rules1.invoice(close_id, content, catalog, draft, number=number, issued_on=issued_on)

    def rendered(self, content: Mapping[str, Any]) -> Rendered:
        return rules1.rendered(content)

    def as_json(self, content: Mapping[str, Any]) -> bytes:
        return rules1.as_json(content)

    def usage_sha256(self, house: Warehouse, spans: Sequence[tuple[str, Any, Any]]) -> dict[str, str]:
        return {span[0]: rules1.usage_sha256(house, *span) for span in spans}


class _Two:
    """The rules of today."""

    def partners(self, content: Mapping[str, Any], catalog: Catalog) -> list[Partner]:
        return [catalog.known_partner(partner_id) for partner_id in content["partners"]]

    def drafts(self, house: Warehouse, content: Mapping[str, Any], catalog: Catalog) -> Sequence[Drafted]:
        return bills.drafts_of(catalog, periods(content), house.usage_of(catalog))[0]

    def invoice(
        self, close_id: str, content: Mapping[str, Any], catalog: Catalog, draft: Any, *, number: str, issued_on: date
    ) -> dict[str, Any]:
        return document.invoice(close_id, content, catalog, draft, number=number, issued_on=issued_on)

    def rendered(self, content: Mapping[str, Any]) -> Rendered:
        return render.rendered(content)

    def as_json(self, content: Mapping[str, Any]) -> bytes:
        return render.as_json(content)

    def usage_sha256(self, house: Warehouse, spans: Sequence[tuple[str, Any, Any]]) -> dict[str, str]:
        return house.usage_sha256(spans)


_ALL: Mapping[int, Rules] = {1: _One(), 2: _Two()}


def of(content: Mapping[str, Any]) -> Rules:
    """The rules that a close names; those of before named none. Raises KeyError for rules of a later version of Tollbook."""
    return _ALL[content.get("rules", 1)]


def periods(content: Mapping[str, Any]) -> list[BillingPeriod]:
    """The billing periods that a close by the rules of today stored, by partner id."""
    return [BillingPeriod.from_json(partner_id, stored) for partner_id, stored in content["partners"].items()]
