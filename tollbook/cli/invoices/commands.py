"""`tollbook invoice close|rate|issue|show`: from a finished month to invoices."""

import getpass
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from aggregate import upkeep
from aggregate.landing.settlement import settle
from aggregate.verify import prove
from billing.catalog import loading as catalogs
from billing.invoicing import closing, issuing
from billing.invoicing.closing import Close, Refused
from billing.periods import month
from billing.receivables import audit
from billing.receivables.audit import AuditEntry
from billing.usage.warehouse import Warehouse
from lake.lake import Lake
from schemas.catalog.records import Catalog
from schemas.money import money, plain
from tollbook.cli.errors import REFUSED, UNBILLED, WrongUse
from tollbook.cli.grants import ByOption
from tollbook.cli.invoices import screens
from tollbook.cli.options import (
    CatalogOption,
    JsonOption,
    LakeOption,
    NowOption,
    PeriodOption,
    folder_path,
    the_time,
)
from tollbook.cli.progress import counter
from tollbook.cli.terminal import complain, shortened, show_json

_REASON_CHARACTERS = 500


def _reason(_: type, text: str | None) -> None:
    if text is not None and not (text.strip() and text.isprintable() and len(text) <= _REASON_CHARACTERS):
        raise ValueError(f"must be a reason, in one line of at most {_REASON_CHARACTERS} characters")


# It has no environment variable: a variable set for other commands must not close a month.
ClosingOption = Annotated[
    Path | None, Parameter("--catalog", converter=folder_path, help="Close the month first, using this catalog.")
]
EntityOption = Annotated[
    str | None, Parameter("--legal-entity", help="Legal entity that invoices. Required if the catalog has several.")
]

AcceptOption = Annotated[
    str | None,
    Parameter(
        "--accept-refused",
        validator=_reason,
        help="Reason why refused entries of unknown credentials may stay unbilled, stored in the close. `tollbook dead list` shows them.",
    ),
]


def close(
    *,
    catalog: CatalogOption,
    lake: LakeOption,
    period: PeriodOption,
    legal_entity: EntityOption = None,
    accept_refused: AcceptOption = None,
    by: ByOption = None,
    json: JsonOption = False,
    now: NowOption = None,
) -> int:
    """Fix the input of a month's invoices: table versions, offsets, completeness, catalog.

    Refused while entries are unexplained.

    A problem of one partner blocks only that partner's invoice. It is reported, and the exit code is 3. Close again
    when it is solved.

    Refused entries of unknown credentials may belong to a partner missing from the catalog. To close without them, give
    a reason with --accept-refused.

    Closing again with the same input changes nothing.

    Example: tollbook invoice close --catalog examples/catalog --lake demo/lake --period 2026-10
    """
    book = catalogs.load(catalog)
    moment, who = the_time(now), by or getpass.getuser()
    made = closed(
        Lake(lake), book, period, entity(book, legal_entity), now=moment, accept_refused=accept_refused, by=who
    )
    if json:
        content = made.content
        show_json(
            {
                "close_id": made.close_id,
                **{
                    k: content[k]
                    for k in (
                        "period",
                        "legal_entity",
                        "catalog_sha256",
                        "versions",
                        "offsets",
                        "completeness",
                        "usage",
                    )
                },
                "blocked": made.blocked,
                "accepted_refused": content.get("accepted_refused"),
            }
        )
    else:
        screens.close_summary(made)
    return _named_blocked(made)


def rate(*, catalog: CatalogOption, lake: LakeOption, period: PeriodOption, json: JsonOption = False) -> int:
    """Show what would be billed for a month now, line by line. The month need not be over. Writes nothing.

    Example: tollbook invoice rate --catalog examples/catalog --lake demo/lake --period 2026-10
    """
    opened = Lake(lake)
    book = catalogs.load(catalog)
    outcome = closing.bills_of(Warehouse(opened), book, book.payers(), period, opened)
    drafts, problems = outcome.drafts, [problem for found in outcome.blocked.values() for problem in found]
    if json:
        show_json(
            {
                "drafts": [
                    {
                        "partner_id": d.partner.id, "currency": d.currency, "total": money(d.total, d.currency),
                        "lines": [
                            {
                                "meter": x.rate.meter, **dict(zip(("first_day", "last_day"), screens.days(x.interval), strict=True)),
                                "quantity": plain(x.quantity), "amount": money(x.charge.amount, d.currency),
                            } for x in d.lines
                        ],
                        **screens.extras(d),
                    }
                    for d in drafts
                ],
                "problems": problems,
            }
        )  # fmt: skip
    else:
        screens.drafts(book, drafts)
    for problem in problems:
        complain(problem)
    return REFUSED if problems else 0


def issue(
    *, lake: LakeOption, period: PeriodOption, catalog: ClosingOption = None,
    legal_entity: EntityOption = None, accept_refused: AcceptOption = None, by: ByOption = None, json: JsonOption = False,
    now: NowOption = None,
) -> int:  # fmt: skip
    """Number the invoices of a closed month, and write them as PDF, JSON and CSV. Issuing again changes nothing.

    Partners that the close blocked are reported again, and the exit code is 3. A later close issues them.

    Example: tollbook invoice issue --lake demo/lake --period 2026-10
    """
    opened = Lake(lake)
    moment, who = the_time(now), by or getpass.getuser()
    if catalog is not None:
        book = catalogs.load(catalog)
        made = closed(
            opened, book, period, entity(book, legal_entity), now=moment, accept_refused=accept_refused, by=who
        )
    else:
        made = only_close(opened, period, legal_entity)
    with counter("invoices", quiet=json) as progress:
        report = issuing.issue(opened, made, now=moment, by=who, progress=progress)
    if json:
        show_json(
            {
                "close_id": made.close_id,
                "new": report.new,
                "invoices": [_row(i) for i in report.invoices],
                "without": report.without,
                "blocked": made.blocked,
            }
        )
    else:
        screens.issued(report)
    return _named_blocked(made)


def show(
    number: Annotated[str, Parameter(help="Invoice number.")], /, *, lake: LakeOption, json: JsonOption = False
) -> int:
    """Show an issued invoice: every line, its parts, and the evidence.

    Example: tollbook invoice show TW-2026-000001 --lake demo/lake
    """
    opened = Lake(lake)
    there = issuing.listed(opened)
    found = [i for i in there if i.number == number]
    if not found:
        known = shortened(", ".join(i.number for i in there)) or "none"
        raise WrongUse(f"no invoice {number!r} in {opened}; known invoices: {known}")
    if json:
        show_json(found[0].document)
    else:
        screens.invoice(found[0])
    return 0


def _named_blocked(made: Close) -> int:
    """Print what blocks which partner, and return the exit code."""
    for problems in made.blocked.values():
        for problem in problems:
            complain(problem)
    return UNBILLED if made.blocked else 0


def closed(
    lake: Lake, book: Catalog, period: str, legal_entity: str, *,
    now: datetime, accept_refused: str | None = None, by: str = audit.UNNAMED,
) -> Close:  # fmt: skip
    """Settle, so that no event id is billed twice, and compact, then close on the condition that the books are proven.

    The settlement first brings the derived tables up to date, so the commits of a killed run are included. A month
    without partners to bill is refused before anything is written.
    """

    def books(versions: Mapping[str, int], start: datetime, end: datetime) -> list[str]:
        return prove(lake, versions, start=start, end=end).problems

    closing.due(book, period, legal_entity, now)
    settle(lake, now=lambda: now)
    upkeep.before_close(lake, now=now)
    made = closing.close(lake, book, period, legal_entity, prove=books, now=now, accept_refused=accept_refused)
    facts = {"period": made.period, "legal_entity": made.legal_entity}
    audit.record(lake, [AuditEntry("close", made.close_id, facts)], by=by, now=now)
    return made


def entity(book: Catalog, named: str | None) -> str:
    """The named legal entity, or the only one. Raises WrongUse."""
    ids = [e.id for e in book.legal_entities]
    return one_of(ids, named, "the catalog has the legal entities")


def only_close(lake: Lake, period: str, legal_entity: str | None) -> Close:
    """The newest close of a month, of the named legal entity or the only one. Raises Refused, WrongUse."""
    month(period, "UTC")  # raises BadPeriod
    entities = sorted({c.legal_entity for c in closing.all_closes(lake) if c.period == period})
    if not entities:
        raise Refused(
            [
                f"{period} is not closed; run `tollbook invoice close --period {period}` first, or give --catalog to do both"
            ]
        )
    made = closing.newest_close(lake, period, one_of(entities, legal_entity, f"{period} is closed for"))
    assert made is not None
    return made


def one_of(ids: Sequence[str], named: str | None, what: str) -> str:
    """The named one of some ids, or the only one. Raises WrongUse."""
    if named is None and len(ids) == 1:
        return ids[0]
    if named not in ids:
        unknown = "" if named is None else f"no legal entity {named!r}: "
        raise WrongUse(f"{unknown}{what} {', '.join(ids) or 'none'}; name one with --legal-entity")
    return str(named)


def _row(issued: issuing.Issued) -> dict[str, Any]:
    return {
        "number": issued.number,
        "partner_id": issued.partner_id,
        "period": issued.period,
        "currency": issued.currency,
        "total": money(issued.total, issued.currency),
        "files": [str(f) for f in issued.files],
    }
