"""Checks between meters, and between a meter and the quotas that name it.

The records themselves do not check this: a close keeps its catalog for good, and that catalog must stay readable.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from schemas.catalog.meters.meter import Meter
from schemas.catalog.records import Catalog

Steps = tuple[str | int, ...]


class Property(NamedTuple):
    """A path in the data of events of one type, and the name under which ingest keeps its value."""

    event_type: str
    kind: str  # quantity | attribute
    name: str
    path: str


def properties(meter: Meter) -> Iterator[tuple[str, Property]]:
    """What ingest reads for a meter, with the field of the meter that says so: `value_property` or `group_by`."""
    for event_type in meter.filter.types or ():
        if meter.value_property is not None:
            kind = "attribute" if meter.quantity is None else "quantity"
            yield "value_property", Property(event_type, kind, meter.counted, meter.value_property)
        for name, path in meter.group_by.items():
            yield "group_by", Property(event_type, "attribute", name, path)


def problems(catalog: Catalog) -> Iterator[tuple[Steps, str]]:
    """Each problem with its path in the catalog."""
    yield from _two_paths(catalog.meters)
    yield from _quotas(catalog)


def _two_paths(meters: Iterable[Meter]) -> Iterator[tuple[Steps, str]]:
    """A name that two meters read from different places of the same events."""
    taken: dict[tuple[str, str, str], tuple[str, str]] = {}
    for i, meter in enumerate(meters):
        for field, found in properties(meter):
            key = found.event_type, found.kind, found.name
            path, other = taken.setdefault(key, (found.path, meter.id))
            if path != found.path:
                message = (
                    f"{found.kind} {found.name!r} of {found.event_type!r} is read from {path} for meter {other} and from {found.path} here; "
                    f"give one of the two another name"
                )
                yield ("meters", i, field), message


def _quotas(catalog: Catalog) -> Iterator[tuple[Steps, str]]:
    """Quotas on meters whose usage is not a running sum."""
    meters = {meter.id: meter for meter in catalog.meters}
    for i, plan in enumerate(catalog.plans):
        for j, quota in enumerate(plan.quotas):
            meter = meters.get(quota.meter)
            if meter is not None and not meter.is_additive:
                yield (
                    ("plans", i, "quotas", j, "meter"),
                    f"meter {meter.id} is the `{meter.aggregate}` of a period, which does not add up; use a meter with aggregate `count` or `sum`",
                )
            elif meter is not None and meter.is_measured:
                yield (
                    ("plans", i, "quotas", j, "meter"),
                    f"meter {meter.id} counts types, quantities or attributes of events, which quotas do not follow; use a meter of requests or of a field",
                )
