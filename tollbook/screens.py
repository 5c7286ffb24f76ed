"""What people see: tables on a terminal. Values come ready; nothing is computed here but their looks."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from rich.markup import escape
from rich.table import Table
from rich.text import Text

from aggregate.quota import Alert
from aggregate.verify import Proof
from ingest.formats import Format
from schemas.catalog import Catalog, Partner
from schemas.money import plain
from tollbook.edge import out
from tollbook.embedded import Report

_WIDTH_RAW = 300


def run_report(report: Report) -> None:
    """Counts, alerts and unfinished lines of a run."""
    counts = report.counts
    if not counts.entries:
        out.print("Nothing new to read.")
    else:
        out.print(
            f"[bold]{counts.entries:,}[/] entries: [bold]{counts.counted:,}[/] counted, {counts.duplicates:,} duplicates, "
            f"{counts.conflicts:,} conflicts, {counts.refused:,} refused"
        )
    if report.alerts:
        alerts_table(report.alerts)
    for file, size in report.waiting.items():
        out.print(
            f"{escape(file)} ends inside a line ({size} bytes); it is read when the rest has come, or now with --final",
            style="yellow",
        )


def alerts_table(alerts: Sequence[Alert]) -> None:
    """Alerts that fired now."""
    view = table("Alerts", "partner", "meter", ">threshold", ">used", ">quota", "period from", "")
    for a in alerts:
        note = "withdrawn" if a.kind == "withdrawn" else "passed" if a.passed else ""
        view.add_row(
            a.rule.partner_id,
            a.rule.meter,
            f"{plain(a.threshold_percent)} %",
            number(a.used),
            number(a.rule.limit),
            f"{a.rule.start:%Y-%m-%dT%H:%MZ}",
            note,
        )
    out.print(view)


def alert_row(alert: Alert) -> dict[str, Any]:
    """An alert for programs."""
    return {
        "alert_id": alert.alert_id,
        "kind": alert.kind,
        "partner_id": alert.rule.partner_id,
        "meter": alert.rule.meter,
        "threshold_percent": plain(alert.threshold_percent),
        "used": plain(alert.used),
        "quota": plain(alert.rule.limit),
        "passed": alert.passed,
        "period_start": alert.rule.start,
        "projected_exhaustion_at": alert.projected_exhaustion_at,
    }


def usage_table(catalog: Catalog, partner: Partner, period: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """One line per day and route, one column per meter, and the month's sums."""
    meters = [m for m in catalog.meters if any(r["meter"] == m.id for r in rows)]
    if not rows:
        out.print(f"{partner.id} used nothing in {period}.")
        return
    view = table(
        f"{partner.name}, {period} ({partner.time_zone})", "day", "route", *(f">{m.id} ({m.unit})" for m in meters)
    )
    cells: dict[tuple[Any, str], dict[str, Decimal]] = {}
    for row in rows:
        cells.setdefault((row["day"], row["route"]), {})[row["meter"]] = row["quantity"]
    previous = None
    for (day, route), values in cells.items():
        view.add_row(
            "" if day == previous else str(day),
            route,
            *(number(values[m.id]) if m.id in values else "" for m in meters),
        )
        previous = day
    view.add_section()
    sums = {m.id: sum((r["quantity"] for r in rows if r["meter"] == m.id), Decimal(0)) for m in meters}
    view.add_row("total", "", *(number(sums[m.id]) for m in meters), style="bold")
    out.print(view)


def proof(found: Proof) -> None:
    """Every check, and the books."""
    for check in found.checks:
        out.print(Text.assemble(("  ok  ", "bold green") if not check.problems else (" FAIL ", "bold red"), check.name))
        for problem in check.problems:
            out.print(Text(f"        {problem}"))
    out.print(books_line(found.totals()))


def books_line(totals: Mapping[str, int]) -> str:
    """The balance in one line."""
    return (
        f"Books: {totals['entries']:,} entries = {totals['counted']:,} counted + {totals['duplicates']:,} duplicates "
        f"+ {totals['conflicts']:,} conflicts + {totals['refused']:,} refused; unexplained: {totals['unexplained']:,}"
    )


def formats_table(formats: Sequence[Format]) -> None:
    """All formats, a line each."""
    view = table(None, "format", "what it reads")
    for f in formats:
        view.add_row(f.name, escape(f.title))
    out.print(view)
    out.print(
        "`tollbook formats NAME` shows fields, units and id rule; `python -m ingest parse --format NAME FILE` reads a file with it."
    )


def dead_tables(
    sums: Sequence[Mapping[str, Any]], rows: Sequence[Mapping[str, Any]], remedies: Mapping[str, str]
) -> None:
    """Sums by reason with the remedy, then the entries."""
    if not sums:
        out.print("No dead letters.")
        return
    view = table("Not counted", "reason", "source", ">entries", "what to do")
    for row in sums:
        view.add_row(row["reason"], escape(row["source"]), f"{row['entries']:,}", remedies.get(row["reason"], ""))
    out.print(view)
    for row in rows:
        place = f"{row['source']}/{row['generation']}:{row['position']}"
        out.print(Text.assemble((row["reason"], "bold"), f"  {place}  {row['detail'] or ''}"))
        shown = row["raw"] if len(row["raw"]) <= _WIDTH_RAW else row["raw"][:_WIDTH_RAW] + " …"
        out.print(Text("    " + "".join(c if c.isprintable() else " " for c in shown.strip()), style="dim"))


def catalog_summary(catalog: Catalog) -> None:
    """What is in a catalog that holds together."""
    view = table("The catalog holds together", "partner", "status", "plan", "rate card", "credentials")
    for p in catalog.partners:
        plans = ", ".join(a.plan for a in p.plans) or "none"
        cards = ", ".join(sorted({catalog.plan(a.plan).rate_card for a in p.plans}))
        view.add_row(p.id, p.status, plans, cards, ", ".join(c.kind for c in p.credentials))
    out.print(view)
    out.print(
        f"{len(catalog.meters)} meters, {len(catalog.rate_cards)} rate cards, {len(catalog.plans)} plans. sha256 {catalog.sha256}"
    )


def plain_text(text: str) -> None:
    """Text as it is."""
    out.print(Text(text))


def number(value: Decimal | int) -> str:
    """A number with groups of three."""
    whole, point, fraction = plain(Decimal(value)).partition(".")
    return f"{int(whole):,}{point}{fraction}"


def table(title: str | None, *columns: str) -> Table:
    """A table without lines; columns that begin with > are numbers."""
    view = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        header_style="bold",
        box=None,
        pad_edge=False,
        padding=(0, 2, 0, 0),
    )
    for column in columns:
        view.add_column(
            column.removeprefix(">"),
            justify="right" if column.startswith(">") else "left",
            no_wrap=column.startswith(">"),
        )
    return view
