"""`tollbook invoice close|rate|issue|show|verify`: finance's month."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from aggregate.landing.settlement import settle
from aggregate.verify import prove
from billing.catalog import loading as catalogs
from billing.invoicing import closing, issuing
from billing.invoicing.closing import Close, Refused
from billing.invoicing.document import money
from billing.invoicing.unbilled import Unbilled
from billing.invoicing.unbilled import unbilled as unbilled_usage
from billing.rating.periods import month
from billing.usage.warehouse import Warehouse
from lake.lake import Lake
from schemas.catalog.records import Catalog
from schemas.money import plain
from tollbook.cli.errors import REFUSED, UNBILLED, WrongUse
from tollbook.cli.invoices import screens
from tollbook.cli.options import (
    CATALOG_VARIABLE,
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
app = App(
    name="invoice",
    help="From a finished month to invoices: close, rate, issue, show, verify, unbilled.\n\n"
    "Example: tollbook invoice issue --catalog examples/catalog --lake demo/lake --period 2026-10",
    help_epilogue="",
)


def _reason(_: type, text: str | None) -> None:
    if text is not None and not (text.strip() and text.isprintable() and len(text) <= _REASON_CHARACTERS):
        raise ValueError(f"must say why, in one line of at most {_REASON_CHARACTERS} characters")


# No variable: one that is set for other commands must not close a month.
ClosingOption = Annotated[
    Path | None, Parameter("--catalog", converter=folder_path, help="Close the month first, with this catalog.")
]
ExplainOption = Annotated[
    bool,
    Parameter(
        "--explain",
        negative="",
        help="Show what the rules of today would have billed for invoices that earlier rules issued, and verify nothing.",
    ),
]
NewestCatalogOption = Annotated[
    Path | None,
    Parameter(
        "--catalog",
        env_var=CATALOG_VARIABLE,
        converter=folder_path,
        help="The newest catalog, for partners that no close knew. Without it, that of the newest close.",
    ),
]
# What to do about usage that no issued invoice holds.
_REMEDIES = {
    "late": "came after its month was settled and changes no invoice that was issued; keep `tollbook invoice unbilled --json` for its correction",
    "not_issued": "is of partners that had no part in a month; `tollbook invoice issue --catalog …` issues the month for them",
    "unknown": "is of partners that are not in the catalog; name the newest one with --catalog, or bring them back",
}
EntityOption = Annotated[
    str | None, Parameter("--legal-entity", help="Who invoices; needed when the catalog has several.")
]

AcceptOption = Annotated[
    str | None,
    Parameter(
        "--accept-refused",
        validator=_reason,
        help="Why entries of unknown credentials may stay refused; kept in the close. `tollbook dead list` shows them.",
    ),
]


@app.command
def close(
    *,
    catalog: CatalogOption,
    lake: LakeOption,
    period: PeriodOption,
    legal_entity: EntityOption = None,
    accept_refused: AcceptOption = None,
    json: JsonOption = False,
    now: NowOption = None,
) -> int:
    """Fix the input of a month's invoices: table versions, offsets, completeness, catalog. Refused while anything is unexplained.

    A problem of one partner blocks the invoice of that partner alone. It is named, and the exit code is 3; close again when it is solved.

    Refused entries of credentials that are in no catalog may be a forgotten partner's: the month is closed without them only for a reason.

    Closing again with the same input changes nothing.

    Example: tollbook invoice close --catalog examples/catalog --lake demo/lake --period 2026-10
    """
    book = catalogs.load(catalog)
    made = closed(
        Lake(lake), book, period, entity(book, legal_entity), now=the_time(now), accept_refused=accept_refused
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


@app.command
def rate(*, catalog: CatalogOption, lake: LakeOption, period: PeriodOption, json: JsonOption = False) -> int:
    """Show what would be billed for a month now, line by line. Writes nothing; the month need not be over.

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


@app.command
def issue(
    *, lake: LakeOption, period: PeriodOption, catalog: ClosingOption = None,
    legal_entity: EntityOption = None, accept_refused: AcceptOption = None, json: JsonOption = False, now: NowOption = None,
) -> int:  # fmt: skip
    """Give a closed month's invoices their numbers and write PDF, JSON and CSV. Issuing again changes nothing.

    Partners that the close has blocked are named again, and the exit code is 3. They are issued from a later close.

    Example: tollbook invoice issue --lake demo/lake --period 2026-10
    """
    opened = Lake(lake)
    moment = the_time(now)
    if catalog is not None:
        book = catalogs.load(catalog)
        made = closed(opened, book, period, entity(book, legal_entity), now=moment, accept_refused=accept_refused)
    else:
        made = _only_close(opened, period, legal_entity)
    with counter("invoices", quiet=json) as progress:
        report = issuing.issue(opened, made, now=moment, progress=progress)
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


@app.command
def show(
    number: Annotated[str, Parameter(help="Invoice number.")], /, *, lake: LakeOption, json: JsonOption = False
) -> int:
    """Show an issued invoice: every line, how it is made up, and what it rests on.

    Example: tollbook invoice show TW-2026-000001 --lake demo/lake
    """
    opened = Lake(lake)
    there = issuing.listed(opened)
    found = [i for i in there if i.number == number]
    if not found:
        known = shortened(", ".join(i.number for i in there)) or "none"
        raise WrongUse(f"no invoice {number!r} in {opened}; there are: {known}")
    if json:
        show_json(found[0].document)
    else:
        screens.invoice(found[0])
    return 0


@app.command
def verify(
    *, lake: LakeOption, catalog: NewestCatalogOption = None, explain: ExplainOption = False, json: JsonOption = False
) -> int:
    """Rate and render every issued invoice again from its close, and compare the bytes. Lists usage that no issued invoice holds.

    Exit code 1 if a byte differs or a document is missing; else 3 if usage of settled months is in no invoice.

    Example: tollbook invoice verify --lake demo/lake
    """
    opened = Lake(lake)
    if explain:
        return _explained(opened, json=json)
    with counter("invoices", quiet=json) as progress:
        checked = issuing.verify(opened, progress)
    late = issuing.late_usage(opened)
    left = unbilled_usage(opened, None if catalog is None else catalogs.load(catalog))
    problems = [p for c in checked for p in c.problems]
    if json:
        invoices = [c._asdict() for c in checked]
        show_json(
            {"ok": not problems, "invoices": invoices, "late_usage": late, "unbilled": list(map(_unbilled_row, left))}
        )
    else:
        screens.verified(checked, late)
        screens.unbilled(left)
    for problem in problems:
        complain(problem)
    return REFUSED if problems else _told(left)


@app.command
def unbilled(*, lake: LakeOption, catalog: NewestCatalogOption = None, json: JsonOption = False) -> int:
    """List all usage of settled months that no issued invoice holds, with what it costs by the prices of its close.

    It came after its month was settled, or its partner had no part in the month, or no catalog knows the partner. Exit code 3 if
    there is any.

    Example: tollbook invoice unbilled --catalog examples/catalog --lake demo/lake
    """
    left = unbilled_usage(Lake(lake), None if catalog is None else catalogs.load(catalog))
    if json:
        show_json({"unbilled": list(map(_unbilled_row, left))})
    else:
        screens.unbilled(left, nothing="All usage of settled months is in issued invoices.")
    return _told(left)


def _told(left: Sequence[Unbilled]) -> int:
    """Say what to do about it; the exit code."""
    for kind, remedy in _REMEDIES.items():
        if partners := sorted({row.partner_id for row in left if row.kind == kind}):
            complain(f"usage that no invoice holds, of {shortened(', '.join(partners))}, {remedy}")
    return UNBILLED if left else 0


def _named_blocked(made: Close) -> int:
    """Say what blocks which partner; the exit code."""
    for problems in made.blocked.values():
        for problem in problems:
            complain(problem)
    return UNBILLED if made.blocked else 0


def _explained(lake: Lake, *, json: bool) -> int:
    """What the rules of today would have billed for invoices of earlier rules. Nothing is changed by it."""
    found = issuing.explained(lake)
    if json:
        rows = [
            {
                **e._asdict(),
                "issued": money(e.issued, e.currency),
                "would_be": None if e.would_be is None else money(e.would_be, e.currency),
            }
            for e in found
        ]
        show_json({"invoices": rows})
    else:
        screens.explained(found)
    return 0


def closed(
    lake: Lake, book: Catalog, period: str, legal_entity: str, *, now: datetime, accept_refused: str | None = None
) -> Close:
    """Settle, so that no identity is billed twice; then close with the proof of the books as the condition.

    What a run that was killed has committed is in it: a settlement brings the tables up to date first. A month that nobody is due to be
    billed for is refused before anything is written.
    """

    def books(versions: Mapping[str, int], start: datetime, end: datetime) -> list[str]:
        return prove(lake, versions, start=start, end=end).problems

    closing.due(book, period, legal_entity, now)
    settle(lake, now=lambda: now)
    return closing.close(lake, book, period, legal_entity, prove=books, now=now, accept_refused=accept_refused)


def entity(book: Catalog, named: str | None) -> str:
    """The legal entity that was named, or the only one. Raises WrongUse."""
    ids = [e.id for e in book.legal_entities]
    return _one_of(ids, named, "the catalog has the legal entities")


def _only_close(lake: Lake, period: str, legal_entity: str | None) -> Close:
    month(period, "UTC")  # raises BadPeriod
    entities = sorted({c.legal_entity for c in closing.all_closes(lake) if c.period == period})
    if not entities:
        raise Refused(
            [
                f"{period} is not closed; run `tollbook invoice close --period {period}` first, or give --catalog to do both"
            ]
        )
    made = closing.newest_close(lake, period, _one_of(entities, legal_entity, f"{period} is closed for"))
    assert made is not None
    return made


def _one_of(ids: Sequence[str], named: str | None, what: str) -> str:
    if named is None and len(ids) == 1:
        return ids[0]
    if named not in ids:
        unknown = "" if named is None else f"no legal entity {named!r}: "
        raise WrongUse(f"{unknown}{what} {', '.join(ids) or 'none'}; name one with --legal-entity")
    return str(named)


def _unbilled_row(found: Unbilled) -> dict[str, Any]:
    amount = None if found.amount is None or found.currency is None else money(found.amount, found.currency)
    return {**found._asdict(), "quantity": plain(found.quantity), "amount": amount}


def _row(issued: issuing.Issued) -> dict[str, Any]:
    return {
        "number": issued.number,
        "partner_id": issued.partner_id,
        "period": issued.period,
        "currency": issued.currency,
        "total": money(issued.total, issued.currency),
        "files": [str(f) for f in issued.files],
    }
