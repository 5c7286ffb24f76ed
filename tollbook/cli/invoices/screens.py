"""Screens of invoices, closes and drafts."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from rich.padding import Padding

from billing.invoicing.closing import Close
from billing.invoicing.comparing.earlier_rules import Explained
from billing.invoicing.issuing import Checked, Issued, IssueReport
from billing.invoicing.unbilled import Unbilled
from billing.periods import Interval
from billing.rating.drafts import Draft, Line, description
from schemas.catalog.records import Catalog
from schemas.money import money
from tollbook.cli.figures import aligned, amount, number
from tollbook.cli.invoices.bases import basis
from tollbook.cli.terminal import out, sentence, table, words

_KINDS = {"invoice": "Invoice", "credit_note": "Credit note", "adjustment": "Adjustment"}
_WHY = {"not_issued": "month not issued", "unknown": "not in the catalog"}
_FIGURES = ("entries", "counted", "duplicates", "conflicts", "refused", "unexplained")


def close_summary(made: Close) -> None:
    """A close, with its statement of completeness."""
    content = made.content
    sentence((made.period, "bold"), f" of {made.legal_entity} is closed: {made.close_id}")
    view = table("Completeness", "source", *(f">{name}" for name in _FIGURES))
    for row in content["completeness"]:
        view.row(row["source"], *(f"{row[name]:,}" for name in _FIGURES))
    out.print(view)
    for row in content["completeness"]:
        if row["last_event_at"]:
            sentence(f"last event of {row['source']}: {row['last_event_at'][:19]}Z")
    blocked = f", {len(made.blocked)} blocked" if made.blocked else ""
    sentence(f"partners to bill: {len(content['usage'])}{blocked}; files read: {len(content['offsets'])}")
    if left := content.get("accepted_refused"):
        entries = sum(group["entries"] for group in left["groups"])
        sentence(
            f"{entries:,} refused entries of {len(left['groups'])} unknown credentials stay unbilled: {left['reason']}"
        )
    sentence(f"catalog sha256 {content['catalog_sha256']}", style="dim")


def drafts(catalog: Catalog, found: Sequence[Draft]) -> None:
    """The lines and totals that would be billed."""
    for draft in found:
        view = table(f"{draft.partner.name} ({draft.partner.id})", "line", ">quantity", f">{draft.currency}")
        for line in draft.lines:
            name, unit = _named(catalog, line)
            name += _part_of(days(line.interval), days(draft.period.interval))
            view.row(name, f"{number(line.charge.billed_quantity)}{unit}", amount(line.charge.amount, draft.currency))
        for extra in draft.extras:
            view.row(extra.facts["description"], "", amount(extra.amount, draft.currency))
        view.add_section()
        view.row("total", "", amount(draft.total, draft.currency), style="bold")
        out.print(view)
        out.print()
    if not found:
        sentence("Nothing to bill.")


def extras(draft: Draft) -> dict[str, Any]:
    """The amounts of a draft that are not usage at a rate, for programs. Nothing if there are none."""
    rows = [
        {"kind": extra.kind.value, **extra.facts, "amount": money(extra.amount, draft.currency)}
        for extra in draft.extras
    ]
    return {"extras": rows} if rows else {}


def issued(report: IssueReport) -> None:
    """The issued invoices, and the folders of their documents."""
    title = "Already issued; nothing changed"
    if report.new:
        of_month = len(report.invoices)
        title = f"New invoices: {report.new}" + (f" of {of_month}" if of_month > report.new else "")
    view = table(title, "number", "partner", ">total")
    for found in report.invoices:
        view.row(found.number, found.partner_id, f"{amount(found.total, found.currency)} {found.currency}")
    out.print(view)
    for line in report.without:
        sentence(f"no invoice for {line}", style="dim")
    folders = dict.fromkeys(str(file.parent) for found in report.invoices for file in found.files)
    for folder in folders:
        out.print(f"Documents (PDF, JSON, CSV): {folder}", soft_wrap=True)


def invoice(found: Issued) -> None:
    """An invoice with every line and its parts."""
    doc = found.document
    sentence(
        (f"{_KINDS[found.kind]} {doc['number']}", "bold"),
        f"  {doc['buyer']['name']}, {doc['period']['label']} ({doc['period']['time_zone']})",
    )
    view = table(None, "", ">quantity", ">price", f">{doc['currency']}")
    for line in doc["lines"]:
        quantity = number(Decimal(line["billed_quantity"])) + (f" {line['unit']}" if line["unit"] else "")
        total = amount(Decimal(line["amount"]), doc["currency"])
        whole = doc["period"]["first_day"], doc["period"]["last_day"]
        part = _part_of((line["first_day"], line["last_day"]), whole)
        view.row(words((line["description"], "bold"), part), quantity, "", words((total, "bold")))
        figures = ([Decimal(part[name]) for part in line["parts"]] for name in ("quantity", "unit_price", "amount"))
        for part, *cells in zip(line["parts"], *map(aligned, figures), strict=True):
            explained = part["explanation"].replace("\u202f", ",")  # narrow spaces are for print
            view.add_row(Padding(words((explained, "dim")), (0, 0, 0, 2), expand=False), *cells)
    for extra in doc.get("extras", ()):
        total = amount(Decimal(extra["amount"]), doc["currency"])
        view.row(words((extra["description"], "bold")), "", "", words((total, "bold")))
        if explained := basis(extra, doc["currency"], doc.get("language", "en")):
            view.add_row(Padding(words((explained, "dim")), (0, 0, 0, 2), expand=False))
    view.add_section()
    view.row("total", "", "", amount(Decimal(doc["total"]), doc["currency"]), style="bold")
    out.print(view)
    sentence(f"close {doc['evidence']['close_id']}", style="dim")
    sentence(f"usage sha256 {doc['evidence']['usage_sha256']}", style="dim")
    for file in found.files:
        out.print(str(file), style="dim", soft_wrap=True)


def verified(checked: Sequence[Checked], late: Sequence[Mapping[str, Any]]) -> None:
    """Which invoices were reproduced byte for byte, and which usage arrived too late for them."""
    for item in checked:
        sentence(
            ("  ok  ", "bold green") if not item.problems else (" FAIL ", "bold red"),
            f"{item.number}  {item.partner_id}",
        )
    if not checked:
        sentence("No invoice has been issued from this lake yet.")
    for row in late:
        sentence(
            f"{row['requests']:+,} requests of {row['partner_id']} arrived after {row['number'] or row['period']} was closed; they are in no invoice yet",
            style="yellow",
        )


def explained(found: Sequence[Explained]) -> None:
    """Invoices of earlier rules, compared with what the current rules would bill."""
    if not found:
        sentence("Every invoice was issued under the current rules.")
        return
    view = table(
        "Invoices of earlier rules", "number", "partner", "period", ">issued", ">current rules", ">difference", ""
    )
    for e in found:
        would = "" if e.would_be is None else amount(e.would_be, e.currency)
        difference = "" if e.would_be is None else amount(e.would_be - e.issued, e.currency)
        view.row(e.number, e.partner_id, e.period, amount(e.issued, e.currency), would, difference, e.currency)
    out.print(view)
    for e in found:
        for problem in e.blocked:
            sentence(f"{e.number}: {problem}", style="dim")
    sentence("Issued invoices never change. Correct a difference with a separate document.")


def unbilled(found: Sequence[Unbilled], *, nothing: str = "") -> None:
    """Usage of settled months that is in no issued invoice, with the reason."""
    if not found:
        if nothing:
            sentence(nothing)
        return
    view = table("In no invoice", "partner", "month", "meter", ">quantity", ">amount", "why")
    for row in found:
        cost = "no price"
        if row.amount is not None and row.currency is not None:
            cost = f"{amount(row.amount, row.currency)} {row.currency}"
        why = f"arrived after {row.number or row.period}" if row.kind == "late" else _WHY[row.kind]
        view.row(row.partner_id, row.period, row.meter, f"{number(row.quantity)} {row.unit}", cost, why)
    out.print(view)


def days(interval: Interval) -> tuple[str, str]:
    """The first and the last day of the interval, in the partner's time zone."""
    return interval.first_day.isoformat(), interval.last_day.isoformat()


def _part_of(days: tuple[str, str], period: tuple[str, str]) -> str:
    """The days of a line that covers a part of the period, as a suffix of its name."""
    first, last = days
    return "" if days == period else f" ({first})" if first == last else f" ({first} to {last})"


def _named(catalog: Catalog, line: Line) -> tuple[str, str]:
    """The name of a line, and its unit with a leading space."""
    unit = f" {catalog.meter(line.rate.meter).unit}" if line.rate.meter else ""
    return description(catalog, line.rate), unit
