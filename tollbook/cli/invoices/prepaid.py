"""`tollbook credits statement`: the ledger of what a partner paid in advance."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated, Any

from cyclopts import App, Parameter

from billing.catalog import loading as catalogs
from billing.invoicing import history
from billing.periods import local_day
from billing.rating.terms.credits import (
    Booking,
    CreditState,
    balances,
    in_order,
    ledger,
    overdrawn,
    states,
)
from lake.lake import Lake
from schemas.catalog.records import Catalog, Partner
from schemas.money import money
from tollbook.cli.errors import REFUSED, WrongUse
from tollbook.cli.figures import amount
from tollbook.cli.options import CatalogOption, JsonOption, LakeOption, NowOption, the_time
from tollbook.cli.terminal import complain, out, sentence, shortened, show_json, table

app = App(
    name="credits",
    help="Prepaid credits of partners.\n\n"
    "Example: tollbook credits statement northwind --catalog examples/catalog --lake demo/lake",
    help_epilogue="",
)


@app.command
def statement(
    partner: Annotated[str, Parameter(help="Id of the partner.")],
    /,
    *,
    catalog: CatalogOption,
    lake: LakeOption,
    json: JsonOption = False,
    now: NowOption = None,
) -> int:
    """Show the prepaid credits of a partner: what was paid, used by invoices, expired, and is left. Writes nothing.

    It is computed from the catalog and the issued documents, and every booking moves an amount from one account to
    another. The exit code is 1 if invoices used more of a credit than the catalog says was paid.

    Example: tollbook credits statement northwind --catalog examples/catalog --lake demo/lake
    """
    found = _partner(catalogs.load(catalog), partner)
    opened = Lake(lake)
    opened.check()
    documents = history.history(opened, {found.id}).get(found.id, ())
    today = local_day(the_time(now), found.time_zone)
    booked = ledger(found.credits, documents, today)
    rows = states(in_order(found.credits), booked)
    if json:
        show_json(_as_json(found, rows, booked))
    else:
        screen(found, rows, booked)
    problems = overdrawn(found.credits, documents)
    for problem in problems:
        complain(f"partner {found.id}, {problem}")
    return REFUSED if problems else 0


def _partner(book: Catalog, named: str) -> Partner:
    found = book.partner(named)
    if found is None:
        known = shortened(", ".join(sorted(p.id for p in book.payers()))) or "none"
        raise WrongUse(f"no partner {named!r} in the catalog; known partners: {known}")
    return found


def _as_json(partner: Partner, rows: Sequence[CreditState], booked: Sequence[Booking]) -> dict[str, Any]:
    return {
        "partner_id": partner.id,
        "credits": [
            {
                "id": row.credit.id,
                "description": row.credit.description,
                "currency": row.credit.currency,
                "valid_from": row.credit.valid_from,
                "valid_to": row.credit.valid_to,
                "priority": row.credit.priority,
                **{
                    name: money(getattr(row, name), row.credit.currency) for name in ("paid", "used", "expired", "left")
                },
            }
            for row in rows
        ],
        "bookings": [
            {
                "booked_on": each.booked_on,
                "credit": each.credit_id,
                "from": each.source,
                "to": each.target,
                "amount": money(each.amount, each.currency),
                "currency": each.currency,
                "number": each.document,
            }
            for each in booked
        ],
        "balances": [
            {"account": account, "currency": currency, "balance": money(balance, currency)}
            for (account, currency), balance in sorted(balances(booked).items())
        ],
    }


def screen(partner: Partner, rows: Sequence[CreditState], booked: Sequence[Booking]) -> None:
    """Print what became of each credit, and every booking."""
    if not rows:
        sentence(f"Partner {partner.id} has no prepaid credits.")
        return
    view = table(
        f"Prepaid credits of {partner.name} ({partner.id})",
        "credit", "valid from", "valid to", ">paid", ">used", ">expired", ">left", "currency",
    )  # fmt: skip
    for row in rows:
        figures = (amount(value, row.credit.currency) for value in (row.paid, row.used, row.expired, row.left))
        until = "" if row.credit.valid_to is None else row.credit.valid_to.isoformat()
        view.row(row.credit.id, row.credit.valid_from.isoformat(), until, *figures, row.credit.currency)
    out.print(view)
    out.print()
    entries = table("Bookings", "booked on", "from", "to", ">amount", "currency", "number")
    for each in booked:
        shown = amount(each.amount, each.currency)
        entries.row(each.booked_on.isoformat(), each.source, each.target, shown, each.currency, each.document or "")
    out.print(entries)
    sums: dict[str, Decimal] = {}
    for (_, currency), balance in balances(booked).items():
        sums[currency] = sums.get(currency, Decimal(0)) + balance
    for currency, total in sorted(sums.items()):
        sentence(f"All accounts together: {amount(total, currency)} {currency}", style="dim")
