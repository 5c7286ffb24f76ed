"""The catalog: who pays (partners, credentials), what is counted (meters), and at what price (plans, rate cards).

The records are frozen, and their constructors reject invalid values. Sources and credentials have modules of their own;
schemas/catalog/checks.py checks the references between records. YAML scalars arrive as text, so no number was ever a
float. A date means midnight in the partner's time zone.
"""

import hashlib
from datetime import date, datetime
from decimal import Decimal
from functools import cached_property
from typing import Annotated, Any, Literal, TypeVar, cast

from pydantic import AfterValidator, Field, field_validator, model_validator

from schemas.catalog.approval import Approval
from schemas.catalog.credentials import Credential
from schemas.catalog.fields import (
    Address,
    CatalogRecord,
    Code,
    Country,
    Currency,
    Day,
    Id,
    NotNegative,
    Positive,
    Text,
    Zone,
)
from schemas.catalog.meters.meter import Meter
from schemas.catalog.rates import Rate
from schemas.catalog.sources import Source
from schemas.catalog.terms import Bound, Commitment, Credit, Dated, Discount, Fee, PurchaseOrder
from schemas.texts.wording import Language
from schemas.windows import to_us
from schemas.zones import in_utc, midnight

DEFAULT_THRESHOLDS = tuple(Decimal(p) for p in (50, 80, 90, 100, 120))


def _ascending(thresholds: tuple[Decimal, ...]) -> tuple[Decimal, ...]:
    if list(thresholds) != sorted(set(thresholds)):
        raise ValueError("thresholds must be in ascending order, each once")
    return thresholds


Thresholds = Annotated[tuple[Positive, ...], AfterValidator(_ascending)]


class LegalEntity(CatalogRecord):
    """A company that issues invoices. Invoice numbers are gapless per entity and year."""

    id: Id
    name: Text
    address: Address = ()
    country: Country | None = None
    vat_id: Code | None = None
    email: Code | None = None
    iban: Code | None = None
    invoice_prefix: str = Field(pattern=r"^[A-Z0-9]{1,12}$")
    time_zone: Zone = "UTC"  # decides an invoice's date, and the year in its number
    payment_terms_days: int = Field(default=30, ge=0, le=365)
    tax_note: Text = "Amounts exclude value added tax."
    approval: Approval | None = None  # None: whoever may issue does


class RateCardVersion(CatalogRecord):
    """The prices that apply from a date until the next version."""

    valid_from: Day
    rates: tuple[Rate, ...] = Field(min_length=1)


class OwnPrices(Dated):
    """Rates of one partner. Each replaces the card's rates of the same meter, or its fee of the same description."""

    plan: Id | None = None  # None: every plan of the partner
    currency: Currency
    rates: tuple[Rate, ...] = Field(min_length=1)

    @field_validator("rates")
    @classmethod
    def _named(cls, rates: tuple[Rate, ...]) -> tuple[Rate, ...]:
        if any(rate.meter is None and not rate.description for rate in rates):
            raise ValueError(
                "an own fee needs a `description`; write that of the card's fee to replace it, or another one to add a fee"
            )
        return rates


class RateCard(CatalogRecord):
    """Effective-dated prices in one currency."""

    id: Id
    currency: Currency
    versions: tuple[RateCardVersion, ...] = Field(min_length=1)

    @field_validator("versions")
    @classmethod
    def _in_order(cls, versions: tuple[RateCardVersion, ...]) -> tuple[RateCardVersion, ...]:
        starts = [v.valid_from for v in versions]
        if starts != sorted(set(starts)):
            raise ValueError("versions must be sorted by `valid_from`, each date once")
        return versions


class Quota(CatalogRecord):
    """The limit of a plan for a meter and period, when to alert, and whether a gateway should block at the limit."""

    meter: Id
    period: Literal["DAY", "WEEK", "MONTH"]
    limit: Positive
    thresholds: Thresholds = DEFAULT_THRESHOLDS  # percent of the limit
    enforce: Literal["alert", "block"] = "alert"  # nothing blocks that does not ask for it
    grace_percent: NotNegative = Decimal(0)  # a gateway blocks at the limit and this share of it


class Budget(CatalogRecord):
    """What a partner wants to pay at most in a month, in the currency of its invoices, without tax."""

    amount: Positive
    thresholds: Thresholds = DEFAULT_THRESHOLDS  # percent of the amount
    enforce: Literal["alert", "block"] = "alert"
    grace_percent: NotNegative = Decimal(0)


class Throttle(CatalogRecord):
    """The request rate that the gateway grants: sustained requests per second, and the burst above it."""

    rate_per_s: Positive
    burst: int = Field(ge=0)


class Plan(CatalogRecord):
    """What a partner can subscribe to: a rate card, quotas, a throttle."""

    id: Id
    rate_card: Id
    quotas: tuple[Quota, ...] = ()
    throttle: Throttle | None = None
    # For gateways that ask whether to allow a request (tollbook decide): how old an answer may be, and what to answer
    # if it is older. `open` allows.
    max_lag_s: int = Field(default=300, ge=1, le=86_400)
    when_stale: Literal["open", "closed"] = "open"

    @field_validator("quotas")
    @classmethod
    def _once_each(cls, quotas: tuple[Quota, ...]) -> tuple[Quota, ...]:
        kinds = [(q.meter, q.period) for q in quotas]
        if len(kinds) != len(set(kinds)):
            raise ValueError(
                "a meter may have one quota each for DAY, WEEK and MONTH; keep one, and use its thresholds"
            )
        return quotas


class PlanAssignment(CatalogRecord):
    """A partner's plan from `valid_from` (inclusive) to `valid_to` (exclusive; None: no end)."""

    plan: Id
    valid_from: Day
    valid_to: Day | None = None

    @model_validator(mode="after")
    def _not_empty(self) -> "PlanAssignment":
        return _checked_validity(self)


class Partner(CatalogRecord):
    """A customer, or the operator itself: its status is `internal`, and its usage is counted and never invoiced."""

    id: Id
    name: Text
    address: Address = ()
    country: Country | None = None
    vat_id: Code | None = None
    contact: Text | None = None
    reference: Text | None = None
    language: Language = "en"  # of the documents
    appendices: tuple[Literal["days", "routes"], ...] = Field(default=(), max_length=2)
    payment_terms_days: int | None = Field(default=None, ge=0, le=365)  # None: those of the legal entity
    purchase_orders: tuple[PurchaseOrder, ...] = ()
    prices: tuple[OwnPrices, ...] = ()
    discounts: tuple[Discount, ...] = ()
    minimums: tuple[Bound, ...] = ()
    maximums: tuple[Bound, ...] = ()
    fees: tuple[Fee, ...] = ()
    commitments: tuple[Commitment, ...] = ()
    credits: tuple[Credit, ...] = ()
    legal_entity: Id | None = None
    time_zone: Zone
    status: Literal["active", "suspended", "internal"] = "active"
    plans: tuple[PlanAssignment, ...] = ()
    budget: Budget | None = None
    credentials: tuple[Credential, ...] = ()

    @field_validator("appendices")
    @classmethod
    def _each_once(cls, appendices: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(appendices)) != len(appendices):
            raise ValueError("an appendix is listed twice; keep one")
        return appendices

    @model_validator(mode="after")
    def _paid_by_somebody(self) -> "Partner":
        if self.is_internal and (self.legal_entity is not None or self.plans):
            raise ValueError(
                "a partner of status internal is never invoiced; remove `legal_entity` and `plans`, or add a new internal partner if "
                "this one was invoiced before"
            )
        if not self.is_internal and self.legal_entity is None:
            raise ValueError(
                "`legal_entity` is missing; name the entity that invoices the partner, or set `status: internal` if none does"
            )
        return self

    @property
    def is_internal(self) -> bool:
        """Whether this partner is the operator itself."""
        return self.status == "internal"

    @property
    def looks_back(self) -> bool:
        """Whether a bill depends on the documents that were issued to the partner before."""
        limited = any(order.amount is not None for order in self.purchase_orders)
        paid_ahead = any(fee.due == "advance" for fee in self.fees)
        return limited or paid_ahead or bool(self.commitments or self.credits)

    def own_prices(self, plan_id: str) -> list[OwnPrices]:
        """The partner's own prices for a plan, at any time."""
        return [own for own in self.prices if own.plan in {None, plan_id}]

    def instant(self, bound: datetime | date) -> datetime:
        """A bound as a UTC instant. A date means midnight in the partner's time zone."""
        if isinstance(bound, datetime):
            return in_utc(bound)
        return midnight(bound, self.time_zone)

    def validity_us(self, item: Credential | PlanAssignment) -> tuple[int, int]:
        """The validity [from, to) in microseconds since the epoch. A missing bound is -FAR_US or FAR_US."""
        start = -FAR_US if item.valid_from is None else to_us(self.instant(item.valid_from))
        return start, FAR_US if item.valid_to is None else to_us(self.instant(item.valid_to))


FAR_US = 1 << 62
_R = TypeVar("_R", LegalEntity, Meter, Plan, RateCard, Partner)


class Catalog(CatalogRecord):
    """All records of an installation. `sha256` identifies exactly this content."""

    legal_entities: tuple[LegalEntity, ...] = ()
    sources: tuple[Source, ...] = ()
    meters: tuple[Meter, ...] = ()
    rate_cards: tuple[RateCard, ...] = ()
    plans: tuple[Plan, ...] = ()
    partners: tuple[Partner, ...] = ()

    def canonical_json(self) -> str:
        """The canonical text: the same for the same content, independent of files and order. Sections are sorted by id.

        Fields that equal their default are omitted, so a field added by a later release does not change the text of
        existing catalogs.
        """
        sections = {name: tuple(sorted(getattr(self, name), key=lambda r: r.id)) for name in type(self).model_fields}
        return self.model_copy(update=sections).model_dump_json(exclude_defaults=True)

    @property
    def sha256(self) -> str:
        """The SHA-256 of the canonical text, in hex."""
        return hashlib.sha256(self.canonical_json().encode()).hexdigest()

    def trusting(self, source: str) -> "Catalog":
        """A copy in which a source has `trust_user`."""
        known = next((s for s in self.sources if s.id == source), Source(id=source))
        others = [s for s in self.sources if s.id != source]
        return self.model_copy(update={"sources": (*others, known.model_copy(update={"trust_user": True}))})

    def partner(self, partner_id: str) -> Partner | None:
        """The partner, or None if it is unknown."""
        return self._found(self.partners).get(partner_id)

    def known_partner(self, partner_id: str) -> Partner:
        """The partner. Raises KeyError."""
        return self._found(self.partners)[partner_id]

    def payers(self, entity_id: str | None = None) -> tuple[Partner, ...]:
        """The partners that are invoiced, by all legal entities or by one."""
        return tuple(p for p in self.partners if not p.is_internal and entity_id in {None, p.legal_entity})

    def meter(self, meter_id: str) -> Meter:
        """The meter. Raises KeyError."""
        return self._found(self.meters)[meter_id]

    def plan(self, plan_id: str) -> Plan:
        """The plan. Raises KeyError."""
        return self._found(self.plans)[plan_id]

    def rate_card(self, card_id: str) -> RateCard:
        """The rate card. Raises KeyError."""
        return self._found(self.rate_cards)[card_id]

    def legal_entity(self, entity_id: str) -> LegalEntity:
        """The legal entity. Raises KeyError."""
        return self._found(self.legal_entities)[entity_id]

    def _found(self, records: tuple[_R, ...]) -> dict[str, _R]:
        """The records by id; of two with the same id, the first. The index is built once per tuple of records.

        Copies of the catalog share `indexes`, so an entry is used only if it was built from these very records.
        """
        cached = self.indexes.get(id(records))
        if cached is None or cached[0] is not records:
            cached = records, {record.id: record for record in reversed(records)}
            self.indexes[id(records)] = cached
        return cast("dict[str, _R]", cached[1])

    @cached_property
    def indexes(self) -> dict[int, tuple[object, dict[str, Any]]]:
        """The cache of `_found`. It is not part of the content."""
        return {}


def _checked_validity(assigned: PlanAssignment) -> PlanAssignment:
    if assigned.valid_to is not None and assigned.valid_to <= assigned.valid_from:
        raise ValueError(f"valid_to {assigned.valid_to} is not after valid_from {assigned.valid_from}")
    return assigned
