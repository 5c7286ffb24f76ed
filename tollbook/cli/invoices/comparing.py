"""`tollbook invoice reprice|preview`: bills under other prices, and the bills that the running month will give."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Annotated, Any

from cyclopts import Parameter

from billing.catalog import loading as catalogs
from billing.invoicing import closing
from billing.invoicing.comparing import closed_months, forecast
from billing.invoicing.comparing.forecast import Preview
from billing.periods import month
from billing.rating.differences import BillDifference, BillLine, Side, of_draft, paired
from billing.rating.drafts import Draft
from lake.lake import Lake
from schemas.catalog.records import Catalog
from schemas.money import EXACT, money, plain
from tollbook.cli.errors import REFUSED, WrongUse
from tollbook.cli.figures import amount, number
from tollbook.cli.invoices.commands import EntityOption, one_of
from tollbook.cli.options import CatalogOption, JsonOption, LakeOption, NowOption, PeriodOption, the_time
from tollbook.cli.terminal import complain, out, sentence, show_json, table

ZERO = Decimal(0)
_WHY = {"new": "new", "gone": "gone", "price": "other price", "amount": "other amount", "quantity": "other quantity"}


def reprice(
    *, catalog: CatalogOption, lake: LakeOption, period: PeriodOption, legal_entity: EntityOption = None, json: JsonOption = False
) -> int:  # fmt: skip
    """Show what the bills of a closed month would be by another catalog, line by line. Writes nothing.

    Usage and periods are those of the close, whether its invoices are issued or not. `tollbook invoice rebill` bills
    one invoice again. The exit code is 1 if the catalog cannot bill a partner.

    Example: tollbook invoice reprice --catalog new-catalog --lake demo/lake --period 2026-10
    """
    opened = Lake(lake)
    opened.check()
    month(period, "UTC")  # raises BadPeriod
    book = catalogs.load(catalog)
    entities = sorted({made.legal_entity for made in closing.all_closes(opened) if made.period == period})
    chosen = (
        one_of(entities, legal_entity, f"{period} is closed for") if entities else legal_entity or "any legal entity"
    )
    found = closed_months.reprice(opened, period, chosen, book)
    if json:
        differences = [each.as_json() for each in found.differences]
        show_json(
            {
                "period": period,
                "legal_entity": chosen,
                "bills": found.bills,
                "differences": differences,
                "problems": found.problems,
            }
        )
    else:
        show_differences(found.differences, found.bills)
    return complained(found.problems)


def preview(
    *, catalog: CatalogOption, lake: LakeOption,
    partner: Annotated[list[str] | None, Parameter("--partner", negative="", help="Only this partner. Repeat it for several.")] = None,
    lines: Annotated[bool, Parameter("--lines", negative="", show_default=False, help="Show each line of each bill, too.")] = False,
    json: JsonOption = False, now: NowOption = None,
) -> int:  # fmt: skip
    """Show what partners owe for the running month so far, and a forecast to its end. Writes nothing.

    The forecast is the bill of the month if the partner goes on as in the last seven days.

    Example: tollbook invoice preview --catalog examples/catalog --lake demo/lake
    """
    opened = Lake(lake)
    opened.check()
    book, at = catalogs.load(catalog), the_time(now)
    payers = {each.id: each for each in book.payers()}
    if unknown := [name for name in partner or () if name not in payers]:
        raise WrongUse(f"no partner {unknown[0]!r} is invoiced by the catalog; it has: {', '.join(payers) or 'none'}")
    chosen = [payers[name] for name in sorted(payers) if not partner or name in partner]
    found = forecast.preview(opened, book, chosen, at)
    if json:
        show_json({"at": at.isoformat(), "partners": [_as_json(each, book if lines else None) for each in found]})
    else:
        for each in found if lines else ():
            _show_lines(each, book)
        _show_preview(found)
    return 0


DIFFERENCE_COLUMNS = (
    "partner_id", "currency", "description", "meter", "why", "quantity_before", "before", "quantity_after", "after", "difference",
)  # fmt: skip


def difference_rows(found: Sequence[BillDifference]) -> list[dict[str, Any]]:
    """The lines that differ as rows of DIFFERENCE_COLUMNS, for programs. What a side does not have is empty."""
    return [
        {"partner_id": bill.partner_id, "currency": bill.currency}
        | {name: "" if value is None else value for name, value in line.items()}
        for bill in found
        for line in bill.as_json()["lines"]
    ]


def show_differences(found: Sequence[BillDifference], bills: int) -> None:
    """The lines that differ, bill by bill, and the sums of each currency."""
    for bill in found:
        view = table(bill.partner_id, "line", ">before", ">after", f">{bill.currency}", "")
        for line in bill.lines:
            sides = (_side(side, bill.currency) for side in (line.before, line.after))
            view.row(line.description, *sides, signed(line.amount, bill.currency), _WHY[line.why])
        view.add_section()
        totals = ("" if total is None else amount(total, bill.currency) for total in (bill.before, bill.after))
        view.row("total", *totals, signed(bill.amount, bill.currency), "", style="bold")
        out.print(view)
        out.print()
    same = bills - len({bill.partner_id for bill in found})
    if not found:
        sentence(
            "No bill changes."
            if bills
            else "There is no bill to compare. Months that are closed: `tollbook invoice reprice`."
        )
    elif same:
        sentence(f"{same} bill{'' if same == 1 else 's'} stay{'s' if same == 1 else ''} the same.")
    for currency, change in _sums(found).items():
        sentence(("All bills: ", "bold"), f"{signed(change, currency)} {currency}")


def complained(problems: Mapping[str, Sequence[str]]) -> int:
    """Print the problems, and return the exit code."""
    for problem in (problem for some in problems.values() for problem in some):
        complain(problem)
    return REFUSED if problems else 0


def signed(value: Decimal, currency: str) -> str:
    """A difference with its sign."""
    return ("+" if value > 0 else "") + amount(value, currency)


def _side(side: Side | None, currency: str) -> str:
    """An amount, with the quantity that it is for."""
    if side is None:
        return ""
    quantity = "" if side.quantity is None else f" for {number(side.quantity)}"
    return amount(side.amount, currency) + quantity


def _sums(found: Sequence[BillDifference]) -> dict[str, Decimal]:
    sums: dict[str, Decimal] = {}
    for bill in found:
        sums[bill.currency] = EXACT.add(sums.get(bill.currency, ZERO), bill.amount)
    return sums


def _show_preview(found: Sequence[Preview]) -> None:
    view = table("The running month", "partner", "month", ">so far", ">at its end", "")
    sums: dict[str, list[Decimal]] = {}
    for each in found:
        drafts = (each.so_far, each.forecast)
        currency = next((draft.currency for draft in drafts if draft is not None), "")
        totals = [ZERO if draft is None else draft.total for draft in drafts]
        view.row(
            each.partner.id, each.label, *(amount(total, currency) if currency else "0" for total in totals), currency
        )
        if currency:
            sums[currency] = [EXACT.add(*pair) for pair in zip(sums.get(currency, [ZERO, ZERO]), totals, strict=True)]
    if not found:
        sentence("There is no running month to bill.")
        return
    view.add_section()
    for currency, totals in sums.items():
        view.row("all", "", *(amount(total, currency) for total in totals), currency, style="bold")
    out.print(view)
    sentence("At its end: if each partner goes on as in the last seven days.", style="dim")


def _show_lines(found: Preview, book: Catalog) -> None:
    drafts = [draft for draft in (found.so_far, found.forecast) if draft is not None]
    if not drafts:
        return
    currency = drafts[0].currency
    view = table(f"{found.partner.id}, {found.label}", "line", ">so far", ">at its end", currency)
    so_far, forecast = (() if draft is None else of_draft(book, draft) for draft in (found.so_far, found.forecast))
    for line in paired(so_far, forecast):
        view.row(line.description, *(_side(side, currency) for side in (line.before, line.after)), "")
    out.print(view)
    out.print()


def _as_json(found: Preview, book: Catalog | None) -> dict[str, Any]:
    """A preview for programs, with lines if the catalog is given."""

    def shown(draft: Draft | None) -> dict[str, Any] | None:
        if draft is None:
            return None
        lines = {} if book is None else {"lines": [_line(line, draft.currency) for line in of_draft(book, draft)]}
        return {"currency": draft.currency, "total": money(draft.total, draft.currency), **lines}

    return {
        "partner_id": found.partner.id,
        "period": found.label,
        "so_far": shown(found.so_far),
        "forecast": shown(found.forecast),
    }


def _line(line: BillLine, currency: str) -> dict[str, str | None]:
    return {
        "description": line.description,
        "meter": line.meter,
        "quantity": None if line.quantity is None else plain(line.quantity),
        "amount": money(line.amount, currency),
    }
