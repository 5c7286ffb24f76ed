"""`tollbook run`: log files to the lake."""

import sys
from collections.abc import Callable
from contextlib import nullcontext
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter, validators

from aggregate.landing.land import COMMIT_ENTRIES
from billing.catalog import loading as catalogs
from ingest.files.block_reader import BLOCK_BYTES
from lake.lake import Lake
from schemas.catalog.records import Catalog
from tollbook.cli import extras, progress
from tollbook.cli.errors import REFUSED, WrongUse
from tollbook.cli.metering import run_screens, trial_screens
from tollbook.cli.options import (
    AT_LEAST_ONE,
    CatalogOption,
    CommitEntriesOption,
    JsonOption,
    LakeOption,
    NowOption,
    source_name,
    the_clock,
    utc,
)
from tollbook.cli.signals import asked_to_stop
from tollbook.cli.terminal import complain, show_json, show_json_line
from tollbook.local_run import run as local_run
from tollbook.local_run import trial as trials

if TYPE_CHECKING:
    from tollbook.local_run.sending import Sending


def run(
    files: Annotated[
        list[str],
        Parameter(negative="", help="Log files (plain or compressed), folders and globs, read in the given order."),
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
            help="Name of the gateway that wrote these logs. Part of every event's key, so keep it the same for the same gateway.",
        ),
    ],
    received: Annotated[
        datetime | None,
        Parameter(
            "--received",
            help="Time of receipt of the logs. The source's time limits (35 days old, 5 minutes ahead) are relative to it; without it, none apply.",
        ),
    ] = None,
    final: Annotated[
        bool,
        Parameter(
            "--final",
            negative="",
            show_default=False,
            help="Read an unfinished last line as it is, instead of waiting for its rest.",
        ),
    ] = False,
    accept_form_errors: Annotated[
        bool,
        Parameter(
            "--accept-form-errors",
            negative="",
            show_default=False,
            help="Continue however many entries are refused for their form. Without it, the run stops before them.",
        ),
    ] = False,
    trust_user: Annotated[
        bool,
        Parameter(
            "--trust-user",
            negative="",
            show_default=False,
            help="Count user names that the log does not prove, as with trust_user of the source in the catalog.",
        ),
    ] = False,
    commit_entries: CommitEntriesOption = COMMIT_ENTRIES,
    block_bytes: Annotated[
        int,
        Parameter(
            "--block-bytes",
            env_var="TOLLBOOK_BLOCK_BYTES",
            validator=AT_LEAST_ONE,
            help="Bytes of text to read at a time. Limits memory.",
        ),
    ] = BLOCK_BYTES,
    follow: Annotated[
        bool,
        Parameter(
            "--follow",
            negative="",
            show_default=False,
            help="Keep reading as the files grow and are rotated, until SIGTERM. The catalog is read once, at the start.",
        ),
    ] = False,
    look_s: Annotated[
        float,
        Parameter(
            "--look-s",
            env_var="TOLLBOOK_LOOK_S",
            validator=validators.Number(gt=0),
            help="With --follow: interval in seconds to check for new lines. Each check that finds some makes a commit.",
        ),
    ] = local_run.LOOK_S,
    alerts: Annotated[
        Path | None,
        Parameter(
            "--alerts",
            env_var="TOLLBOOK_ALERTS",
            help="YAML file of the sinks that alerts are sent to: webhooks, Alertmanager, Slack, PagerDuty, e-mail.",
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        Parameter(
            "--dry-run",
            negative="",
            show_default=False,
            help="Show what the first entries of each file would become; write nothing. The lake need not exist. Duplicates are not recognised.",
        ),
    ] = False,
    lines: Annotated[
        int,
        Parameter(
            "--lines", validator=AT_LEAST_ONE, help="With --dry-run: maximum number of entries to read of each file."
        ),
    ] = trials.LINES,
    json: JsonOption = False,
    now: NowOption = None,
) -> int:
    """Read new lines of gateway logs into the lake, and count each once. Safe to kill and to repeat.

    A missing lake is created. The exit code is 1 if a file could not be read to its end; the other files are still
    read. It is also 1 if a larger share of entries than the source's max_refused_percent is refused for its form: none
    of these entries is landed, and the likely format is proposed. With --follow, each check that finds new lines prints
    its counts, or with --json one JSON object per line.

    --alerts sends the alerts that are recorded from now on. A sink that cannot be reached delays nothing and loses
    nothing: it is reported, and the next run continues with what it has not got. With --follow, each sink has a thread.

    --dry-run shows for the first entries of each file which are counted for which partner, which are refused and why,
    and the fields that were read, with secrets redacted. An entry that the run would recognise as a duplicate is
    counted there. The exit code is 1 where the run would stop or could not read a file.

    Example: tollbook run --catalog examples/catalog --lake lake --format kong --source edge logs/*.gz
    """
    opened = Lake(lake)
    source_name(source)
    book = catalogs.load(catalog)
    _check_together(follow=follow, final=final, dry_run=dry_run, alerts=alerts)
    if trust_user:
        book = book.trusting(source)
    if dry_run:
        return _try(
            opened, book, files, json=json, format_name=format, source=source, final=final, accept_form_errors=accept_form_errors,
            received_at=None if received is None else utc(received), lines=lines,
        )  # fmt: skip
    if follow:
        return _follow(
            opened, book, files, alerts, json=json, format_name=format, source=source, look_s=look_s, now=the_clock(now), accept_form_errors=accept_form_errors,
            received_at=None if received is None else utc(received), commit_entries=commit_entries, block_bytes=block_bytes,
        )  # fmt: skip
    sending = _sending(opened, alerts, the_clock(now))
    with progress.bar(source, quiet=json) as move:
        report = local_run.run(
            opened, book, local_run.found_files(files), format_name=format, source=source, now=the_clock(now),
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
    if sending is not None:
        for problem in sending.once():
            complain(problem)
    return REFUSED if report.problems or report.paused else 0


def _check_together(*, follow: bool, final: bool, dry_run: bool, alerts: Path | None) -> None:
    """Refuse options that contradict each other, and one whose extra is missing."""
    if dry_run and follow:
        raise WrongUse("--dry-run and --follow contradict each other; a dry run reads the first entries and ends")
    if dry_run and alerts is not None:
        raise WrongUse("--dry-run and --alerts contradict each other; a dry run records no alerts")
    if follow and final:
        raise WrongUse(
            "--follow and --final contradict each other; --follow waits for the rest of an unfinished line, --final does not"
        )
    if alerts is not None:
        extras.require("kafka", "--alerts")


def _sending(lake: Lake, file: Path | None, clock: Callable[[], datetime]) -> "Sending | None":
    """What sends the alerts that are recorded from now on; None: there is no file of sinks."""
    if file is None:
        return None
    from aggregate.sinks.sink import BadSink  # noqa: PLC0415  # the extra `kafka`
    from tollbook.local_run import sending  # noqa: PLC0415

    try:
        receivers = sending.read(file)
    except (BadSink, OSError) as exc:
        raise WrongUse(f"--alerts: {exc}") from exc
    lake.create()
    return sending.Sending(lake, receivers, clock)


def _try(lake: Lake, book: Catalog, files: list[str], *, json: bool, **how: Any) -> int:
    """Show what a run would do with the first entries."""
    found = trials.trial(lake, book, local_run.found_files(files), **how)
    if json:
        show_json(trial_screens.trial_row(found))
    else:
        trial_screens.trial_report(found)
    for each in found.files:
        for problem in each.problems:
            complain(problem)
        if each.paused:
            complain(trial_screens.paused(each))
    return REFUSED if any(each.problems or each.paused for each in found.files) else 0


def _complain_of_pause(report: local_run.RunReport) -> None:
    if report.paused is not None:
        complain(run_screens.paused(report.paused))


def _follow(lake: Lake, book: Catalog, files: list[str], alerts: Path | None, *, json: bool, **how: Any) -> int:
    """Follow until SIGTERM, and show the report of each check at once."""

    def show(look: local_run.RunReport) -> None:
        if json:
            show_json_line(run_screens.run_row(look))
        elif look.counts.entries:
            run_screens.run_report(book, look._replace(waiting={}))  # unfinished lines are shown at the end
        for problem in look.problems:
            complain(problem)
        sys.stdout.flush()

    sending = _sending(lake, alerts, how["now"])
    with asked_to_stop() as stop, nullcontext() if sending is None else sending.following():
        report = local_run.follow(lake, book, files, stop=stop, on_report=show, **how)
    if not json:
        run_screens.waiting(report)
    _complain_of_pause(report)
    return REFUSED if report.problems or report.paused else 0
