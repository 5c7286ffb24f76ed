"""Invoices, closes and drafts on a terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.markup import escape
from rich.text import Text

from billing.closing import Close
from billing.document import money
from billing.issuing import Checked, Issued, Report
from billing.rating import Draft
from tollbook.edge import out
from tollbook.screens import number, table


def close_summary(made: Close) -> None:
    """What was closed, and the statement of completeness."""
    content = made.content
    out.print(f"[bold]{made.period}[/] of {made.legal_entity} is closed: {made.close_id}")
    view = table(
        "Completeness",
        "source",
        ">entries",
        ">counted",
        ">duplicates",
        ">conflicts",
        ">refused",
        ">unexplained",
        "last event",
    )
    for row in content["completeness"]:
        figures = (f"{row[k]:,}" for k in ("entries", "counted", "duplicates", "conflicts", "refused", "unexplained"))
        view.add_row(escape(row["source"]), *figures, (row["last_event_at"] or "")[:19])
    out.print(view)
    out.print(
        f"{len(content['usage'])} partners to bill; {len(content['offsets'])} files read; catalog sha256 {content['catalog_sha256'][:16]}…"
    )


def drafts(found: Sequence[Draft]) -> None:
    """What would be billed."""
    for draft in found:
        view = table(f"{draft.partner.name} ({draft.partner.id})", "line", ">quantity", ">amount")
        for line in draft.lines:
            view.add_row(
                escape(line.rate.description or line.rate.meter or ""),
                number(line.charge.billed_quantity),
                money(line.charge.amount, draft.currency),
            )
        view.add_section()
        view.add_row("total", "", f"{money(draft.total, draft.currency)} {draft.currency}", style="bold")
        out.print(view)
        out.print()
    if not found:
        out.print("Nothing to bill.")


def issued(report: Report) -> None:
    """Numbers, totals, documents."""
    view = table(
        f"{report.new} invoices issued" if report.new else "Already issued: nothing changed",
        "number",
        "partner",
        ">total",
        "document",
    )
    for invoice_ in report.invoices:
        total = f"{invoice_.total:,.2f}" if invoice_.total == round(invoice_.total, 2) else str(invoice_.total)
        view.add_row(
            invoice_.number, invoice_.partner_id, f"{total} {invoice_.currency}", escape(str(invoice_.files[2]))
        )
    out.print(view)
    for line in report.without:
        out.print(f"no invoice for {line}", style="dim")


def invoice(found: Issued) -> None:
    """An invoice with every addend."""
    doc = found.document
    out.print(
        Text.assemble(
            (f"Invoice {doc['number']}", "bold"),
            f"  {doc['buyer']['name']}, {doc['period']['label']} ({doc['period']['time_zone']})",
        )
    )
    view = table(None, "", ">quantity", ">price", ">amount")
    for line in doc["lines"]:
        unit = f" {line['unit']}" if line["unit"] else ""
        view.add_row(
            Text(line["description"], style="bold"),
            f"{line['billed_quantity']}{unit}",
            "",
            Text(line["amount"], style="bold"),
        )
        for part in line["parts"]:
            view.add_row(
                Text("  " + part["explanation"], style="dim"), part["quantity"], part["unit_price"], part["amount"]
            )
    view.add_section()
    view.add_row("total", "", "", f"{doc['total']} {doc['currency']}", style="bold")
    out.print(view)
    out.print(Text(f"close {doc['evidence']['close_id']}, usage sha256 {doc['evidence']['usage_sha256']}", style="dim"))
    for file in found.files:
        out.print(escape(str(file)), style="dim")


def verified(checked: Sequence[Checked], late: Sequence[Mapping[str, Any]]) -> None:
    """Which invoices came out again byte for byte, and what came too late for them."""
    for item in checked:
        out.print(
            Text.assemble(
                ("  ok  ", "bold green") if not item.problems else (" FAIL ", "bold red"),
                f"{item.number}  {item.partner_id}",
            )
        )
    if not checked:
        out.print("No invoice was issued from this lake yet.")
    for row in late:
        out.print(
            f"{row['requests']:+,} requests of {row['partner_id']} came after {row['number']} was closed; they are in no invoice yet",
            style="yellow",
        )
