"""`tollbook run`, `usage`, `verify`, `catalog check`: the lake's commands."""

import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter, validators

from aggregate.landing.land import COMMIT_ENTRIES
from aggregate.verify import prove
from billing.catalog import loading as catalogs
from billing.rating.drafts import in_unit
from billing.rating.periods import month
from billing.usage.warehouse import Span, Warehouse
from ingest.files.block_reader import BLOCK_BYTES
from lake.lake import Lake
from schemas.catalog import checks
from schemas.catalog.json_schema import catalog_schema_text
from schemas.catalog.records import Catalog, Partner
from schemas.money import plain
from tollbook import month_sums
from tollbook.cli import progress
from tollbook.cli.errors import REFUSED, USAGE, WrongUse
from tollbook.cli.metering import run_screens, usage_screens
from tollbook.cli.options import (
    AT_LEAST_ONE,
    CATALOG_VARIABLE,
    CatalogOption,
    CommitEntriesOption,
    JsonOption,
    LakeOption,
    NowOption,
    PeriodOption,
    folder_path,
    source_name,
    the_clock,
    utc,
)
from tollbook.cli.signals import asked_to_stop
from tollbook.cli.terminal import complain, show_json, show_json_line, write
from tollbook.local_run import run as embedded

catalog = App(
    name="catalog",
    help="The catalog of partners, meters, prices and plans.\n\nExample: tollbook catalog check examples/catalog",
    help_epilogue="",
)


def run(
    files: Annotated[
        list[str],
        Parameter(negative="", help="Log files, plain, gzip or zstd; folders and globs, too. Read in the given order."),
    ],
    /,
    *,
    catalog: CatalogOption,
    lake: LakeOption,
    format: Annotated[str, Parameter("--format", help="Log format; `tollbook formats` lists them.")],  # noqa: A002
    source: Annotated[
        str,
        Parameter(
            "--source",
            help="Who wrote these logs. Part of every event's identity: keep it the same for the same gateway.",
        ),
    ],
    received: Annotated[
        datetime | None,
        Parameter(
            "--received",
            help="When the logs were received: the source's time limits (35 days old, 5 minutes ahead) are measured against it. Without it there are none.",
        ),
    ] = None,
    final: Annotated[
        bool,
        Parameter(
            "--final",
            negative="",
            show_default=False,
            help="Read an unfinished last line as it stands instead of waiting for its rest.",
        ),
    ] = False,
    accept_form_errors: Annotated[
        bool,
        Parameter(
            "--accept-form-errors",
            negative="",
            show_default=False,
            help="Take entries that are refused for their form as they are, however many; without it the run ends before them.",
        ),
    ] = False,
    commit_entries: CommitEntriesOption = COMMIT_ENTRIES,
    block_bytes: Annotated[
        int,
        Parameter(
            "--block-bytes",
            env_var="TOLLBOOK_BLOCK_BYTES",
            validator=AT_LEAST_ONE,
            help="Read so much text at a time; bounds memory.",
        ),
    ] = BLOCK_BYTES,
    follow: Annotated[
        bool,
        Parameter(
            "--follow",
            negative="",
            show_default=False,
            help="Go on reading as the files grow and are rotated, until SIGTERM. The catalog is read at the start.",
        ),
    ] = False,
    look_s: Annotated[
        float,
        Parameter(
            "--look-s",
            env_var="TOLLBOOK_LOOK_S",
            validator=validators.Number(gt=0),
            help="With --follow: look for new lines so often. Each look that finds some is a commit.",
        ),
    ] = embedded.LOOK_S,
    json: JsonOption = False,
    now: NowOption = None,
) -> int:
    """Read gateway logs into the lake: new lines only, each counted once. Safe to kill and to repeat.

    The lake is made if it is not there. Exit code 1 when a file could not be read to its end; the others were. Exit code 1, too, where more
    entries than the source's max_refused_percent are refused for their form: nothing of them is taken, and the format they are in is proposed. With --follow each
    look that found something prints its counts, and with --json one JSON object a line.

    Example: tollbook run --catalog examples/catalog --lake lake --format kong --source edge logs/*.gz
    """
    opened = Lake(lake)
    source_name(source)
    book = catalogs.load(catalog)
    if follow:
        if final:
            raise WrongUse(
                "--follow and --final contradict each other: the rest of an unfinished line is waited for, or it is not"
            )
        return _follow(
            opened, book, files, json=json, format_name=format, source=source, look_s=look_s, now=the_clock(now), accept_form_errors=accept_form_errors,
            received_at=None if received is None else utc(received), commit_entries=commit_entries, block_bytes=block_bytes,
        )  # fmt: skip
    with progress.bar(source, quiet=json) as move:
        report = embedded.run(
            opened, book, embedded.found_files(files), format_name=format, source=source, now=the_clock(now),
            received_at=None if received is None else utc(received), final=final, accept_form_errors=accept_form_errors,
            commit_entries=commit_entries, block_bytes=block_bytes, progress=move,
        )  # fmt: skip
    if json:
        show_json(run_screens.run_row(report))
    else:
        run_screens.run_report(book, report)
    for problem in report.problems:
        complain(problem)
    _complain_of_pause(report)
    return REFUSED if report.problems or report.paused else 0


def _complain_of_pause(report: embedded.Report) -> None:
    if report.paused is not None:
        complain(run_screens.paused(report.paused))


def _follow(lake: Lake, book: Catalog, files: list[str], *, json: bool, **how: Any) -> int:
    """Follow until SIGTERM; what each look found is shown at once."""

    def tell(look: embedded.Report) -> None:
        if json:
            show_json_line(run_screens.run_row(look))
        elif look.counts.entries:
            run_screens.run_report(book, look._replace(waiting={}))  # what waits is told at the end
        for problem in look.problems:
            complain(problem)
        sys.stdout.flush()

    with asked_to_stop() as stop:
        report = embedded.follow(lake, book, files, stop=stop, tell=tell, **how)
    if not json:
        run_screens.waiting(report)
    _complain_of_pause(report)
    return REFUSED if report.problems or report.paused else 0


def usage(
    partner: Annotated[str | None, Parameter(help="Partner id; without it the sums of all partners.")] = None,
    /,
    *,
    catalog: CatalogOption,
    lake: LakeOption,
    period: PeriodOption,
    json: JsonOption = False,
) -> int:
    """What was used in a month: sums and quotas by partner and meter, and of one partner every day and route.

    Quantities are in each meter's unit. Of a quota by day or week the fullest day or week of the month is shown.

    Example: tollbook usage northwind --catalog examples/catalog --lake demo/lake --period 2026-10
    """
    book = catalogs.load(catalog)
    who = None if partner is None else _partner(book, partner)
    house = Warehouse(Lake(lake), only=["rollups"])
    sums = month_sums.of_month(house, book, book.partners if who is None else [who], period)
    rows = [] if who is None else _by_day_and_route(house, book, who, period)
    if json:
        said = [{**row, "quantity": plain(row["quantity"])} for row in rows]
        show_json({"sums": [month_sums.row(book, each) for each in sums], "by_day_and_route": said})
    else:
        usage_screens.sums(book, period, sums, who)
        if who is not None:
            usage_screens.usage_table(book, who, period, rows)
    return 0


def _by_day_and_route(house: Warehouse, book: Catalog, who: Partner, period: str) -> list[dict[str, Any]]:
    spans = [Span(who.id, m.id, *month(period, who.time_zone)) for m in book.meters]
    rows: list[dict[str, Any]] = house.usage_by_day_and_route(book, spans, who.time_zone).to_pylist()
    for row in rows:
        row["quantity"] = in_unit(book, row["meter"], row["quantity"])
    return rows


def outside(
    partner: Annotated[str, Parameter(help="Partner id.")],
    /,
    *,
    catalog: CatalogOption,
    lake: LakeOption,
    period: PeriodOption,
    json: JsonOption = False,
) -> int:
    """A partner's usage in a month outside of what was agreed for its credentials: counted, marked, and listed here.

    By mark, credential, network and action: NETWORK is from elsewhere, ACTION and RESOURCE are not in the policy, UNKNOWN
    could not be told.

    Example: tollbook outside northwind --catalog examples/catalog --lake demo/lake --period 2026-10
    """
    who = _partner(catalogs.load(catalog), partner)
    start, end = month(period, who.time_zone)
    found = Warehouse(Lake(lake), only=["events"]).query("outside", {"partner_id": who.id, "start": start, "end": end})
    rows = found.to_pylist()
    if json:
        show_json(rows)
    else:
        usage_screens.outside_table(who, period, rows)
    return 0


def verify(*, lake: LakeOption, json: JsonOption = False) -> int:
    """Prove the books from the lake alone: lines = counted + duplicates + conflicts + refused, no identity twice, rollups = events.

    Every file is read and compared with the hash in the commit that added it. Beside running workers it proves the newest state in which
    all tables tell the same.

    Exit code 1 if anything does not hold.

    Example: tollbook verify --lake demo/lake
    """
    opened = Lake(lake)
    opened.check()  # what is no lake has no books that could be wrong
    proof = prove(opened)
    if json:
        show_json(
            {
                "ok": not proof.problems,
                **proof.totals(),
                "commits_on_the_way": proof.commits_on_the_way,
                "files_not_hashed": proof.files_not_hashed,
                "checks": [c._asdict() for c in proof.checks],
                "files": proof.books,
            }
        )
    else:
        run_screens.proof(proof)
    return REFUSED if proof.problems else 0


def _partner(book: Catalog, partner_id: str) -> Partner:
    who = book.partner(partner_id)
    if who is None:
        raise WrongUse(f"no partner {partner_id!r} in the catalog; there are: {', '.join(p.id for p in book.partners)}")
    return who


@catalog.command(name="schema")
def catalog_schema() -> int:
    """Print the JSON Schema of a catalog file, for editors and other programs. It is published as schemas/catalog.schema.json.

    Example: tollbook catalog schema
    """
    write(sys.stdout, catalog_schema_text())
    return 0


@catalog.command(name="check")
def catalog_check(
    folder: Annotated[
        Path, Parameter(env_var=CATALOG_VARIABLE, converter=folder_path, help="Folder of the catalog's YAML files.")
    ],
    /,
    *,
    json: JsonOption = False,
) -> int:
    """Check a catalog as a whole: every problem at once, with file, line and remedy. Exit code 2 if there is one.

    What looks like a secret in the place of an id is a problem; what only might be one is told, and the exit code is 0.

    Example: tollbook catalog check examples/catalog
    """
    try:
        book = catalogs.load(folder)
    except catalogs.CatalogError as exc:
        if json:
            show_json({"ok": False, "problems": [p._asdict() for p in exc.problems]})
            return USAGE
        raise
    doubts = checks.doubts(book)
    if json:
        show_json(
            {
                "ok": True,
                "sha256": book.sha256,
                "doubts": doubts,
                **{n: len(getattr(book, n)) for n in type(book).model_fields},
            }
        )
    else:
        run_screens.catalog_summary(book, doubts)
    return 0
