"""`tollbook invoice accruals`: what is used up to a day and stands on no issued document, with its price."""

import sys
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Annotated, Any

from cyclopts import Parameter

from billing.catalog import loading as catalogs
from billing.invoicing.comparing.accruals import Accrual
from billing.invoicing.comparing.accruals import accruals as accrued
from lake.lake import Lake
from schemas.money import EXACT, money, plain
from tollbook.cli.errors import WrongUse
from tollbook.cli.figures import amount, number
from tollbook.cli.invoices.comparing import complained
from tollbook.cli.invoices.listing import CsvOption, as_csv
from tollbook.cli.options import CatalogOption, JsonOption, LakeOption
from tollbook.cli.terminal import out, sentence, shortened, show_json, table, write

ZERO = Decimal(0)
COLUMNS = Accrual._fields


def accruals(
    *, catalog: CatalogOption, lake: LakeOption,
    at: Annotated[str, Parameter("--at", help="The last day that counts, YYYY-MM-DD, in the time zone of each partner.")],
    legal_entity: Annotated[str | None, Parameter("--legal-entity", help="Only partners of this legal entity.")] = None,
    csv: CsvOption = False, json: JsonOption = False,
) -> int:  # fmt: skip
    """Show unbilled revenue at the end of a day: what is used and stands on no issued document. Writes nothing.

    Each row is a month, plan and meter of a partner, priced as its invoice will be. The exit code is 1 if usage has no
    price, because then the sums are too small.

    Example: tollbook invoice accruals --catalog examples/catalog --lake demo/lake --at 2026-10-31
    """
    opened, day = Lake(lake), _day(at)
    opened.check()
    book = catalogs.load(catalog)
    known = [entity.id for entity in book.legal_entities]
    if legal_entity is not None and legal_entity not in known:
        raise WrongUse(f"no legal entity {shortened(legal_entity)!r} in the catalog; it has: {', '.join(known)}")
    found = accrued(opened, book, day, legal_entity)
    if json:
        rows = [_row(each) for each in found.rows]
        show_json({"at": day.isoformat(), "accruals": rows, "problems": dict(found.problems)})
    elif csv:
        write(sys.stdout, as_csv([_row(each) for each in found.rows], COLUMNS))
    else:
        _show(found.rows, day)
    return complained(found.problems)


def _row(each: Accrual) -> dict[str, Any]:
    """A row for programs: plain decimals, and no quantity for a fee."""
    quantity = "" if each.quantity is None else plain(each.quantity)
    return {**each._asdict(), "quantity": quantity, "amount": money(each.amount, each.currency)}


def _show(rows: Sequence[Accrual], day: date) -> None:
    if not rows:
        sentence(f"Nothing is used and unbilled on {day}.")
        return
    view = table(f"Used and not billed on {day}", "partner", "month", "what", "plan", ">quantity", ">amount", "")
    sums: dict[str, Decimal] = {}
    for row in rows:
        quantity = "" if row.quantity is None else f"{number(row.quantity)} {row.unit}"
        what = row.meter if row.kind == "usage" else f"{row.kind} {row.meter}".strip()
        view.row(row.partner_id, row.period, what, row.plan, quantity, amount(row.amount, row.currency), row.currency)
        sums[row.currency] = EXACT.add(sums.get(row.currency, ZERO), row.amount)
    view.add_section()
    for currency, total in sums.items():
        view.row("all", "", "", "", "", amount(total, currency), currency, style="bold")
    out.print(view)


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as exc:
        raise WrongUse(f"--at {shortened(text)!r} is not a day, such as 2026-12-31") from exc
