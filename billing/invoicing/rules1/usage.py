"""What meters count and what usage hashes to, as rules 1 had it: methods and routes are compared letter by letter."""

import hashlib
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

import pyarrow as pa

from billing.usage.warehouse import Meters, Span
from lake import duck
from schemas.catalog.records import Catalog
from schemas.tables import TIME

_SPANS = pa.schema(
    [
        ("span", pa.int64()),
        ("partner_id", pa.string()),
        ("meter", pa.string()),
        ("span_start", TIME),
        ("span_end", TIME),
    ]
)
_FILTERS = {"method": pa.string(), "route": pa.string(), "status": pa.int16()}


def counted(house: Meters, catalog: Catalog, spans: Sequence[Span]) -> list[Decimal]:
    """What each span's meter counted, in its field's own unit; 0 where nothing."""
    _register(house, catalog, spans)
    house.con.register("metered", house.con.sql(_statement("metered")))
    rows = house.ask(_statement("by_span")).to_pylist()
    found = {row["span"]: row["quantity"] for row in rows}
    return [found.get(i, Decimal(0)) for i in range(len(spans))]


def sha256(house: Meters, partner_id: str, start: datetime, end: datetime) -> str:
    """The hash of a partner's rollups between two instants, summed by key."""
    params = {"partner_id": partner_id, "start": start, "end": end}
    rows = duck.rows(house.ask(_statement("usage_rows"), params))
    return hashlib.sha256("\n".join(map(repr, rows)).encode()).hexdigest()


def _register(house: Meters, catalog: Catalog, spans: Sequence[Span]) -> None:
    meters = [catalog.meter(m) for m in sorted({s.meter for s in spans})]
    fields = [{"meter": m.id, "field": m.field or "requests"} for m in meters]
    names = pa.schema([("meter", pa.string()), ("field", pa.string())])
    house.con.register("meters", pa.Table.from_pylist(fields, names))
    allowed: dict[str, list[tuple[str, object]]] = {
        "status": [(m.id, status) for m in meters for status in m.filter.statuses()],
        "method": [(m.id, method) for m in meters for method in m.filter.methods or ()],
        "route": [(m.id, route) for m in meters for route in m.filter.routes or ()],
    }
    for name, pairs in allowed.items():
        schema = pa.schema([("meter", pa.string()), (name, _FILTERS[name])])
        rows = [{"meter": meter, name: value} for meter, value in pairs]
        house.con.register(f"meter_{name}", pa.Table.from_pylist(rows, schema))
    bounds = [
        {"span": i, "partner_id": s.partner_id, "meter": s.meter, "span_start": s.start, "span_end": s.end}
        for i, s in enumerate(spans)
    ]
    house.con.register("spans", pa.Table.from_pylist(bounds, _SPANS))


def _statement(name: str) -> str:
    return duck.statement("billing.invoicing.rules1.sql", name)
