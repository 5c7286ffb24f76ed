"""`tollbook dead list`, `show`, `redrive`: entries that were not counted, the reasons, and how to count them."""

import csv
import io
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from cyclopts import App, Parameter, validators

from aggregate.landing.land import COMMIT_ENTRIES
from aggregate.landing.payloads import again
from aggregate.landing.redrive import Wanted
from billing.catalog import loading as catalogs
from billing.invoicing.render.cells import text_cell
from billing.rating import refused
from billing.rating.refused import RefusedGroup
from billing.usage.warehouse import Warehouse
from lake.lake import Lake
from schemas.reasons import REMEDY, Reason
from tollbook.cli import extras
from tollbook.cli.errors import REFUSED, WrongUse
from tollbook.cli.metering import dead_screens
from tollbook.cli.options import (
    CATALOG_VARIABLE,
    CatalogOption,
    CommitEntriesOption,
    JsonOption,
    LakeOption,
    NowOption,
    folder_path,
    source_name,
    the_clock,
    utc,
)
from tollbook.cli.terminal import complain, show_json, shown, write
from tollbook.kafka.options import KafkaConfig
from tollbook.local_run import run
from tollbook.redrive import redrive as redriving
from tollbook.redrive.records import Refetch
from tollbook.redrive.worth import Worth
from tollbook.redrive.worth import worth as worth_of

app = App(
    name="dead",
    help="Entries that were refused, or that conflict with a counted one.\n\nExample: tollbook dead list --lake demo/lake",
    help_epilogue="",
)
_LETTER_DIGITS_MIN = 4
_CSV_COLUMNS = ("letter", "outcome", "reason", "detail", "source", "file", "generation", "position", "item", "event_id", "partner_id",
                "occurred_at", "raw", "erased_at", "erased_by", "remedy")  # fmt: skip
_TABLES = ("dead", "texts", "redriven", "reads")

ReasonOption = Annotated[str | None, Parameter("--reason", help="Only this reason, such as UNKNOWN_CREDENTIAL.")]
SourceOption = Annotated[str | None, Parameter("--source", help="Only this source.")]
SinceOption = Annotated[
    datetime | None,
    Parameter(
        "--since", help="Only requests from this time on (UTC). Entries without a readable time are then omitted."
    ),
]
UntilOption = Annotated[datetime | None, Parameter("--until", help="Only requests before this time (UTC).")]
LogsArgument = Annotated[
    list[str] | None,
    Parameter(
        negative="",
        help="The logs at their current place: files, folders, globs. By default, the paths stored in the lake are tried.",
    ),
]
FormatOption = Annotated[
    str, Parameter("--format", help="Log format to read the lines with; `tollbook formats` lists them.")
]
ReceivedOption = Annotated[
    datetime | None,
    Parameter(
        "--received",
        help="Time of receipt of the logs. TOO_LATE and IN_FUTURE entries are checked against it; without it, they are not redriven.",
    ),
]
FinalOption = Annotated[
    bool,
    Parameter("--final", negative="", show_default=False, help="Read incomplete lines (PARTIAL_LINE) as they are."),
]
CredentialOption = Annotated[
    str | None,
    Parameter("--credential", help="Only entries of this refused credential: its name in the list, or a prefix of it."),
]
AsOption = Annotated[
    str | None,
    Parameter(
        "--as",
        help="Also estimate what entries of unknown credentials would be worth if they belonged to this partner. Needs --catalog, --format and --source.",
    ),
]
DryRunOption = Annotated[
    bool,
    Parameter("--dry-run", negative="", show_default=False, help="Show the outcome of each entry; write nothing."),
]


@app.command(name="list")
def dead_list(
    *,
    lake: LakeOption,
    reason: ReasonOption = None,
    source: SourceOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    credential: CredentialOption = None,
    as_partner: AsOption = None,
    catalog: Annotated[
        Path | None,
        Parameter(
            "--catalog", env_var=CATALOG_VARIABLE, converter=folder_path, help="Catalog with the prices for --as."
        ),
    ] = None,
    format: Annotated[  # noqa: A002
        str | None, Parameter("--format", help="Log format to read lines with for --as.")
    ] = None,
    limit: Annotated[
        int, Parameter(validator=validators.Number(gte=0), help="Maximum number of entries, in the order of the logs.")
    ] = 20,
    csv: Annotated[
        bool,
        Parameter(
            "--csv", negative="", show_default=False, help="Print the entries as CSV, without spreadsheet formulas."
        ),
    ] = False,
    json: JsonOption = False,
    now: NowOption = None,
) -> int:
    """List entries that were not counted, with reason, place and remedy. Secrets in raw lines are redacted.

    Entries of credentials that are unknown or were not valid are also summed by credential. Entries that a redrive has
    counted are omitted. --as PARTNER reads the entries of a source again as if their credentials were the partner's,
    and rates them by the catalog together with the partner's own usage. It writes nothing.

    Example: tollbook dead list --lake demo/lake --reason UNKNOWN_CREDENTIAL
    """
    opened = Lake(lake)
    _check_reason(reason)
    if credential is not None and not credential.isalnum():
        raise WrongUse(f"{credential!r} is not the name of a refused credential; `tollbook dead list` shows the names")
    filters = {"reason": reason, "source": source, "since": _utc(since), "until": _utc(until), "credential": credential}
    found = _letters(opened, {**filters, "letter": None, "limit": limit})
    sums, rows = found.sums, found.rows
    worth = None
    if as_partner is not None:
        if catalog is None or format is None or source is None:
            raise WrongUse("--as reads lines again and rates them, so it also needs --catalog, --format and --source")
        wanted = Wanted(source, None, _utc(since), _utc(until))
        worth = _worth(opened, catalog, as_partner, wanted, redriving.How(format), credential, the_clock(now))
    if json:
        by_credential = [{**group.row(), "detail": found.named.get(group)} for group in found.groups]
        shown_worth = {} if worth is None else {"worth": dead_screens.worth_row(worth)}
        show_json({"by_reason": sums, "by_credential": by_credential, **shown_worth, "entries": rows})
    elif csv:
        write(sys.stdout, _as_csv(rows))
    else:
        if found.groups and reason in {None, Reason.UNKNOWN_CREDENTIAL, Reason.CREDENTIAL_NOT_VALID}:
            dead_screens.refused_credentials(found.groups, found.named)
        if worth is not None:
            dead_screens.worth(worth)
        dead_screens.dead_tables(sums, rows, {str(r): REMEDY[r] for r in Reason})
    for problem in [] if worth is None else worth.problems:
        complain(problem)
    return REFUSED if worth is not None and worth.problems else 0


@app.command(name="show")
def dead_show(
    letter: Annotated[
        str, Parameter(help="Name of the entry, or a prefix of it. `tollbook dead list` shows the names.")
    ],
    /,
    *,
    lake: LakeOption,
    json: JsonOption = False,
) -> int:
    """Show an entry that was not counted: reason, place, remedy, and the line with redacted secrets.

    Example: tollbook dead show 5a0c41d2e8f7 --lake demo/lake
    """
    opened = Lake(lake)
    if len(letter) < _LETTER_DIGITS_MIN or not letter.isalnum():
        raise WrongUse(
            f"{letter!r} is not the name of an entry; give at least {_LETTER_DIGITS_MIN} digits of a name in `tollbook dead list`"
        )
    filters = {
        "reason": None,
        "source": None,
        "since": None,
        "until": None,
        "credential": None,
        "letter": letter,
        "limit": 2,
    }
    rows = _letters(opened, filters).rows
    if not rows:
        raise WrongUse(f"no entry {letter!r} in {opened}; `tollbook dead list` shows the names")
    if len(rows) > 1:
        raise WrongUse(
            f"several entries begin with {letter!r}: {rows[0]['letter']}, {rows[1]['letter']}; give more digits"
        )
    (row,) = rows
    remedy = REMEDY[Reason(row["reason"])]
    if json:
        show_json({**row, "remedy": remedy})
    else:
        dead_screens.dead_letter(row, remedy)
    return 0


@app.command
def redrive(
    files: LogsArgument = None,
    /,
    *,
    catalog: CatalogOption,
    lake: LakeOption,
    format: FormatOption,  # noqa: A002
    source: Annotated[str, Parameter("--source", help="Source whose entries are read again.")],
    reason: ReasonOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    received: ReceivedOption = None,
    final: FinalOption = False,
    dry_run: DryRunOption = False,
    commit_entries: CommitEntriesOption = COMMIT_ENTRIES,
    brokers: KafkaConfig | None = None,
    json: JsonOption = False,
    now: NowOption = None,
) -> int:
    """Read refused entries again after the catalog, the format or a limit was fixed, and count each of them once.

    Events get the same ids as at the first reading. It is safe to kill and to repeat, also while `tollbook ingest` and
    `land` run. A line with redacted secrets or an erased payload is read from its log or, with --bootstrap-servers,
    from the topic. It must be unchanged there. The exit code is 1 if entries could not be redriven; the reasons are
    listed.

    Usage of a month that is already invoiced is in no issued invoice. `tollbook invoice verify` lists it as late.

    Example: tollbook dead redrive --catalog examples/catalog --lake demo/lake --format kong --source edge --reason UNKNOWN_CREDENTIAL
    """  # noqa: W505  # the example is one line
    source_name(source)
    _check_reason(reason)
    report = redriving.redrive(
        Lake(lake),
        catalogs.load(catalog),
        Wanted(source, reason, _utc(since), _utc(until)),
        redriving.How(format, _utc(received), final),
        files=run.found_files(files) if files else (),
        refetch=None if brokers is None else _records_at(brokers),
        now=the_clock(now),
        dry_run=dry_run,
        commit_entries=commit_entries,
    )
    if json:
        show_json({"dry_run": dry_run, **dead_screens.redriven_row(report)})
    else:
        dead_screens.redriven(report, dry_run=dry_run)
    for problem in report.problems:
        complain(problem)
    return REFUSED if report.problems else 0


def _records_at(brokers: KafkaConfig) -> Refetch:
    extras.require("kafka", "--bootstrap-servers")
    from tollbook.kafka.access_records import AccessRecords  # noqa: PLC0415  # the extra `kafka`

    return AccessRecords(brokers)


class _DeadLetters(NamedTuple):
    """Sums by reason, refused credentials, the names of those that are not erased, and the dead letters."""

    sums: list[dict[str, Any]]
    groups: list[RefusedGroup]
    named: Mapping[RefusedGroup, str]
    rows: list[dict[str, Any]]


def _worth(
    lake: Lake,
    catalog: Path,
    partner_id: str,
    wanted: Wanted,
    how: redriving.How,
    credential: str | None,
    now: Callable[[], datetime],
) -> Worth:
    book = catalogs.load(catalog)
    partner = book.partner(partner_id)
    if partner is None or partner.is_internal:
        known = ", ".join(p.id for p in book.payers())
        raise WrongUse(f"no invoiced partner has the id {partner_id!r}; known ids: {known}")
    return worth_of(lake, book, partner, wanted, how, credential=credential, now=now)


def _letters(lake: Lake, filters: Mapping[str, Any]) -> _DeadLetters:
    """The dead letters that match the filters, with their payloads and file names."""
    for attempt in again():
        with attempt:
            found = _read(Warehouse(lake, only=_TABLES), filters)
    return found


def _read(house: Warehouse, filters: Mapping[str, Any]) -> _DeadLetters:
    shared = {k: filters[k] for k in ("reason", "source", "since", "until", "credential")}
    sums = house.query("dead_by_reason", shared).to_pylist()
    groups = (
        []
        if filters["letter"]
        else refused.groups(
            house, filters["since"], filters["until"], source=filters["source"], credential=filters["credential"]
        )
    )
    texts = {
        (row["source"], row["reason"], row["credential_hash"]): row["detail"]
        for row in (house.query("credential_texts").to_pylist() if groups else [])
    }
    files = {(row["source"], row["generation"]): row["file"] for row in house.query("offsets").to_pylist()}
    rows: list[dict[str, Any]] = house.query("dead_letters", filters).to_pylist()
    for row in rows:
        row["raw"] = (row["raw"] or b"").decode(errors="backslashreplace")
        row["file"] = files.get((row["source"], row["generation"]))
    named = {group: texts[key] for group in groups if (key := (group.source, group.reason, group.credential)) in texts}
    return _DeadLetters(sums, groups, named, rows)


def _as_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows as CSV (RFC 4180). Text cannot be a spreadsheet formula, and control characters are escaped."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(_CSV_COLUMNS)
    for row in rows:
        cells = {**row, "remedy": REMEDY[Reason(row["reason"])]}
        for name in ("occurred_at", "erased_at"):
            cells[name] = None if row[name] is None else row[name].isoformat()
        writer.writerow([_cell(cells[name]) for name in _CSV_COLUMNS])
    return out.getvalue()


def _cell(value: object) -> object:
    return text_cell(shown(value.rstrip("\r\n"))) if isinstance(value, str) else value


def _check_reason(reason: str | None) -> None:
    if reason is not None and reason not in Reason.__members__:
        raise WrongUse(f"unknown reason {reason!r}; known reasons: {', '.join(Reason)}")


def _utc(instant: datetime | None) -> datetime | None:
    return None if instant is None else utc(instant)
