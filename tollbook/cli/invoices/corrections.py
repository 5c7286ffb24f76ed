"""`tollbook invoice credit|void|rebill|adjust`: what corrects an issued invoice. Nothing that was issued changes."""

import getpass
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Annotated

from cyclopts import Parameter

from aggregate import upkeep
from aggregate.landing.settlement import settle
from aggregate.verify import prove
from billing.catalog import loading as catalogs
from billing.invoicing import closing
from billing.invoicing.corrections import crediting, late_documents, rebilling
from billing.invoicing.corrections.crediting import CreditNote, CreditRequest
from billing.invoicing.corrections.rebilling import Person
from billing.periods import month
from lake.lake import Lake
from tollbook.cli.errors import WrongUse
from tollbook.cli.figures import amount as shown
from tollbook.cli.grants import ByOption, ReasonOption
from tollbook.cli.invoices.commands import one_of
from tollbook.cli.options import CatalogOption, JsonOption, LakeOption, NowOption, PeriodOption, the_time
from tollbook.cli.terminal import out, sentence, shortened, show_json, table

NumberArgument = Annotated[str, Parameter(help="Number of the invoice.")]


def credit(
    number: NumberArgument,
    /,
    *,
    lake: LakeOption,
    reason: ReasonOption,
    line: Annotated[int | None, Parameter("--line", help="Position of the line on the invoice.")] = None,
    amount: Annotated[str | None, Parameter("--amount", help="Amount to credit, in the invoice's currency.")] = None,
    quantity: Annotated[
        str | None,
        Parameter("--quantity", help="Quantity of the line to credit, in its unit, by the invoice's prices."),
    ] = None,
    by: ByOption = None,
    json: JsonOption = False,
    now: NowOption = None,
) -> int:
    """Issue a credit note over a part of an invoice: an amount, or a quantity of one line. The invoice stays as it is.

    No more is credited than is left of the line and of the invoice. The same command again changes nothing.

    Example: tollbook invoice credit NM-2026-000001 --line 2 --quantity 100 --reason "test traffic" --lake demo/lake
    """
    if (amount is None) == (quantity is None):
        raise WrongUse("a credit needs either --amount or --quantity")
    asked = CreditRequest(line, _decimal("--amount", amount), _decimal("--quantity", quantity))
    opened = _opened(lake)
    made = crediting.credit(opened, number, asked, reason=reason, by=by or getpass.getuser(), now=the_time(now))
    return _shown(made, json=json)


def void(
    number: NumberArgument,
    /,
    *,
    lake: LakeOption,
    reason: ReasonOption,
    by: ByOption = None,
    json: JsonOption = False,
    now: NowOption = None,
) -> int:
    """Issue a credit note over all that is left of an invoice, and open its period for another close.

    Refused if the invoice is voided already. The same command again changes nothing.

    Example: tollbook invoice void NM-2026-000001 --reason "billed to the wrong company" --lake demo/lake
    """
    made = crediting.void(_opened(lake), number, reason=reason, by=by or getpass.getuser(), now=the_time(now))
    return _shown(made, json=json)


def rebill(
    number: NumberArgument,
    /,
    *,
    catalog: CatalogOption,
    lake: LakeOption,
    reason: ReasonOption,
    by: ByOption = None,
    json: JsonOption = False,
    now: NowOption = None,
) -> int:
    """Bill an invoice again by a corrected catalog: void it, close its period, and issue the new invoice.

    Shows the lines that differ. Both documents are issued together or not at all.

    The same command again changes nothing.

    Example: tollbook invoice rebill NM-2026-000001 --catalog catalog --reason "wrong price" --lake demo/lake
    """
    opened, moment = _opened(lake), the_time(now)
    book = catalogs.load(catalog)

    def books(versions: Mapping[str, int], start: datetime, end: datetime) -> list[str]:
        return prove(opened, versions, start=start, end=end).problems

    settle(opened, now=lambda: moment)
    upkeep.before_close(opened, now=moment)
    person = Person(by or getpass.getuser(), reason)
    found = rebilling.rebill(opened, number, book, person, prove=books, now=moment)
    currency = found.note.document["currency"]
    new = found.invoice
    if json:
        differences = [rebilling.as_json(each, new["currency"] if new else currency) for each in found.differences]
        show_json(
            {"new": found.note.is_new, "credit_note": found.note.document, "invoice": new, "differences": differences}
        )
        return 0
    _shown(found.note, json=False)
    if new is None:
        sentence("There is nothing to pay for the period by this catalog.")
    else:
        sentence(
            (new["number"], "bold"),
            f": {shown(Decimal(new['total']), new['currency'])} {new['currency']}; replaces {number}.",
        )
    view = table("What differs", "line", ">before", ">after")
    for each in found.differences:
        amounts = (each.before, currency), (each.after, new["currency"] if new else currency)
        view.row(each.description, *("" if side is None else shown(side.amount, unit) for side, unit in amounts))
    if found.differences:
        out.print(view)
    else:
        sentence("No line differs.")
    return 0


def adjust(
    *,
    lake: LakeOption,
    period: PeriodOption,
    legal_entity: Annotated[
        str | None, Parameter("--legal-entity", help="Legal entity that invoiced the month. Required if several did.")
    ] = None,
    by: ByOption = None,
    json: JsonOption = False,
    now: NowOption = None,
) -> int:
    """Bill late usage of an issued month now, as documents of their own, for partners without a next invoice.

    A document is an adjustment, or a credit note if the partner gets something back. Without this command, the next
    invoice of a partner bills late usage of all its earlier months. The same command again changes nothing.

    Example: tollbook invoice adjust --period 2026-10 --lake demo/lake
    """
    opened, moment = _opened(lake), the_time(now)
    month(period, "UTC")  # raises BadPeriod

    def books(versions: Mapping[str, int], start: datetime, end: datetime) -> list[str]:
        return prove(opened, versions, start=start, end=end).problems

    entities = sorted({made.legal_entity for made in closing.all_closes(opened) if made.period == period})
    chosen = one_of(entities, legal_entity, f"{period} is closed for")
    settle(opened, now=lambda: moment)
    upkeep.before_close(opened, now=moment)
    documents = late_documents.adjust(opened, period, chosen, prove=books, now=moment, by=by or getpass.getuser())
    if json:
        show_json({"documents": [each.document for each in documents]})
    elif not documents:
        sentence(f"No late usage of {period} has to be billed.")
    for each in [] if json else documents:
        total = f"{shown(each.total, each.currency)} {each.currency}"
        sentence((each.number, "bold"), f": {total}; late usage of {period} of {each.partner_id}")
    return 0


def _opened(lake: LakeOption) -> Lake:
    opened = Lake(lake)
    opened.check()
    return opened


def _decimal(option: str, text: str | None) -> Decimal | None:
    if text is None:
        return None
    try:
        found = Decimal(text)
    except InvalidOperation:
        found = Decimal("NaN")
    if not found.is_finite():
        raise WrongUse(f"{option} {shortened(text)!r} is not a number, such as 12.50")
    return found


def _shown(made: CreditNote, *, json: bool) -> int:
    document = made.document
    if json:
        show_json({"new": made.is_new, "document": document})
        return 0
    total = f"{shown(Decimal(document['total']), document['currency'])} {document['currency']}"
    what = "voids" if document["voids"] else "corrects"
    again = "" if made.is_new else " It was issued before; nothing changed."
    sentence((made.number, "bold"), f": {total}; credit note that {what} {document['refers_to']['number']}.{again}")
    return 0
