"""`tollbook dead list`, `show`, `redrive`: what was not counted, why, and how it is counted after all."""

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
from billing.usage import refused
from billing.usage.refused import Group
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
from tollbook.redrive.records import Recall
from tollbook.redrive.worth import Worth
from tollbook.redrive.worth import worth as worth_of

app = App(
    name="dead",
    help="Entries that were refused or conflict with a counted one.\n\nExample: tollbook dead list --lake demo/lake",
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
        "--since", help="Only requests from this time on (UTC); entries without a readable time are then left out."
    ),
]
UntilOption = Annotated[datetime | None, Parameter("--until", help="Only requests before this time (UTC).")]
LogsArgument = Annotated[
    list[str] | None,
    Parameter(
        negative="",
        help="The logs, where they are now: files, folders, globs. Without any those are tried that the lake names.",
    ),
]
FormatOption = Annotated[
    str, Parameter("--format", help="Log format that the lines are read in now; `tollbook formats` lists them.")
]
ReceivedOption = Annotated[
    datetime | None,
    Parameter(
        "--received",
        help="When the logs were received. Entries that were TOO_LATE or IN_FUTURE are judged against it, and left without it.",
    ),
]
FinalOption = Annotated[
    bool, Parameter("--final", negative="", show_default=False, help="Read half lines (PARTIAL_LINE) as they stand.")
]
CredentialOption = Annotated[
    str | None,
    Parameter("--credential", help="Only entries of this refused credential: its name in the list, or how it begins."),
]
AsOption = Annotated[
    str | None,
    Parameter(
        "--as",
        help="Also say what the entries of unknown credentials would be worth if they were this partner's; needs --catalog, --format and --source.",
    ),
]
DryRunOption = Annotated[
    bool,
    Parameter("--dry-run", negative="", show_default=False, help="Show what would become of them; write nothing."),
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
        Parameter("--catalog", env_var=CATALOG_VARIABLE, converter=folder_path, help="The prices for --as."),
    ] = None,
    format: Annotated[  # noqa: A002
        str | None, Parameter("--format", help="The log format that lines are read in again for --as.")
    ] = None,
    limit: Annotated[
        int, Parameter(validator=validators.Number(gte=0), help="At most so many entries, in the order of the logs.")
    ] = 20,
    csv: Annotated[
        bool,
        Parameter(
            "--csv", negative="", show_default=False, help="Print the entries as CSV; no cell of it is a formula."
        ),
    ] = False,
    json: JsonOption = False,
    now: NowOption = None,
) -> int:
    """Entries that are not counted, with reason, place and what mends them. Secrets in raw lines are struck out.

    Entries of credentials that are unknown or were not valid are also summed up by credential. Entries that a redrive has counted are no
    longer among them. --as PARTNER reads those of a source again, as if their credentials were the partner's, rates them by the catalog
    beside the partner's own usage, and writes nothing.

    Example: tollbook dead list --lake demo/lake --reason UNKNOWN_CREDENTIAL
    """
    opened = Lake(lake)
    _check_reason(reason)
    if credential is not None and not credential.isalnum():
        raise WrongUse(f"{credential!r} names no refused credential; `tollbook dead list` shows their names")
    asked = {"reason": reason, "source": source, "since": _utc(since), "until": _utc(until), "credential": credential}
    found = _letters(opened, {**asked, "letter": None, "limit": limit})
    sums, rows = found.sums, found.rows
    worth = None
    if as_partner is not None:
        if catalog is None or format is None or source is None:
            raise WrongUse("--as reads lines again and rates them: give --catalog, --format and --source, too")
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
    letter: Annotated[str, Parameter(help="The entry's name, or how it begins; `tollbook dead list` shows it.")],
    /,
    *,
    lake: LakeOption,
    json: JsonOption = False,
) -> int:
    """One entry that is not counted, whole: reason, place, the line with its secrets struck out, and what to do about it.

    Example: tollbook dead show 5a0c41d2e8f7 --lake demo/lake
    """
    opened = Lake(lake)
    if len(letter) < _LETTER_DIGITS_MIN or not letter.isalnum():
        raise WrongUse(
            f"{letter!r} names no entry; `tollbook dead list` shows their names, of which {_LETTER_DIGITS_MIN} digits will do"
        )
    asked = {
        "reason": None,
        "source": None,
        "since": None,
        "until": None,
        "credential": None,
        "letter": letter,
        "limit": 2,
    }
    rows = _letters(opened, asked).rows
    if not rows:
        raise WrongUse(f"no entry {letter!r} in {opened}; `tollbook dead list` shows their names")
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
    source: Annotated[str, Parameter("--source", help="The source whose entries are read again.")],
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
    """Read refused entries again, after the catalog, the format or a limit was mended, and count each of them once.

    Ids are those that the first reading would have given. Safe to kill and to repeat, also beside `tollbook ingest` and `land`. A
    line from which secrets were struck out, or whose text was erased, is taken from the log where it stood, or, with
    --bootstrap-servers, from the topic; it must still be what it was. Exit code 1 when entries had to be left, with the reason.

    Usage of a month that was invoiced already is in no issued invoice: `tollbook invoice verify` lists it as late.

    Example: tollbook dead redrive --catalog examples/catalog --lake demo/lake --format kong --source edge --reason UNKNOWN_CREDENTIAL
    """
    source_name(source)
    _check_reason(reason)
    report = redriving.redrive(
        Lake(lake),
        catalogs.load(catalog),
        Wanted(source, reason, _utc(since), _utc(until)),
        redriving.How(format, _utc(received), final),
        files=run.found_files(files) if files else (),
        recall=None if brokers is None else _records_at(brokers),
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


def _records_at(brokers: KafkaConfig) -> Recall:
    extras.require("kafka", "--bootstrap-servers")
    from tollbook.kafka.access_records import AccessRecords  # noqa: PLC0415  # the extra `kafka`

    return AccessRecords(brokers)


class _Found(NamedTuple):
    """Sums by reason, refused credentials, what these are called (where that is not erased), and letters."""

    sums: list[dict[str, Any]]
    groups: list[Group]
    named: Mapping[Group, str]
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
        raise WrongUse(f"no partner that pays is called {partner_id!r}; there are: {known}")
    return worth_of(lake, book, partner, wanted, how, credential=credential, now=now)


def _letters(lake: Lake, asked: Mapping[str, Any]) -> _Found:
    """What is asked for: letters with their text and the name of their file."""
    for attempt in again():
        with attempt:
            found = _read(Warehouse(lake, only=_TABLES), asked)
    return found


def _read(house: Warehouse, asked: Mapping[str, Any]) -> _Found:
    some = {k: asked[k] for k in ("reason", "source", "since", "until", "credential")}
    sums = house.query("dead_by_reason", some).to_pylist()
    groups = (
        []
        if asked["letter"]
        else refused.groups(
            house, asked["since"], asked["until"], source=asked["source"], credential=asked["credential"]
        )
    )
    texts = {
        (row["source"], row["reason"], row["credential_hash"]): row["detail"]
        for row in (house.query("credential_texts").to_pylist() if groups else [])
    }
    files = {(row["source"], row["generation"]): row["file"] for row in house.query("offsets").to_pylist()}
    rows: list[dict[str, Any]] = house.query("dead_letters", asked).to_pylist()
    for row in rows:
        row["raw"] = (row["raw"] or b"").decode(errors="backslashreplace")
        row["file"] = files.get((row["source"], row["generation"]))
    named = {group: texts[key] for group in groups if (key := (group.source, group.reason, group.credential)) in texts}
    return _Found(sums, groups, named, rows)


def _as_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """RFC 4180; text is disarmed for spreadsheets, and control characters are shown as escapes for terminals."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(_CSV_COLUMNS)
    for row in rows:
        given = {**row, "remedy": REMEDY[Reason(row["reason"])]}
        for name in ("occurred_at", "erased_at"):
            given[name] = None if row[name] is None else row[name].isoformat()
        writer.writerow([_cell(given[name]) for name in _CSV_COLUMNS])
    return out.getvalue()


def _cell(value: object) -> object:
    return text_cell(shown(value.rstrip("\r\n"))) if isinstance(value, str) else value


def _check_reason(reason: str | None) -> None:
    if reason is not None and reason not in Reason.__members__:
        raise WrongUse(f"unknown reason {reason!r}; there are: {', '.join(Reason)}")


def _utc(instant: datetime | None) -> datetime | None:
    return None if instant is None else utc(instant)
