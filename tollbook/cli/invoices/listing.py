"""`tollbook invoice list`: issued documents with their states, or the bills that wait for issue, one per line."""

import csv as csv_format
import io
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, date
from decimal import Decimal
from typing import Annotated, Any

from cyclopts import Parameter

from billing.invoicing import stored
from billing.invoicing.render.cells import text_cell
from billing.invoicing.waiting import Waiting, waiting
from billing.periods import month
from billing.receivables import audit
from billing.receivables.items import DocumentState, Item, items
from lake.lake import Lake
from schemas.money import money
from tollbook.cli.figures import amount
from tollbook.cli.options import JsonOption, LakeOption, NowOption, the_time
from tollbook.cli.terminal import out, sentence, show_json, table, write

COLUMNS = (
    "number", "kind", "partner_id", "legal_entity", "period", "total", "currency", "issued_on", "due_on", "state", "credited", "paid",
    "open", "overdue",
)  # fmt: skip
_UNISSUED = {DocumentState.DRAFT, DocumentState.APPROVED}
CsvOption = Annotated[
    bool,
    Parameter("--csv", negative="", show_default=False, help="Print the list as CSV, without spreadsheet formulas."),
]
PartnerOption = Annotated[str | None, Parameter("--partner", help="Only documents of this partner.")]
EntityFilter = Annotated[str | None, Parameter("--legal-entity", help="Only documents of this legal entity.")]
CurrencyFilter = Annotated[str | None, Parameter("--currency", help="Only amounts in this currency, such as EUR.")]


def list_(
    *,
    lake: LakeOption,
    period: Annotated[str | None, Parameter("--period", help="Only this billing month, YYYY-MM.")] = None,
    partner: PartnerOption = None,
    legal_entity: EntityFilter = None,
    currency: CurrencyFilter = None,
    state: Annotated[
        list[DocumentState] | None,
        Parameter("--state", negative="", help="Only documents in this state. Repeat it for several states."),
    ] = None,
    overdue: Annotated[
        bool,
        Parameter(
            "--overdue", negative="", show_default=False, help="Only documents that are open after their due date."
        ),
    ] = False,
    csv: CsvOption = False,
    json: JsonOption = False,
    now: NowOption = None,
) -> int:
    """List the issued documents by number, with partner, period, total, currency, dates, state and what is open.

    States draft and approved are bills of a close that is not issued. They have no number, and are listed only if they
    are asked for by --state.

    Example: tollbook invoice list --lake demo/lake --period 2026-10 --state sent --overdue
    """
    if period is not None:
        month(period, "UTC")  # raises BadPeriod
    opened, on, states = Lake(lake), the_time(now).astimezone(UTC).date(), set(state or ())
    rows: list[dict[str, Any]] = []
    if not states or states - _UNISSUED:
        rows += [item_row(each, on) for each in items(stored.rows(opened), audit.rows(opened))]
    if states & _UNISSUED:
        rows += [_waiting_row(each) for each in waiting(opened)]
    wanted = {"period": period, "partner_id": partner, "legal_entity": legal_entity, "currency": currency}
    rows = [
        row
        for row in rows
        if all(value in {None, row[name]} for name, value in wanted.items())
        and (not states or row["state"] in states)
        and (row["overdue"] or not overdue)
    ]
    if json:
        show_json(rows)
    elif csv:
        write(sys.stdout, as_csv(rows, COLUMNS))
    else:
        is_narrowed = bool(legal_entity or currency or states or overdue)
        _table(rows, period, partner, is_narrowed=is_narrowed)
    return 0


def item_row(item: Item, on: date) -> dict[str, Any]:
    """A document as JSON. Amounts have the decimals of their currency."""
    amounts = {name: money(getattr(item, name), item.currency) for name in ("total", "credited", "paid", "open")}
    row = item._asdict() | amounts | {"state": str(item.state), "overdue": item.is_overdue(on)}
    row |= {"issued_on": item.issued_on.isoformat(), "due_on": item.due_on.isoformat()}
    return {name: row[name] for name in COLUMNS}


def as_csv(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> str:
    """The rows as CSV (RFC 4180). Text cannot be a spreadsheet formula."""
    made = io.StringIO(newline="")
    writer = csv_format.writer(made, lineterminator="\r\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow([_cell(row[name]) for name in columns])
    return made.getvalue()


def _cell(value: object) -> object:
    if isinstance(value, bool):
        return "true" if value else "false"
    is_number = isinstance(value, str) and value.removeprefix("-").replace(".", "", 1).isdigit()
    return text_cell(value) if isinstance(value, str) and not is_number else value


def _waiting_row(bill: Waiting) -> dict[str, Any]:
    nothing = dict.fromkeys(COLUMNS)
    given = {name: getattr(bill, name) for name in ("partner_id", "legal_entity", "period", "currency")}
    total = money(bill.total, bill.currency)
    return nothing | given | {"kind": "invoice", "total": total, "state": str(bill.state), "overdue": False}


def _table(rows: Sequence[Mapping[str, Any]], period: str | None, partner: str | None, *, is_narrowed: bool) -> None:
    if not rows:
        filters = ("" if period is None else f" for {period}") + ("" if partner is None else f" to {partner}")
        sentence(f"No document matches the filters{filters}." if is_narrowed else f"No invoice was issued{filters}.")
        return
    view = table(None, "number", "partner", "period", ">total", "currency", "issued on", "due on", "state", ">open")
    for row in rows:
        currency = row["currency"]
        shown = [amount(Decimal(row[name]), currency) if row[name] is not None else "" for name in ("total", "open")]
        state = f"{row['state']}, overdue" if row["overdue"] else row["state"]
        view.row(
            row["number"] or "", row["partner_id"], row["period"], shown[0], currency, row["issued_on"] or "", row["due_on"] or "",
            state, shown[1],
        )  # fmt: skip
    out.print(view)
