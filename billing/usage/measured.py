"""The usage of measured meters, which single events of the lake have: by SQL, with exact numbers.

A sum comes from SQL in three parts, because 38 digits and 12 decimals do not fit in one number of DuckDB, and because
no sum of parts can overflow.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa

from lake import duck
from schemas.catalog.meters.meter import Aggregate, Meter
from schemas.catalog.records import Catalog
from schemas.money import EXACT

if TYPE_CHECKING:
    from billing.usage.warehouse import Meters, Span

# The statement that gives the usage of each aggregate.
_STATEMENTS: Mapping[str, frozenset[Aggregate]] = {
    "measured_sums": frozenset({"count", "sum"}),
    "measured_extremes": frozenset({"min", "max", "latest"}),
    "measured_unique": frozenset({"unique"}),
}
_LISTED = pa.schema([("span", pa.int64()), ("itemize_max", pa.int64())])
_HIGH_DIGITS = 19  # of 38, as in billing/sql/measured_sums.sql
_DECIMALS = 12
_INSTANT = timedelta(microseconds=1)
_ASKED = pa.struct([("name", pa.string()), ("values", pa.list_(pa.string()))])
_METERS = pa.schema(
    [
        ("meter", pa.string()),
        ("counted", pa.string()),
        ("name", pa.string()),
        ("types", pa.list_(pa.string())),
        ("attributes", pa.list_(_ASKED)),
        ("itemize_by", pa.string()),
    ]
)


Rows = tuple[tuple[str | None, Decimal], ...]  # the usage of each route or value


class UnlistedValues(NamedTuple):
    """The sum of the values that are not listed, and how many they are."""

    values: int
    quantity: Decimal


class ByValue(NamedTuple):
    """Usage by the values of an attribute, the largest first. The name is None for events without the attribute.

    `others` is None if all values are listed.
    """

    rows: Rows
    others: UnlistedValues | None


NOTHING = ByValue((), None)


def usage(house: "Meters", catalog: Catalog, spans: "Sequence[Span]") -> dict[int, Decimal]:
    """The usage of the spans of measured meters, by their index in `spans`. Spans without events are left out."""
    found: dict[int, Decimal] = {}
    for name, aggregates in _STATEMENTS.items():
        if meters := _meters_of(catalog, spans, aggregates):
            _define(house, meters, spans)
            kinds = {i: catalog.meter(span.meter).aggregate for i, span in enumerate(spans)}
            found |= {row["span"]: _value(row, kinds[row["span"]]) for row in house.query(name).to_pylist()}
    return found


def by_route(house: "Meters", catalog: Catalog, spans: "Sequence[Span]") -> dict[int, Rows]:
    """The usage of the spans of measured counts and sums by route, the largest first, by their index in `spans`."""
    meters = _meters_of(catalog, spans, _STATEMENTS["measured_sums"])
    if not meters:
        return {}
    _define(house, meters, spans)
    found: dict[int, list[tuple[str | None, Decimal]]] = {}
    for row in house.query("measured_by_route").to_pylist():
        found.setdefault(row["span"], []).append((row["name"], _total(row)))
    return {span: _largest_first(rows) for span, rows in found.items()}


def by_value(house: "Meters", catalog: Catalog, spans: "Sequence[Span]") -> list[ByValue]:
    """The usage of each span by the values of its meter's `itemize_by`, at most `itemize_max` of them."""
    meters = [meter for meter in _meters_of(catalog, spans, _STATEMENTS["measured_sums"]) if meter.itemize_by]
    found = [NOTHING] * len(spans)
    if not meters:
        return found
    _define(house, meters, spans)
    limits = [{"span": i, "itemize_max": catalog.meter(span.meter).itemize_max} for i, span in enumerate(spans)]
    house.con.register("listed_spans", duck.table_of(limits, _LISTED))
    for row in house.query("measured_by_value").to_pylist():
        before = found[row["span"]]
        if row["is_rest"]:
            found[row["span"]] = before._replace(others=UnlistedValues(row["values"], _total(row)))
        else:
            found[row["span"]] = before._replace(rows=(*before.rows, (row["name"], _total(row))))
    return [each._replace(rows=_largest_first(each.rows)) for each in found]


def with_events(house: "Meters", hashes: Mapping[str, str], spans: "Sequence[Span]") -> dict[str, str]:
    """The hashes of usage by partner id, which then also cover the events with types, quantities and attributes.

    `spans` has one of each partner. The hash of a partner without such events stays.
    """
    by_day: dict[str, list[str]] = {}
    if spans:
        house.prepare_measured((), spans)
        first, last = _utc_days(spans)
        for day in (first + timedelta(days=n) for n in range((last - first).days + 1)):
            for row in house.query("measured_hashes", {"day": day}).to_pylist():
                by_day.setdefault(row["partner_id"], []).append(f"{day} {row['sha256']}")
    more = {partner_id: "\n".join([hashes[partner_id], *days]) for partner_id, days in by_day.items()}
    return {**hashes, **{partner_id: hashlib.sha256(text.encode()).hexdigest() for partner_id, text in more.items()}}


def _meters_of(catalog: Catalog, spans: "Sequence[Span]", aggregates: frozenset[Aggregate]) -> list[Meter]:
    """The measured meters of spans with one of these aggregates."""
    meters = (catalog.meter(meter) for meter in sorted({span.meter for span in spans}))
    return [meter for meter in meters if meter.is_measured and meter.aggregate in aggregates]


def _define(house: "Meters", meters: Sequence[Meter], spans: "Sequence[Span]") -> None:
    """Creates the view `measured` (billing/sql/measured.sql) with the events of the spans of these meters."""
    house.prepare_measured(meters, spans)
    house.con.register("measured_meters", _relation(meters))
    first, last = _utc_days(spans)
    days = {"first_day": first, "last_day": last}
    house.con.register("measured", house.con.sql(duck.statement("billing.sql", "measured"), params=days))


def _utc_days(spans: "Sequence[Span]") -> tuple[date, date]:
    """The first and the last UTC day of spans."""
    first, end = min(span.start for span in spans), max(span.end for span in spans)
    return first.astimezone(UTC).date(), max(first, end - _INSTANT).astimezone(UTC).date()


def _relation(meters: Iterable[Meter]) -> pa.Table:
    """The relation `measured_meters` of billing/sql/measured.sql."""
    rows = [
        {
            "meter": meter.id,
            "counted": _kind(meter),
            "name": _pointer(meter.quantity or meter.attribute),
            "types": meter.filter.types,
            "attributes": [{"name": _pointer(n), "values": values} for n, values in meter.filter.attributes.items()],
            "itemize_by": _pointer(meter.itemize_by),
        }
        for meter in meters
    ]
    return pa.Table.from_pylist(rows, _METERS)


def _kind(meter: Meter) -> str:
    if meter.quantity is not None:
        return "quantity"
    return "attribute" if meter.attribute is not None else meter.counted


def _pointer(name: str | None) -> str | None:
    """A name as a JSON pointer, in which its dots are part of it. Names have no characters to escape."""
    return None if name is None else f"/{name}"


def _value(row: Mapping[str, Any], aggregate: Aggregate) -> Decimal:
    return _total(row) if "high" in row else Decimal(row[aggregate])


def _total(row: Mapping[str, Any]) -> Decimal:
    """The sum whose parts a row has. Raises decimal.Inexact beyond 60 digits."""
    whole = EXACT.add(EXACT.scaleb(row["high"], _HIGH_DIGITS), row["middle"])
    return EXACT.add(whole, EXACT.scaleb(row["low"], -_DECIMALS))


def _largest_first(rows: Iterable[tuple[str | None, Decimal]]) -> Rows:
    return tuple(sorted(rows, key=lambda row: (-row[1], row[0] is None, row[0] or "")))
