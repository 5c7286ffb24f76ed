"""The lake as DuckDB views over pinned table versions, and the usage of meters. SQL sums usage and never divides it.

Alerts, usage tables, notebooks and invoices all use this module, so that they show the same number.
"""

import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NamedTuple

import duckdb
import pyarrow as pa

from billing.periods import quota_periods
from billing.usage import measured
from billing.usage.calls import CALLS, counted_calls
from billing.usage.measured import ByValue
from billing.usage.pieces import instants, pieces
from lake import duck
from lake.lake import Lake
from schemas import tables
from schemas.catalog.meters.meter import Meter
from schemas.catalog.records import Catalog
from schemas.grants import Grants, grants_of
from schemas.tables import EVENTS, TIME, WITHDRAWN, TableShape
from schemas.zones import local_days

_SPANS = pa.schema(
    [
        ("span", pa.int64()),
        ("partner_id", pa.string()),
        ("meter", pa.string()),
        ("span_start", TIME),
        ("span_end", TIME),
    ]
)
_NOTHING = Decimal(0)
_NO_USAGE = hashlib.sha256().hexdigest()
_CALENDARS = pa.schema([("span", pa.int64()), ("calendar", pa.int64())])
_PERIODS = pa.schema([("calendar", pa.int64()), ("period_start", TIME), ("period_end", TIME)])
_DAYS = pa.schema([("time_zone", pa.string()), ("day", pa.date32()), ("day_start", TIME)])
_STATUSES = pa.schema([("meter", pa.string()), ("status", pa.int16())])
_FILTERED = pa.schema([("meter", pa.string())])
_LEVELS = pa.schema([("wanted", pa.int64()), *(f for f in _SPANS if f.name != "span"), ("level", pa.decimal128(38, 9))])


class Span(NamedTuple):
    """A meter of a partner in [start, end). Both instants are multiples of a quarter of an hour."""

    partner_id: str
    meter: str
    start: datetime
    end: datetime


class Calendar(NamedTuple):
    """The quota periods that divide a span: DAY, WEEK or MONTH in a time zone."""

    kind: str
    zone: str


class Meters:
    """A DuckDB connection that computes the usage of meters from the relation `rollups`, which the owner defines."""

    def __init__(self, *, apart: bool = False) -> None:
        """`apart`: in a database of its own, whose settings may be changed, and which takes a while to open."""
        self.con = duck.database() if apart else duck.connect(None)

    def query(self, name: str, params: Mapping[str, Any] | None = None) -> pa.Table:
        """The result of billing/sql/<name>.sql. Raises lake.errors.Damaged if a file of the lake cannot be read."""
        return self.ask(statement(name), params)

    def ask(self, sql: str, params: Mapping[str, Any] | None = None) -> pa.Table:
        """The result of the statement `sql`. Raises the same errors as `query`."""
        return duck.ask(self.con, sql, params)

    def define_metered(self, catalog: Catalog, spans: Sequence[Span]) -> None:
        """Creates the view `metered` (billing/sql/metered.sql) with the usage of these spans by window and key.

        It has no row of a measured meter.
        """
        self._define_meters(_meters_of(catalog, spans), self._calls)
        self._register_spans(spans)
        self._define_sums(self.con.table("rollups"))

    def usage(self, catalog: Catalog, spans: Sequence[Span]) -> list[Decimal]:
        """The usage of each span in the unit of its meter's field: requests, bytes, microseconds, or of a quantity."""
        self._define_summed(catalog, spans)
        found = self.query("by_span")
        used = dict(zip(found["span"].to_pylist(), found["quantity"].to_pylist(), strict=True))
        used |= measured.usage(self, catalog, spans)
        return [used.get(i, _NOTHING) for i in range(len(spans))]

    def usage_by_route(self, catalog: Catalog, spans: Sequence[Span]) -> list[list[tuple[str | None, Decimal]]]:
        """The usage of each span by route, the largest first. The route is None if the log had none."""
        self._define_summed(catalog, spans, routes=True)
        found: list[list[tuple[str | None, Decimal]]] = [[] for _ in spans]
        for row in self.query("by_span_and_route").to_pylist():
            found[row["span"]].append((row["route"], row["quantity"]))
        for span, rows in measured.by_route(self, catalog, spans).items():
            found[span] += rows
        return found

    def prepare_measured(self, meters: Sequence[Meter], spans: Sequence[Span]) -> None:
        """Defines what billing/sql/measured.sql needs of the lake, of these meters and of spans."""
        self.define_events()
        self._define_meters(meters, self._calls)
        self._register_spans(spans)

    def define_events(self) -> None:
        """Defines the relation `events`, which measured meters read. Sums of rollups alone have no single event."""
        self.con.register(EVENTS.name, EVENTS.schema.empty_table())

    def touched(self, spans: Sequence[Span]) -> list[int]:
        """The indexes of the spans with at least one rollup, whatever the meters."""
        self._register_spans(spans)
        return [row["span"] for row in self.query("touched").to_pylist()]

    def by_quota_period(self, catalog: Catalog, spans: Sequence[tuple[Span, Calendar]]) -> pa.Table:
        """The usage of each span by quota period and partition of `usage.events` (billing/sql/by_quota_period.sql).

        The column `span` is the index of the span in `spans`.
        """
        self.define_metered(catalog, [span for span, _ in spans])
        calendars = {calendar: i for i, calendar in enumerate(dict.fromkeys(calendar for _, calendar in spans))}
        rows = [{"span": i, "calendar": calendars[calendar]} for i, (_, calendar) in enumerate(spans)]
        self.con.register("calendars", duck.table_of(rows, _CALENDARS))
        (extent,) = self.query("extent").to_pylist()
        periods = [
            {"calendar": i, "period_start": period.start, "period_end": period.end}
            for calendar, i in calendars.items()
            if extent["first_window"] is not None
            for period in quota_periods(calendar.kind, extent["first_window"], extent["last_window"], calendar.zone)
        ]
        self.con.register("quota_periods", pa.Table.from_pylist(periods, _PERIODS))
        return self.query("by_quota_period")

    def _define_summed(self, catalog: Catalog, spans: Sequence[Span], *, routes: bool = False) -> None:
        """Creates the view `metered` with the same sums by span in fewer rows, without windows and most of the key.

        `routes`: methods and routes are kept although no meter filters by them.
        """
        meters = _meters_of(catalog, spans)
        self._define_meters(meters, self._calls)
        self._register_spans(spans)
        self.con.register("pieces", pieces(bound for span in spans for bound in (span.start, span.end)))
        wanted = {
            "fields": sorted({_field(meter) for meter in meters}),
            "calls": routes or any(_filters_calls(meter) for meter in meters),
        }
        self._define_sums(self.con.sql(statement("pieces_summed"), params=wanted))

    def _define_sums(self, sums: duckdb.DuckDBPyRelation) -> None:
        self.con.register("sums", sums)
        self.con.register("metered", self.con.sql(statement("metered")))

    def _calls(self) -> pa.Table:
        """The distinct methods and routes of the usage (billing/sql/calls.sql)."""
        return self.query("calls")

    def _define_meters(self, meters: Sequence[Meter], calls: Callable[[], pa.Table]) -> None:
        """Registers the relations that metered.sql needs for `meters`.

        Calls `calls` only if a meter filters by method or route.

        Patterns are compared with the few distinct routes, and usage is joined with the routes that match.
        """
        fields = [{"meter": m.id, "field": _field(m)} for m in meters]
        self.con.register(
            "meters", pa.Table.from_pylist(fields, pa.schema([("meter", pa.string()), ("field", pa.string())]))
        )
        statuses = [{"meter": m.id, "status": status} for m in meters for status in m.filter.statuses()]
        self.con.register("meter_status", pa.Table.from_pylist(statuses, _STATUSES))
        filtered = [m for m in meters if _filters_calls(m)]
        self.con.register("meter_filtered", pa.Table.from_pylist([{"meter": m.id} for m in filtered], _FILTERED))
        self.con.register("meter_call", counted_calls(filtered, calls()) if filtered else CALLS.empty_table())

    def _register_spans(self, spans: Sequence[Span]) -> None:
        columns = [
            pa.array(range(len(spans))),
            duck.column_of([s.partner_id for s in spans], pa.string()),
            duck.column_of([s.meter for s in spans], pa.string()),
            instants([s.start for s in spans]),
            instants([s.end for s in spans]),
        ]
        self.con.register("spans", pa.table(columns, schema=_SPANS))


class Warehouse(Meters):
    """The lake at pinned table versions, with one view per table.

    `events` holds the events that count, `landed` all of them.
    """

    def __init__(
        self,
        lake: Lake,
        versions: Mapping[str, int] | None = None,
        *,
        only: Collection[str] = tuple(tables.KEPT),
        apart: bool = False,
    ) -> None:
        """`versions` maps table names to versions. Other tables are pinned at their newest version.

        `only` lists the tables to open. `apart` gives it a database of its own.

        Versions with `events` and without `withdrawn` predate the table `withdrawn`, so nothing counts as withdrawn.
        """
        super().__init__(apart=apart)
        self.lake = lake
        self.versions: dict[str, int] = {}
        self._has_events = False
        given = self._given = dict(versions or {})
        if EVENTS.name in given:
            given.setdefault(WITHDRAWN.name, 0)
        for name in only:
            self._pin(tables.ALL[name], given.get(name))
        if EVENTS.name in only:
            self._define_counted()

    def define_events(self) -> None:
        """Defines the relation `events` at the given versions, if it was not among the opened tables."""
        if not self._has_events:
            self._pin(EVENTS, self._given.get(EVENTS.name))
            self._define_counted()

    def _define_counted(self) -> None:
        if WITHDRAWN.name not in self.versions:
            self._pin(WITHDRAWN, self._given.get(WITHDRAWN.name))
        some = self.ask(f"SELECT 1 FROM {WITHDRAWN.name} LIMIT 1").num_rows
        counted = self.con.sql(duck.counted_statement()) if some else self.con.table("landed")
        self.con.register(EVENTS.name, counted)
        self._has_events = True

    def _pin(self, shape: TableShape, version: int | None) -> None:
        view = "landed" if shape == EVENTS else shape.name
        if self.lake.lacks(shape):
            self.con.register(view, shape.schema.empty_table())
            return
        table = self.lake.open(shape, version)
        self.versions[shape.name] = table.version
        duck.scan(self.con, view, table.files(), shape, mixed=table.is_mixed)

    def grants(self) -> Grants:
        """The grants of the lake, which must be among the opened tables."""
        return grants_of(self.query("grants").to_pylist())

    def usage_by_window(self, catalog: Catalog, spans: Sequence[Span]) -> pa.Table:
        """Columns span (the index in `spans`), window_start and quantity, ordered by the first two."""
        self.define_metered(catalog, spans)
        return self.query("by_window")

    def usage_by_day_and_route(self, catalog: Catalog, spans: Sequence[Span], zone: str) -> pa.Table:
        """Columns day (a local date), route, meter and quantity, ordered as in billing/sql/by_day_and_route.sql."""
        self.define_metered(catalog, spans)
        self.con.register("days", self.local_days([zone]).select(["day", "day_start"]))
        return self.query("by_day_and_route")

    def local_days(self, zones: Iterable[str]) -> pa.Table:
        """Columns time_zone, day and day_start (the first instant).

        Covers each zone's local days from the first to the last window.
        """
        (extent,) = self.query("extent").to_pylist()
        first, last = extent["first_window"], extent["last_window"]
        rows = [
            {"time_zone": zone, "day": day, "day_start": start}
            for zone in zones
            if first is not None
            for day, start in local_days(first, last, zone)
        ]
        return pa.Table.from_pylist(rows, _DAYS)

    def crossing(self, catalog: Catalog, span: Span, level: Decimal) -> datetime | None:
        """The event time at which the running sum of a span reaches `level` (in the field's unit), or None."""
        return self.crossings(catalog, [(span, level)])[0]

    def crossings(self, catalog: Catalog, wanted: Sequence[tuple[Span, Decimal]]) -> list[datetime | None]:
        """The event time at which the running sum of each span reaches its level (in the field's unit), or None.

        The query reads and sorts every event of the spans, so pass short spans, such as windows.
        """
        if not wanted:
            return []
        rows = [
            {"wanted": i, "partner_id": s.partner_id, "meter": s.meter, "span_start": s.start, "span_end": s.end, "level": level}
            for i, (s, level) in enumerate(wanted)
        ]  # fmt: skip
        self.con.register("levels", pa.Table.from_pylist(rows, _LEVELS))
        first, last = min(s.start for s, _ in wanted), max(s.end for s, _ in wanted)
        days = {"first_day": first.astimezone(UTC).date(), "last_day": last.astimezone(UTC).date()}
        meters = [catalog.meter(m) for m in sorted({s.meter for s, _ in wanted})]
        self._define_meters(meters, lambda: self.query("calls_wanted", days))
        found = {row["wanted"]: row["occurred_at"] for row in self.query("crossing", days).to_pylist()}
        return [found.get(i) for i in range(len(wanted))]

    def used(self, spans: Sequence[Span]) -> list[dict[str, Any]]:
        """Partners with usage in their span, whatever the meters: partner_id, requests, response_bytes, last_window."""
        self._register_spans(spans)
        return duck.rows(self.query("used"))

    def usage_sha256(self, spans: Sequence[tuple[str, datetime, datetime]]) -> dict[str, str]:
        """The hash of each partner's rollups in [start, end), summed by key, by partner id.

        It pins the usage of a bill.

        Pass one span per partner.
        """
        self._register_spans([Span(partner_id, "", start, end) for partner_id, start, end in spans])
        found = {row["partner_id"]: row["sha256"] for row in self.query("usage_hashes").to_pylist()}
        return {partner_id: found.get(partner_id, _NO_USAGE) for partner_id, _, _ in spans}

    def usage_of(self, catalog: Catalog) -> "CatalogUsage":
        """The usage of the catalog's meters."""
        return CatalogUsage(self, catalog)


class CatalogUsage(NamedTuple):
    """The usage of a lake by the meters of one catalog, as `billing.rating.bills` needs it."""

    warehouse: Warehouse
    catalog: Catalog

    def of_spans(self, spans: Sequence[Span]) -> list[Decimal]:
        """The usage of each span, in the unit of its meter's field. 0 if there is none."""
        return self.warehouse.usage(self.catalog, spans) if spans else []

    def by_route(self, spans: Sequence[Span]) -> list[list[tuple[str | None, Decimal]]]:
        """The usage of each span by route, the largest first."""
        return self.warehouse.usage_by_route(self.catalog, spans) if spans else []

    def by_value(self, spans: Sequence[Span]) -> list[ByValue]:
        """The usage of each span by the values of its meter's `itemize_by`, at most `itemize_max` of them."""
        return measured.by_value(self.warehouse, self.catalog, spans) if spans else []

    def sha256(self, spans: Sequence[tuple[str, datetime, datetime]]) -> dict[str, str]:
        """The hash of what the meters may count of each partner in its span, by partner id. It pins a bill."""
        hashes = self.warehouse.usage_sha256(spans)
        if any(meter.is_measured for meter in self.catalog.meters):
            whole = [Span(partner_id, "", start, end) for partner_id, start, end in spans]
            return measured.with_events(self.warehouse, hashes, whole)
        return hashes


class UsageUntil(NamedTuple):
    """The usage of each partner up to an instant."""

    usage: CatalogUsage
    ends: Mapping[str, datetime]

    def of_spans(self, spans: Sequence[Span]) -> list[Decimal]:
        """The usage of each span, in the unit of its meter's field."""
        ends = [max(span.start, min(span.end, self.ends[span.partner_id])) for span in spans]
        return self.usage.of_spans([span._replace(end=end) for span, end in zip(spans, ends, strict=True)])


def _meters_of(catalog: Catalog, spans: Iterable[Span]) -> list[Meter]:
    """The meters of spans that are summed from rollups."""
    meters = (catalog.meter(meter) for meter in sorted({span.meter for span in spans}))
    return [meter for meter in meters if not meter.is_measured]


def _field(meter: Meter) -> str:
    return meter.field or "requests"


def _filters_calls(meter: Meter) -> bool:
    return meter.filter.methods is not None or meter.filter.routes is not None


def statement(name: str) -> str:
    """The text of billing/sql/<name>.sql."""
    return duck.statement("billing.sql", name)
