"""Versions of the billing rules: rating, hashing and document layout. A close names its rules and is verified by them.

A change that would give other amounts or other bytes for the same close needs a new version. The previous rules then
move to a package of their own and are frozen.
"""

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any, Protocol

from billing.invoicing import document, history, render, rules1
from billing.invoicing.render import Rendered
from billing.periods import BillingPeriod
from billing.rating import bills
from billing.rating.bills import NO_ADJUSTMENTS
from billing.rating.extras import Extra
from billing.rating.itemizing import itemized
from billing.usage.warehouse import Warehouse
from schemas.catalog.records import Catalog, Partner

NEWEST = 2
Adjustments = Mapping[str, Sequence[Extra]]


class Drafted(Protocol):
    """A draft, as every version of the rules provides it."""

    @property
    def partner(self) -> Partner:
        """The partner that pays."""

    @property
    def currency(self) -> str:
        """The currency of all amounts."""

    @property
    def total(self) -> Decimal:
        """The sum of the rounded lines."""


class Rules(Protocol):
    """One version of the rules."""

    def partners(self, content: Mapping[str, Any], catalog: Catalog) -> list[Partner]:
        """The partners whose month the close pins."""

    def drafts(
        self,
        warehouse: Warehouse,
        content: Mapping[str, Any],
        catalog: Catalog,
        adjustments: Adjustments = NO_ADJUSTMENTS,
    ) -> Sequence[Drafted]:
        """The drafts of the close that have lines. `warehouse` is the lake at the versions of the close.

        `adjustments` are the lines of earlier periods, by partner id.
        """

    def invoice(
        self, close_id: str, content: Mapping[str, Any], catalog: Catalog, draft: Any, *, number: str, issued_on: date
    ) -> dict[str, Any]:
        """The document of an invoice."""

    def rendered(self, content: Mapping[str, Any]) -> Rendered:
        """The renderings of an invoice document."""

    def as_json(self, content: Mapping[str, Any]) -> bytes:
        """The JSON rendering of an invoice document."""

    def usage_sha256(
        self, warehouse: Warehouse, spans: Sequence[tuple[str, Any, Any]], catalog: Catalog
    ) -> dict[str, str]:
        """The hash of each partner's usage in its span, by partner id: what the meters of the catalog may count."""


class _Rules1:
    """Rules 1, frozen: billing/invoicing/rules1."""

    def partners(self, content: Mapping[str, Any], catalog: Catalog) -> list[Partner]:
        return [p for p in catalog.partners if p.legal_entity == content["legal_entity"]]

    def drafts(
        self,
        warehouse: Warehouse,
        content: Mapping[str, Any],
        catalog: Catalog,
        adjustments: Adjustments = NO_ADJUSTMENTS,
    ) -> Sequence[Drafted]:
        assert not adjustments, "no close of rules 1 has any"
        return rules1.drafts(warehouse, content, catalog, self.partners(content, catalog))

    def invoice(
        self, close_id: str, content: Mapping[str, Any], catalog: Catalog, draft: Any, *, number: str, issued_on: date
    ) -> dict[str, Any]:
        return rules1.invoice(close_id, content, catalog, draft, number=number, issued_on=issued_on)

    def rendered(self, content: Mapping[str, Any]) -> Rendered:
        return rules1.rendered(content)

    def as_json(self, content: Mapping[str, Any]) -> bytes:
        return rules1.as_json(content)

    def usage_sha256(
        self, warehouse: Warehouse, spans: Sequence[tuple[str, Any, Any]], catalog: Catalog
    ) -> dict[str, str]:
        return {span[0]: rules1.usage_sha256(warehouse, *span) for span in spans}


class _Rules2:
    """Rules 2, the current rules."""

    def partners(self, content: Mapping[str, Any], catalog: Catalog) -> list[Partner]:
        return [catalog.known_partner(partner_id) for partner_id in content["partners"]]

    def drafts(
        self,
        warehouse: Warehouse,
        content: Mapping[str, Any],
        catalog: Catalog,
        adjustments: Adjustments = NO_ADJUSTMENTS,
    ) -> Sequence[Drafted]:
        before = history.pinned(warehouse.lake, content)
        usage = warehouse.usage_of(catalog)
        drafts = bills.drafts_of(catalog, periods(content), usage, before, adjustments)[0]
        return itemized(catalog, usage, drafts)

    def invoice(
        self, close_id: str, content: Mapping[str, Any], catalog: Catalog, draft: Any, *, number: str, issued_on: date
    ) -> dict[str, Any]:
        return document.invoice(close_id, content, catalog, draft, number=number, issued_on=issued_on)

    def rendered(self, content: Mapping[str, Any]) -> Rendered:
        return render.rendered(content)

    def as_json(self, content: Mapping[str, Any]) -> bytes:
        return render.as_json(content)

    def usage_sha256(
        self, warehouse: Warehouse, spans: Sequence[tuple[str, Any, Any]], catalog: Catalog
    ) -> dict[str, str]:
        return warehouse.usage_of(catalog).sha256(spans)


_ALL: Mapping[int, Rules] = {1: _Rules1(), 2: _Rules2()}


def of(content: Mapping[str, Any]) -> Rules:
    """The rules that a close names. A close without a name uses rules 1.

    Raises KeyError for rules of a later version of Tollbook.
    """
    return _ALL[content.get("rules", 1)]


def periods(content: Mapping[str, Any]) -> list[BillingPeriod]:
    """The billing periods that a close of the current rules stored, in the order of partner ids."""
    return [BillingPeriod.from_json(partner_id, stored) for partner_id, stored in content["partners"].items()]
