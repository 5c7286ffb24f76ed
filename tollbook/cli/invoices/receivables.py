"""`tollbook invoice send|open`: which documents went to partners, and what is still to be paid."""

import getpass
import sys
from datetime import UTC, date
from decimal import Decimal
from typing import Annotated, Any

from cyclopts import Parameter

from billing.invoicing import stored
from billing.invoicing.closing import Refused
from billing.receivables import audit
from billing.receivables.audit import AuditEntry
from billing.receivables.items import AGES, OLDER, Aged, DocumentState, aged, items
from lake.lake import Lake
from schemas.money import money
from tollbook.cli.errors import WrongUse
from tollbook.cli.figures import amount
from tollbook.cli.grants import ByOption
from tollbook.cli.invoices.listing import CsvOption, CurrencyFilter, EntityFilter, PartnerOption, as_csv
from tollbook.cli.options import JsonOption, LakeOption, NowOption, the_time
from tollbook.cli.terminal import out, sentence, shortened, show_json, table, write

_AGES = (*(name for _, name in AGES), OLDER)
COLUMNS = ("partner_id", "currency", *_AGES, "open")


def send(
    *numbers: Annotated[str, Parameter(help="Numbers of documents.")],
    lake: LakeOption,
    by: ByOption = None,
    json: JsonOption = False,
    now: NowOption = None,
) -> int:
    """Record that documents were sent to their partners. Tollbook itself sends nothing.

    The same command again changes nothing. If one number is refused, nothing is recorded.

    Example: tollbook invoice send NM-2026-000001 NM-2026-000002 --lake demo/lake
    """
    if not numbers:
        raise WrongUse("name at least one document; `tollbook invoice list --state issued` shows their numbers")
    opened, moment = Lake(lake), the_time(now)
    states = {item.number: item.state for item in items(stored.rows(opened), audit.rows(opened))}
    known = shortened(", ".join(states)) or "none"
    problems = [f"no document {number!r} in {opened}; known: {known}" for number in numbers if number not in states]
    problems += [
        f"{number} is void; send its credit note" for number in numbers if states.get(number) == DocumentState.VOID
    ]
    if problems:
        raise Refused(problems)
    new = audit.record(
        opened, [AuditEntry("sent", number, {}) for number in numbers], by=by or getpass.getuser(), now=moment
    )
    if json:
        show_json({"sent": list(numbers), "new": [row.subject for row in new]})
    else:
        again = "" if len(new) == len(set(numbers)) else f" {len(set(numbers)) - len(new)} were recorded before."
        sentence(f"Documents recorded as sent: {len(new)}.{again}")
    return 0


def open_(
    *,
    lake: LakeOption,
    on: Annotated[str | None, Parameter("--on", help="As of this day, YYYY-MM-DD. By default today in UTC.")] = None,
    partner: PartnerOption = None,
    legal_entity: EntityFilter = None,
    currency: CurrencyFilter = None,
    csv: CsvOption = False,
    json: JsonOption = False,
    now: NowOption = None,
) -> int:
    """Show what is open, per partner and currency, by days since the date of issue: 0-30, 31-60, 61-90, 90+.

    What was overpaid is negative. Payments count from their own date.

    Example: tollbook invoice open --lake demo/lake --on 2026-12-31
    """
    opened, day = Lake(lake), _day(on) or the_time(now).astimezone(UTC).date()
    wanted = {"partner_id": partner, "legal_entity": legal_entity, "currency": currency}
    found = aged(
        (
            item
            for item in items(stored.rows(opened), audit.rows(opened), day)
            if all(value in {None, getattr(item, name)} for name, value in wanted.items())
        ),
        day,
    )
    rows = [_row(each) for each in found]
    if json:
        show_json({"on": day.isoformat(), "open": rows})
    elif csv:
        write(sys.stdout, as_csv(rows, COLUMNS))
    elif not rows:
        sentence(f"Nothing is open on {day}.")
    else:
        view = table(
            f"Open on {day}, by days since issue", "partner", "currency", *(f">{name}" for name in _AGES), ">open"
        )
        for row in rows:
            cells = (amount(Decimal(row[name]), row["currency"]) for name in (*_AGES, "open"))
            view.row(row["partner_id"], row["currency"], *cells)
        out.print(view)
    return 0


def _row(each: Aged) -> dict[str, Any]:
    ages = {name: money(value, each.currency) for name, value in each.by_age.items()}
    return {"partner_id": each.partner_id, "currency": each.currency, **ages, "open": money(each.total, each.currency)}


def _day(text: str | None) -> date | None:
    try:
        return None if text is None else date.fromisoformat(text)
    except ValueError as exc:
        raise WrongUse(f"--on {shortened(text or '')!r} is not a day, such as 2026-12-31") from exc
