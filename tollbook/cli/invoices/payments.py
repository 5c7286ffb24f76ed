"""`tollbook payments import`: payments from a CSV file."""

import getpass
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from billing.invoicing import stored
from billing.invoicing.closing import Refused
from billing.receivables import audit, payments
from billing.receivables.items import Item, items
from billing.receivables.payments import BadPayments
from lake.lake import Lake
from schemas.money import money
from tollbook.cli.errors import REFUSED, WrongUse
from tollbook.cli.figures import amount
from tollbook.cli.grants import ByOption
from tollbook.cli.options import JsonOption, LakeOption, NowOption, the_time
from tollbook.cli.terminal import complain, out, sentence, show_json, table

app = App(
    name="payments",
    help="Payments of issued documents.\n\nExample: tollbook payments import november.csv --lake demo/lake",
    help_epilogue="",
)


@app.command(name="import")
def import_(
    file: Annotated[Path, Parameter(help="CSV file with transaction_id, date, amount, currency and number.")],
    /,
    *,
    lake: LakeOption,
    by: ByOption = None,
    json: JsonOption = False,
    now: NowOption = None,
) -> int:
    """Record payments from a CSV file, each transaction once, and show what is left of the documents that they pay.

    A file with an unreadable line is refused as a whole. A payment that matches no document is named and left out, and
    the exit code is 1: correct the file, and import it again.

    Example: tollbook payments import november.csv --lake demo/lake
    """
    opened, moment = Lake(lake), the_time(now)
    opened.check()
    try:
        found = payments.read(file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as exc:
        raise WrongUse(f"{file} cannot be read as UTF-8 text: {exc}") from exc
    except BadPayments as exc:
        raise Refused([f"{file}, {problem}" for problem in exc.problems]) from exc
    rows = stored.rows(opened)
    result = payments.matched(found, items(rows, audit.rows(opened)), audit.rows(opened))
    new = payments.record(opened, result, by=by or getpass.getuser(), now=moment)
    paid = {payment.number for payment in result.payments}
    states = [_row(item) for item in items(rows, audit.rows(opened)) if item.number in paid]
    if json:
        show_json({"new": new, "known": len(result.payments) - len(new), "unmatched": result.unmatched, "paid": states})
    else:
        sentence(f"New payments: {len(new)}; recorded before: {len(result.payments) - len(new)}.")
        if states:
            view = table("Paid documents", "number", "partner", "state", ">paid", ">open", "")
            for row in states:
                figures = (
                    f"{amount(Decimal(row[name]), row['currency'])} {row['currency']}" for name in ("paid", "open")
                )
                view.row(row["number"], row["partner_id"], row["state"], *figures, row["note"])
            out.print(view)
    for problem in result.unmatched:
        complain(problem)
    return REFUSED if result.unmatched else 0


def _row(item: Item) -> dict[str, Any]:
    note = "overpaid" if item.open < 0 else "partly paid" if item.open else ""
    paid, left = (money(value, item.currency) for value in (item.paid, item.open))
    return {
        "number": item.number,
        "partner_id": item.partner_id,
        "currency": item.currency,
        "state": item.state.value,
        "paid": paid,
        "open": left,
        "note": note,
    }
