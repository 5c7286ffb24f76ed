"""The settings of log sources: whose lines they are, the names of their fields and routes, and their limits."""

from collections.abc import Mapping

from pydantic import Field, field_validator, model_validator

from schemas.catalog.fields import (
    CatalogRecord,
    EventId,
    EventType,
    FieldName,
    Id,
    PropertyName,
    RoutePattern,
    RouteText,
)


class Fields(CatalogRecord):
    """The names of fields in a source's JSON lines. A name may be a path into nested objects: `http/status`."""

    partner: FieldName | None = None
    request_id: FieldName | None = None  # an id that clients cannot choose
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
    quantities: Mapping[PropertyName, FieldName] = Field(default={}, max_length=16)
    attributes: Mapping[PropertyName, FieldName] = Field(default={}, max_length=16)

    @field_validator("quantities", "attributes")
    @classmethod
    def _sorted(cls, named: Mapping[str, str]) -> Mapping[str, str]:
        """The canonical text of a catalog does not depend on the order in a file."""
        return dict(sorted(named.items()))

    @model_validator(mode="after")
    def _once(self) -> "Fields":
        if self.latency_ms and self.latency_s:
            raise ValueError("a latency is in milliseconds or in seconds; remove `latency_ms` or `latency_s`")
        if not (self.named() or self.quantities or self.attributes):
            raise ValueError("no field is named; name one, or remove `fields`")
        return self

    def named(self) -> dict[str, str]:
        """The fields of a request that are set."""
        texts = ((name, getattr(self, name)) for name in type(self).model_fields)
        return {name: value for name, value in texts if isinstance(value, str)}


class RouteName(CatalogRecord):
    """A name for the routes of a source's log that match a pattern. It is applied when a line is read."""

    logged: RoutePattern
    name: RouteText


class Own(CatalogRecord):
    """Which lines without a credential are the operator's own traffic, attributed to a partner of status `internal`.

    It covers either lines on some routes, or all lines. It never covers a line with a credential: a known credential
    decides the partner, and an unknown one is refused.
    """

    partner: Id
    routes: tuple[RoutePattern, ...] | None = Field(default=None, min_length=1)
    without_credential: bool = False

    @model_validator(mode="after")
    def _one_claim(self) -> "Own":
        if self.without_credential == (self.routes is not None):
            raise ValueError(
                "needs exactly one of `routes` (lines on these routes) and `without_credential: true` (all lines without a credential)"
            )
        return self


class Source(CatalogRecord):
    """The settings of a log source. A source without an entry may not tag, and has the default time limits.

    `partner` is the partner that owns the source. Its lines without credential or tag are that partner's, and lines
    that name another partner are refused.
    """

    id: str = Field(min_length=1, max_length=128)
    partner: Id | None = None
    may_tag: bool = False
    partner_field: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_.-]{1,64}$")
    fields: Fields | None = None
    key_is_partner: bool = False  # the keys of records in a topic name the partner, and must agree with the line
    released: tuple[EventId, ...] = ()  # ids of implausibly large events that may be billed
    event_types: tuple[EventType, ...] | None = Field(default=None, min_length=1)  # of usage events; None: all types
    max_age_days: int | None = Field(default=None, ge=1)
    max_future_minutes: int | None = Field(default=None, ge=0)
    # The source is paused above this share of entries refused for their form (schemas.reasons.FORM). 100: never.
    max_refused_percent: int = Field(default=50, ge=0, le=100)
    routes: tuple[RouteName, ...] = ()  # the first match names the route
    own: Own | None = None
    trust_user: bool = False  # its gateway checks every user that it logs, which its log format cannot show

    @model_validator(mode="after")
    def _one_owner(self) -> "Source":
        if self.partner and self.own:
            raise ValueError("lines without a credential would belong to two partners; remove `partner` or `own`")
        return self

    @model_validator(mode="after")
    def _one_partner_field(self) -> "Source":
        if self.partner_field and self.fields and self.fields.partner:
            raise ValueError("the partner's field is named twice; remove `partner_field`, or `partner` in `fields`")
        return self
