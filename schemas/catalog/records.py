"""The catalog: who pays (partners, credentials), what is counted (meters), and at what price (plans, rate cards).

Frozen records, refused by their constructors when wrong; references between them are checked by `Catalog`. Text comes
from YAML as text, so no number was ever a float. Dates mean midnight in the partner's time zone.
"""

import hashlib
import re
from collections.abc import Iterable
from datetime import date, datetime
from decimal import Context, Decimal, Inexact
from functools import cached_property
from typing import Any, Literal, TypeVar, cast

from pydantic import Field, field_validator, model_validator

from schemas.catalog.fields import (
    Action,
    Address,
    Code,
    Currency,
    Day,
    EventId,
    EventType,
    FieldName,
    Id,
    Network,
    Note,
    NotNegative,
    Positive,
    Record,
    Resource,
    RoutePattern,
    RouteText,
    Status,
    Text,
    Zone,
    day_of,
    instant_of,
)
from schemas.catalog.prices.registry import PriceModel
from schemas.windows import to_us
from schemas.zones import in_utc, midnight

DEFAULT_THRESHOLDS = tuple(Decimal(p) for p in (50, 80, 90, 100, 120))
_ROLE_PATH = re.compile(r"^(arn:[^:]+:iam::[^:]*:role/).*/([^/]+)$")
# Three fifths of the digits that money is computed with (schemas.money): the rest is for the count that is divided.
_UNITS = Context(prec=36, traps=[Inexact])


class LegalEntity(Record):
    """Who issues the invoice; numbers are gapless per entity and year."""

    id: Id
    name: Text
    address: Address = ()
    vat_id: Code | None = None
    email: Code | None = None
    iban: Code | None = None
    invoice_prefix: str = Field(pattern=r"^[A-Z0-9]{1,12}$")
    time_zone: Zone = "UTC"  # an invoice bears the date, and the year of its number, that it is there when it is issued
    payment_terms_days: int = Field(default=30, ge=0, le=365)
    tax_note: Text = "Amounts exclude value added tax."


class Fields(Record):
    """How the JSON lines of a source call what is read from them. A name may lead into objects: `http/status`."""

    partner: FieldName | None = None
    request_id: FieldName | None = None  # one that a client cannot choose
    time: FieldName | None = None
    method: FieldName | None = None
    path: FieldName | None = None
    route: FieldName | None = None
    status: FieldName | None = None
    request_bytes: FieldName | None = None
    response_bytes: FieldName | None = None
    latency_ms: FieldName | None = None
    latency_s: FieldName | None = None
    client_ip: FieldName | None = None
    api_key: FieldName | None = None
    consumer: FieldName | None = None
    iam: FieldName | None = None
    service: FieldName | None = None
    host: FieldName | None = None

    @model_validator(mode="after")
    def _once(self) -> "Fields":
        if self.latency_ms and self.latency_s:
            raise ValueError("a latency is in milliseconds or in seconds: remove `latency_ms` or `latency_s`")
        if not self.named():
            raise ValueError("no field is named; remove `fields`, or name one")
        return self

    def named(self) -> dict[str, str]:
        """Those that have a name."""
        return {name: value for name in type(self).model_fields if (value := getattr(self, name)) is not None}


class RouteName(Record):
    """One name for the routes that a pattern matches in a source's log, given when a line is read."""

    logged: RoutePattern
    name: RouteText


class Own(Record):
    """Which lines without a credential are the operator's own traffic, of a partner of status `internal`.

    Lines on some routes, or all of them. A line with a credential is never claimed by this: a known one says whose it is, an
    unknown one is refused.
    """

    partner: Id
    routes: tuple[RoutePattern, ...] | None = Field(default=None, min_length=1)
    without_credential: bool = False

    @model_validator(mode="after")
    def _one_claim(self) -> "Own":
        if self.without_credential == (self.routes is not None):
            raise ValueError(
                "claims lines on `routes`, or with `without_credential: true` all lines without a credential; give one of the two"
            )
        return self


class Source(Record):
    """What a source of logs is allowed. Without an entry: it may not tag, and the time limits are the defaults.

    A source with a `partner` is that partner's own: what names nobody in it is the partner's, what names another is refused.
    """

    id: str = Field(min_length=1, max_length=128)
    partner: Id | None = None
    may_tag: bool = False
    partner_field: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_.-]{1,64}$")
    fields: Fields | None = None
    key_is_partner: bool = False  # of records of a topic: the key names the partner, and must agree with the line
    released: tuple[EventId, ...] = ()  # ids of events of an unlikely size that are to be billed
    event_types: tuple[EventType, ...] | None = Field(default=None, min_length=1)  # of usage events; None: any
    max_age_days: int | None = Field(default=None, ge=1)
    max_future_minutes: int | None = Field(default=None, ge=0)
    # The share of entries refused for their form (schemas.reasons.FORM) beyond which the source is paused; 100: never.
    max_refused_percent: int = Field(default=50, ge=0, le=100)
    routes: tuple[RouteName, ...] = ()  # the first that matches names the route
    own: Own | None = None

    @model_validator(mode="after")
    def _one_owner(self) -> "Source":
        if self.partner and self.own:
            raise ValueError("lines without a credential would be of two partners: remove `partner` or `own`")
        return self

    @model_validator(mode="after")
    def _one_partner_field(self) -> "Source":
        if self.partner_field and self.fields and self.fields.partner:
            raise ValueError("the partner's field is named twice: remove `partner_field`, or `partner` of `fields`")
        return self


class Filter(Record):
    """Which requests a meter counts. An absent list allows everything; `exclude_status` is taken off last.

    Methods are compared without case; routes are patterns.
    """

    methods: tuple[str, ...] | None = Field(default=None, min_length=1)
    routes: tuple[str, ...] | None = Field(default=None, min_length=1)
    status: tuple[Status, ...] | None = Field(default=None, min_length=1)
    exclude_status: tuple[Status, ...] = ()

    def statuses(self) -> list[int]:
        """All HTTP statuses from 0 to 599 that pass."""
        wanted = set(range(600)) if self.status is None else _expanded(self.status)
        return sorted(wanted - _expanded(self.exclude_status))


class Meter(Record):
    """What is counted: requests, or the sum of one of their numbers, in `unit` after division by `divide_by`."""

    id: Id
    description: Note = ""
    aggregate: Literal["count", "sum"]
    field: Literal["request_bytes", "response_bytes", "latency_us"] | None = None
    unit: Text
    divide_by: Positive = Decimal(1)
    filter: Filter = Filter()
    billable: bool = True  # usage of a billable meter must have a rate; other meters are for quotas and analysis

    @model_validator(mode="after")
    def _field_fits(self) -> "Meter":
        if (self.aggregate == "sum") != (self.field is not None):
            raise ValueError("aggregate `sum` needs a field to add up, `count` takes none")
        try:
            _UNITS.divide(Decimal(1), self.divide_by)
        except Inexact:
            raise ValueError(
                f"dividing by {self.divide_by} does not end within {_UNITS.prec} digits; use a divisor of powers of 2 and 5, up to 2^50"
            ) from None
        return self


class Rate(Record):
    """One line of a rate card. A flat fee needs no meter."""

    meter: Id | None = None
    description: Note = ""
    price: PriceModel
    free_units: NotNegative = Decimal(0)

    @model_validator(mode="after")
    def _meter_fits(self) -> "Rate":
        if self.meter is None and self.price.needs_meter:
            raise ValueError(f"price model {self.price.model} needs a meter")
        return self


class RateCardVersion(Record):
    """The prices from a date on, until the next version."""

    valid_from: Day
    rates: tuple[Rate, ...] = Field(min_length=1)


class RateCard(Record):
    """Prices in one currency, effective-dated."""

    id: Id
    currency: Currency
    versions: tuple[RateCardVersion, ...] = Field(min_length=1)

    @field_validator("versions")
    @classmethod
    def _in_order(cls, versions: tuple[RateCardVersion, ...]) -> tuple[RateCardVersion, ...]:
        starts = [v.valid_from for v in versions]
        if starts != sorted(set(starts)):
            raise ValueError("versions must be in the order of their valid_from, each date once")
        return versions


class Quota(Record):
    """How much of a meter a plan includes in a period, and at which shares of it to alert."""

    meter: Id
    period: Literal["DAY", "WEEK", "MONTH"]
    limit: Positive
    thresholds: tuple[Positive, ...] = DEFAULT_THRESHOLDS

    @field_validator("thresholds")
    @classmethod
    def _ascending(cls, thresholds: tuple[Decimal, ...]) -> tuple[Decimal, ...]:
        if list(thresholds) != sorted(set(thresholds)):
            raise ValueError("thresholds must ascend, each once")
        return thresholds


class Throttle(Record):
    """The rate the gateway grants: sustained requests per second, and the burst above it."""

    rate_per_s: Positive
    burst: int = Field(ge=0)


class Plan(Record):
    """What a partner has agreed to: a rate card, quotas, a throttle."""

    id: Id
    rate_card: Id
    quotas: tuple[Quota, ...] = ()
    throttle: Throttle | None = None

    @field_validator("quotas")
    @classmethod
    def _once_each(cls, quotas: tuple[Quota, ...]) -> tuple[Quota, ...]:
        kinds = [(q.meter, q.period) for q in quotas]
        if len(kinds) != len(set(kinds)):
            raise ValueError("a meter has one quota for each of DAY, WEEK and MONTH; keep one, and use its thresholds")
        return quotas


class PlanAssignment(Record):
    """A plan from a date (included) to a date (excluded; None: open)."""

    plan: Id
    valid_from: Day
    valid_to: Day | None = None

    @model_validator(mode="after")
    def _not_empty(self) -> "PlanAssignment":
        return _checked_validity(self)


class Grant(Record):
    """What an IAM principal may do, as in a statement of its policy: these actions, on these resources, from these networks.

    `*` stands for any characters, `?` for one. Actions are compared without case. Without `networks`: from anywhere.
    """

    actions: tuple[Action, ...] = Field(min_length=1)
    resources: tuple[Resource, ...] = Field(default=("*",), min_length=1)
    networks: tuple[Network, ...] | None = Field(default=None, min_length=1)


class Credential(Record):
    """How a partner is known in a log: an API key's id, an IAM principal, a consumer, or an OIDC issuer and client.

    Ids only: never put the secret itself into a catalog. A date means midnight in the partner's time zone. What is agreed
    of its use, `networks` and `allow`, decides nothing about the bill: usage outside is counted, marked and reported.
    """

    kind: Literal["api_key", "iam", "consumer", "oidc"]
    id: str | None = Field(default=None, min_length=1, max_length=2048)
    issuer: str | None = Field(default=None, min_length=1)
    client_id: str | None = Field(default=None, min_length=1)
    networks: tuple[Network, ...] | None = Field(default=None, min_length=1)
    allow: tuple[Grant, ...] | None = Field(default=None, min_length=1)
    valid_from: datetime | date | None = None
    valid_to: datetime | date | None = None

    @field_validator("valid_from", "valid_to", mode="before")
    @classmethod
    def _date_stays_date(cls, value: object) -> object:
        return value if isinstance(value, str) and "T" in value.upper() and instant_of(value) else day_of(value)

    @model_validator(mode="after")
    def _named(self) -> "Credential":
        if self.kind == "oidc":
            if self.issuer is None or self.id is not None:
                raise ValueError(
                    "an oidc credential is named by `issuer` and, if one is meant, `client_id`; it has no `id`"
                )
        elif self.id is None or self.issuer is not None or self.client_id is not None:
            raise ValueError(f"a credential of kind {self.kind} is named by `id` alone")
        if self.allow is not None and self.kind != "iam":
            raise ValueError("`allow` is a policy of IAM; of other kinds give `networks`, and leave `allow` out")
        for bound in (self.valid_from, self.valid_to):
            if isinstance(bound, datetime) and bound.tzinfo is None:
                raise ValueError("an instant needs its zone: write 2026-01-01T00:00:00Z, or a date")
        return self

    @property
    def key(self) -> tuple[str, str]:
        """(kind, value) as the log shows it; of an OIDC client `issuer#client_id`."""
        if self.kind == "oidc":
            return self.kind, f"{self.issuer}#{self.client_id}" if self.client_id else str(self.issuer)
        return self.kind, str(self.id)

    @property
    def logged_as(self) -> tuple[str, ...]:
        """Every value a log may show it by: of a role with a path also the ARN without, since a session's ARN has lost it."""
        value = self.key[1]
        short = _ROLE_PATH.sub(r"\1\2", value) if self.kind == "iam" else value
        return (value,) if short == value else (value, short)


class Partner(Record):
    """Who pays; or, of status `internal`, the operator itself: its usage is counted like any other and never invoiced."""

    id: Id
    name: Text
    address: Address = ()
    vat_id: Code | None = None
    reference: Text | None = None
    legal_entity: Id | None = None
    time_zone: Zone
    status: Literal["active", "suspended", "internal"] = "active"
    plans: tuple[PlanAssignment, ...] = ()
    credentials: tuple[Credential, ...] = ()

    @model_validator(mode="after")
    def _paid_by_somebody(self) -> "Partner":
        if self.is_internal and (self.legal_entity is not None or self.plans):
            raise ValueError(
                "a partner of status internal is never invoiced: remove `legal_entity` and `plans`, or give who paid until now another "
                "partner's id"
            )
        if not self.is_internal and self.legal_entity is None:
            raise ValueError(
                "`legal_entity` is missing; add who invoices the partner, or `status: internal` if nobody does"
            )
        return self

    @property
    def is_internal(self) -> bool:
        """Whether it is the operator itself."""
        return self.status == "internal"

    def instant(self, bound: datetime | date) -> datetime:
        """A bound as a UTC instant: a date is midnight in the partner's zone."""
        if isinstance(bound, datetime):
            return in_utc(bound)
        return midnight(bound, self.time_zone)

    def validity_us(self, item: Credential | PlanAssignment) -> tuple[int, int]:
        """[from, to) in microseconds since the epoch; an open end is far away."""
        start = -FAR_US if item.valid_from is None else to_us(self.instant(item.valid_from))
        return start, FAR_US if item.valid_to is None else to_us(self.instant(item.valid_to))


FAR_US = 1 << 62
_R = TypeVar("_R", LegalEntity, Meter, Plan, RateCard, Partner)


class Catalog(Record):
    """Everything, with its references checked. `sha256` names exactly this content."""

    legal_entities: tuple[LegalEntity, ...] = ()
    sources: tuple[Source, ...] = ()
    meters: tuple[Meter, ...] = ()
    rate_cards: tuple[RateCard, ...] = ()
    plans: tuple[Plan, ...] = ()
    partners: tuple[Partner, ...] = ()

    def canonical_json(self) -> str:
        """The same text for the same content, whichever file held which record: sections are in the order of ids.

        A field that equals its default is left out, so that a field that a later release adds changes no catalog's text.
        """
        sections = {name: tuple(sorted(getattr(self, name), key=lambda r: r.id)) for name in type(self).model_fields}
        return self.model_copy(update=sections).model_dump_json(exclude_defaults=True)

    @property
    def sha256(self) -> str:
        """The hash of the canonical text."""
        return hashlib.sha256(self.canonical_json().encode()).hexdigest()

    def partner(self, partner_id: str) -> Partner | None:
        """The partner, or None."""
        return self._found(self.partners).get(partner_id)

    def known_partner(self, partner_id: str) -> Partner:
        """The partner; raises KeyError."""
        return self._found(self.partners)[partner_id]

    def payers(self, entity_id: str | None = None) -> tuple[Partner, ...]:
        """The partners that are invoiced, all or those of one legal entity."""
        return tuple(p for p in self.partners if not p.is_internal and entity_id in {None, p.legal_entity})

    def meter(self, meter_id: str) -> Meter:
        """The meter; raises KeyError."""
        return self._found(self.meters)[meter_id]

    def plan(self, plan_id: str) -> Plan:
        """The plan; raises KeyError."""
        return self._found(self.plans)[plan_id]

    def rate_card(self, card_id: str) -> RateCard:
        """The rate card; raises KeyError."""
        return self._found(self.rate_cards)[card_id]

    def legal_entity(self, entity_id: str) -> LegalEntity:
        """The legal entity; raises KeyError."""
        return self._found(self.legal_entities)[entity_id]

    def _found(self, records: tuple[_R, ...]) -> dict[str, _R]:
        """Records by id, of two with one id the first; made once for these very records, whichever copy of the catalog has them."""
        kept = self.indexes.get(id(records))
        if kept is None or kept[0] is not records:
            kept = records, {record.id: record for record in reversed(records)}
            self.indexes[id(records)] = kept
        return cast("dict[str, _R]", kept[1])

    @cached_property
    def indexes(self) -> dict[int, tuple[object, dict[str, Any]]]:
        """What `_found` keeps; no content."""
        return {}


def _expanded(statuses: Iterable[str]) -> set[int]:
    codes: set[int] = set()
    for s in statuses:
        codes |= set(range(int(s[0]) * 100, int(s[0]) * 100 + 100)) if s.endswith("xx") else {int(s)}
    return codes


def _checked_validity(assigned: PlanAssignment) -> PlanAssignment:
    if assigned.valid_to is not None and assigned.valid_to <= assigned.valid_from:
        raise ValueError(f"valid_to {assigned.valid_to} is not after valid_from {assigned.valid_from}")
    return assigned
