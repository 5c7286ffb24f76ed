"""Meters: requests, sums of their fields, and aggregates of the quantities that events carry.

An ordinary meter counts requests or adds up one of their fields, by method, route and status. A measured meter also
asks for what only some events carry: a type, quantities and attributes (docs/quantities.md).
"""

from collections.abc import Mapping
from decimal import Context, Decimal, Inexact
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from schemas.catalog.fields import CatalogRecord, EventType, Id, Note, Positive, PropertyName, Status, Text, one_line

# Three fifths of the digits used for money (schemas.money). The others are left for the quantity that is divided.
_UNITS = Context(prec=36, traps=[Inexact])
ITEMIZED_MAX = 10_000  # values of one attribute on an invoice

Aggregate = Literal["count", "sum", "min", "max", "unique", "latest"]
Property = Annotated[str, Field(pattern=r"^\$(\.[A-Za-z0-9_-]{1,64}){1,8}$")]  # a JSON path within `data`
Value = Annotated[str, Field(max_length=1000), AfterValidator(one_line)]  # of an attribute


class Filter(CatalogRecord):
    """Which requests a meter counts. An absent list allows everything; `exclude_status` is applied last.

    Methods are compared case-insensitively. Routes are patterns (schemas/catalog/routes.py). Of each attribute that is
    named, one of the values is required.
    """

    methods: tuple[str, ...] | None = Field(default=None, min_length=1)
    routes: tuple[str, ...] | None = Field(default=None, min_length=1)
    status: tuple[Status, ...] | None = Field(default=None, min_length=1)
    exclude_status: tuple[Status, ...] = ()
    types: tuple[EventType, ...] | None = Field(default=None, min_length=1)
    attributes: Mapping[PropertyName, Annotated[tuple[Value, ...], Field(min_length=1)]] = Field(
        default={}, max_length=16
    )

    @field_validator("attributes")
    @classmethod
    def _sorted(cls, attributes: Mapping[str, tuple[str, ...]]) -> Mapping[str, tuple[str, ...]]:
        """The canonical text of a catalog does not depend on the order in a file."""
        return dict(sorted(attributes.items()))

    def statuses(self) -> list[int]:
        """All statuses from 0 to 599 that the filter allows."""
        wanted = set(range(600)) if self.status is None else _expanded(self.status)
        return sorted(wanted - _expanded(self.exclude_status))


class Meter(CatalogRecord):
    """What is counted: requests, or an aggregate of one of their fields, quantities or attributes.

    Division by `divide_by` gives the quantity in `unit`. `value_property` and `group_by` are paths in the data of
    events of `filter.types`: ingest keeps what is there under the name of the quantity or attribute.
    """

    id: Id
    description: Note = ""
    aggregate: Aggregate
    field: Literal["request_bytes", "response_bytes", "latency_us"] | None = None
    quantity: PropertyName | None = None
    attribute: PropertyName | None = None
    unit: Text
    divide_by: Positive = Decimal(1)
    filter: Filter = Filter()
    billable: bool = True  # usage of a billable meter must have a rate; other meters serve quotas and analysis
    value_property: Property | None = None
    group_by: Mapping[PropertyName, Property] = Field(default={}, max_length=16)
    itemize_by: PropertyName | None = None
    itemize_max: int = Field(default=1000, ge=1, le=ITEMIZED_MAX)

    @field_validator("group_by")
    @classmethod
    def _sorted(cls, group_by: Mapping[str, str]) -> Mapping[str, str]:
        return dict(sorted(group_by.items()))

    @model_validator(mode="after")
    def _operand_fits(self) -> "Meter":
        given = {name for name in ("field", "quantity", "attribute") if getattr(self, name) is not None}
        if given not in _OPERANDS[self.aggregate]:
            raise ValueError(_NEEDS[self.aggregate])
        return self

    @model_validator(mode="after")
    def _divides_exactly(self) -> "Meter":
        try:
            _UNITS.divide(Decimal(1), self.divide_by)
        except Inexact:
            raise ValueError(
                f"dividing by {self.divide_by} is not exact within {_UNITS.prec} digits; use a product of powers of 2 and 5, up to 2^50"
            ) from None
        return self

    @model_validator(mode="after")
    def _properties_fit(self) -> "Meter":
        if (self.value_property or self.group_by) and self.filter.types is None:
            raise ValueError(
                "`value_property` and `group_by` are read from events of certain types; list the types in `filter.types`"
            )
        if self.value_property and self.quantity is None and self.attribute is None:
            raise ValueError(
                "`value_property` needs the name under which its value is kept; add `quantity`, or `attribute` for `unique`"
            )
        return self

    @model_validator(mode="after")
    def _itemizes_a_sum(self) -> "Meter":
        if self.itemize_by is not None and not self.is_additive:
            raise ValueError(
                f"`itemize_by` needs aggregate `count` or `sum`: the values of `{self.aggregate}` do not add up to that of the month; remove it"
            )
        return self

    @property
    def is_additive(self) -> bool:
        """Whether the usage of two times adds up to that of both. It does for counts and sums."""
        return self.aggregate in {"count", "sum"}

    @property
    def is_measured(self) -> bool:
        """Whether the usage is computed from single events, and not from the sums in table `rollups`."""
        asked = (self.quantity, self.attribute, self.filter.types, self.itemize_by)
        return any(part is not None for part in asked) or bool(self.filter.attributes)

    def properties(self) -> list[tuple[str, str, str]]:
        """What is read from the data of its events: kind (quantity or attribute), name and path of each."""
        kind = "attribute" if self.quantity is None else "quantity"
        value = [(kind, self.counted, self.value_property)] if self.value_property else []
        return value + [("attribute", name, path) for name, path in self.group_by.items()]

    @property
    def counted(self) -> str:
        """What the aggregate is taken of: `requests`, or the name of a field, quantity or attribute."""
        return self.field or self.quantity or self.attribute or "requests"


_OPERANDS: Mapping[Aggregate, tuple[set[str], ...]] = {
    "count": (set(),),
    "sum": ({"field"}, {"quantity"}),
    "min": ({"quantity"},),
    "max": ({"quantity"},),
    "latest": ({"quantity"},),
    "unique": ({"attribute"},),
}
_NEEDS: Mapping[Aggregate, str] = {
    "count": "aggregate `count` counts events; remove `field`, `quantity` and `attribute`",
    "sum": "aggregate `sum` needs a `field` or a `quantity`, and only one of them",
    "min": "aggregate `min` needs a `quantity` alone",
    "max": "aggregate `max` needs a `quantity` alone",
    "latest": "aggregate `latest` needs a `quantity` alone",
    "unique": "aggregate `unique` needs an `attribute` alone, whose different values it counts",
}


def _expanded(statuses: tuple[str, ...]) -> set[int]:
    codes: set[int] = set()
    for s in statuses:
        codes |= set(range(int(s[0]) * 100, int(s[0]) * 100 + 100)) if s.endswith("xx") else {int(s)}
    return codes
