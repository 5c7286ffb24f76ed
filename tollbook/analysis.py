"""The lake for analysis: SQL over pinned versions, and pandas frames with exact decimals. See docs/analysis.md.

The connection is read-only and can open only the files of the pinned versions, so an analysis sees one state of the
lake while others write. Usage comes from the same SQL as invoices, so its figures are those of the invoice.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal, localcontext
from pathlib import Path
from typing import NamedTuple

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from aggregate.engine import EVER
from aggregate.quota.rule import AlertRule, projection, time_held
from billing.catalog import loading as catalogs
from billing.invoicing import closing
from billing.periods import quota_period
from billing.usage import quota_statement
from billing.usage.warehouse import Span, Warehouse
from lake import duck
from lake.lake import Lake
from schemas import tables
from schemas.catalog.records import Catalog, Partner, Quota
from schemas.money import EXACT

_INT64_DIGITS = 18
_NARROW_DIGITS = 18
_US = timedelta(microseconds=1)


class NotAnalysis(Exception):
    """The query does not only read, or it names something unknown. The message says what to write instead."""


class BurnDown(NamedTuple):
    """The state of a quota at an instant. Quantities are in the meter's unit, times are UTC.

    windows: columns used_until and used, for the whole period as far as the lake has it, also after `as_of`.
    ahead: two rows with the same columns, from the usage at `as_of` to its projection at the average rate so far.
    """

    rule: AlertRule
    used: Decimal
    seen_until: datetime
    exhausted_at: datetime | None  # projected; None: already used up, or not before the period ends
    windows: pd.DataFrame
    ahead: pd.DataFrame


class Analysis:
    """A lake at pinned versions, queried with `frame`. docs/analysis.md lists the views."""

    def __init__(self, house: Warehouse, catalog: Catalog) -> None:
        """Define the views, then lock the database, so that it can open no other file and change no setting.

        `house` must be apart: a database that is shared would be locked for all.
        """
        self.catalog = catalog
        self.versions: Mapping[str, int] = dict(house.versions)
        self._lake = house.lake
        self._house = house
        self._con = house.con
        house.define_metered(
            catalog, [Span(p.id, m.id, EVER["start"], EVER["end"]) for p in catalog.partners for m in catalog.meters]
        )
        self._con.register("partners", _partners(catalog))
        self._con.register("units", _units(catalog))
        self._con.register("local_days", house.local_days(sorted({p.time_zone for p in catalog.partners})))
        for view in ("usage", "traffic", "metered_events", "invoice_lines"):
            self._con.sql(_sql(view)).create_view(view)
        pinned = [(shape, self.versions[name]) for name, shape in tables.KEPT.items() if name in self.versions]
        files = [file for shape, version in pinned for file in house.lake.files(shape, version)]
        quoted = ", ".join("'" + file.replace("'", "''") + "'" for file in files)
        self._con.execute(f"SET allowed_paths = [{quoted}]")
        self._con.execute("SET enable_external_access = false")
        self._con.execute("SET lock_configuration = true")

    def frame(self, sql: str, **params: object) -> pd.DataFrame:
        """The result of one SELECT, with `$name` bound to `name=…`. Columns are Arrow-backed.

        Whole numbers are int64, and decimals have the narrowest decimal128 that fits, as pandas cannot calculate with
        38 digits. Nothing is rounded. Raises NotAnalysis unless the text is one SELECT, and duckdb.Error.
        """
        found = [statement.type for statement in self._con.extract_statements(sql)]
        if found != [duckdb.StatementType.SELECT]:
            raise NotAnalysis(
                "an analysis must be one SELECT, which changes nothing; to export, use to_csv of the frame"
            )
        return _frame(self._house.ask(sql, params))

    def as_invoiced(self, number: str) -> "Analysis":
        """The lake and the catalog at the close of this invoice's month: the input of the invoice."""
        found = self.frame("SELECT close_id FROM invoices WHERE number = $number", number=number)
        if found.empty:
            known = ", ".join(self.frame("SELECT number FROM invoices ORDER BY number")["number"]) or "none"
            raise NotAnalysis(f"no invoice {number!r} in {self._lake}; known invoices: {known}")
        made = closing.close_by_id(self._lake, found["close_id"].iloc[0])
        return Analysis(Warehouse(self._lake, closing.pinned_versions(made), apart=True), made.catalog())

    def burn_down(self, partner_id: str, meter: str, as_of: datetime) -> BurnDown:
        """The state of a partner's quota of a meter at `as_of`, by the rule of alerts.

        Raises NotAnalysis without a quota.
        """
        partner = self.catalog.partner(partner_id)
        if partner is None:
            raise NotAnalysis(f"no partner {partner_id!r}; known ids: {', '.join(p.id for p in self.catalog.partners)}")
        plan, quota = self._quota(partner, meter, as_of)
        period = quota_period(quota.period, as_of, partner.time_zone)
        (promise,) = (
            p
            for p in quota_statement.partner_quotas(self.catalog, [partner])
            if (p.plan, p.quota.meter, p.quota.period) == (plan, meter, quota.period)
        )
        held = promise.held_in(period)
        limit = promise.limit_in(period, self._house.grants(), now=as_of).limit
        rule = AlertRule(partner_id, meter, plan, quota.period, *period, limit, quota.thresholds, None, held)
        starts, ends = [list(times) for times in zip(*held, strict=True)]
        windows = self.frame(_sql("burn_down"), partner_id=partner_id, meter=meter, starts=starts, ends=ends)
        seen = windows[windows["used_until"] <= as_of]
        if seen.empty:
            raise NotAnalysis(
                f"{partner_id} has no usage of {meter} between {period.start:%Y-%m-%dT%H:%MZ} and {as_of}"
            )
        used, seen_until = Decimal(seen["used"].iloc[-1]), seen["used_until"].iloc[-1].to_pydatetime()
        exhausted = projection(rule, used, seen_until)
        return BurnDown(rule, used, seen_until, exhausted, windows, _ahead(rule, used, seen_until, exhausted))

    def _quota(self, partner: Partner, meter: str, as_of: datetime) -> tuple[str, Quota]:
        for assigned in partner.plans:
            if partner.instant(assigned.valid_from) <= as_of and (
                assigned.valid_to is None or as_of < partner.instant(assigned.valid_to)
            ):
                for quota in self.catalog.plan(assigned.plan).quotas:
                    if quota.meter == meter:
                        return assigned.plan, quota
        raise NotAnalysis(f"{partner.id} has no quota of {meter!r} at {as_of}; add one to its plan in the catalog")


def open_lake(path: Path | str, catalog: Path | str) -> Analysis:
    """The newest state of the lake at `path`, with the catalog in folder `catalog`.

    Raises lake.errors.LakeError if there is no lake, and billing.catalog.loading.CatalogError if the catalog is
    invalid.
    """
    return Analysis(Warehouse(Lake(Path(path)), apart=True), catalogs.load(Path(catalog)))


def _ahead(rule: AlertRule, used: Decimal, seen_until: datetime, exhausted: datetime | None) -> pd.DataFrame:
    """The linear projection: to the limit if it will be reached, otherwise to the end of the period or plan."""
    until, then = exhausted or rule.held[-1][1], rule.limit
    if exhausted is None:
        whole, passed = time_held(rule, until), time_held(rule, seen_until)
        with localcontext(prec=60):
            then = (used * (whole // _US) / (passed // _US)).quantize(used)  # only for display
    return _frame(pa.table({"used_until": pa.array([seen_until, until], tables.TIME), "used": pa.array([used, then])}))


def _partners(catalog: Catalog) -> pa.Table:
    names = ("partner_id", "name", "time_zone", "status")
    rows = [dict(zip(names, (p.id, p.name, p.time_zone, p.status), strict=True)) for p in catalog.partners]
    return pa.Table.from_pylist(rows, pa.schema([(name, pa.string()) for name in names]))


def _units(catalog: Catalog) -> pa.Table:
    """Each meter's unit, and the factor from the log's own unit: 1 byte = 0.000000001 GB."""
    factors = [EXACT.divide(Decimal(1), meter.divide_by) for meter in catalog.meters]
    scale = max((-int(f.as_tuple().exponent) for f in factors), default=0)
    return pa.table(
        {
            "meter": pa.array([m.id for m in catalog.meters], pa.string()),
            "unit": pa.array([m.unit for m in catalog.meters], pa.string()),
            "billable": pa.array([m.billable for m in catalog.meters], pa.bool_()),
            "per_unit": pa.array(factors, pa.decimal128(38, max(scale, 0))),
        }
    )


def _frame(rows: pa.Table) -> pd.DataFrame:
    frame: pd.DataFrame = _narrowed(rows).to_pandas(types_mapper=pd.ArrowDtype)
    return frame


def _narrowed(rows: pa.Table) -> pa.Table:
    """Decimals in the narrowest type for their values: int64 for scale 0, otherwise decimal128 with few digits."""
    for i, field in enumerate(rows.schema):
        if not pa.types.is_decimal(field.type):
            continue
        largest = pc.max(pc.abs(rows[i])).as_py() or Decimal(0)
        digits = len(f"{int(largest)}") + field.type.scale
        if field.type.scale == 0 and digits <= _INT64_DIGITS:
            rows = rows.set_column(i, field.name, rows[i].cast(pa.int64()))
        elif digits < field.type.precision:
            narrow = pa.decimal128(max(digits, _NARROW_DIGITS), field.type.scale)
            rows = rows.set_column(i, field.name, rows[i].cast(narrow))
    return rows


def _sql(name: str) -> str:
    return duck.statement("tollbook.sql", name)
