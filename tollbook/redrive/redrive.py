"""`tollbook dead redrive`: reads refused entries again with the current catalog, and counts each of them once."""

import sys
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from aggregate.landing.land import COMMIT_ENTRIES, Counts
from aggregate.landing.redrive import Redrive, Wanted
from ingest.attribution.catalog_rules import attribution, source_decoder, source_rules
from ingest.decode import formats
from ingest.decode.pipeline import Decoder
from lake.lake import Lake
from schemas.alerts import Statement
from schemas.catalog.records import Catalog
from schemas.log import access_partition
from tollbook.alerting import evaluation
from tollbook.cli.errors import WrongUse
from tollbook.local_run.active import alone
from tollbook.redrive.files import FileReader, given, named
from tollbook.redrive.records import RecordReader, Refetch
from tollbook.redrive.turn import Turn


class Became(NamedTuple):
    """The outcome of entries that were refused for one reason: counted, duplicate, conflict, a reason, or `left`."""

    reason: str
    became: str
    entries: int


class Redriven(NamedTuple):
    """The result of a redrive or dry run. `problems` says which entries were left, and why."""

    outcomes: list[Became]
    counts: Counts
    problems: list[str]
    alerts: list[Statement]  # empty for lakes landed from Kafka, where `tollbook quota` alerts


class How(NamedTuple):
    """How lines are read again. Time limits need `received_at`; with `final`, incomplete lines are read as they are."""

    format_name: str
    received_at: datetime | None = None
    final: bool = False


def redrive(
    lake: Lake,
    catalog: Catalog,
    wanted: Wanted,
    how: How,
    *,
    now: Callable[[], datetime],
    files: Sequence[Path] = (),
    refetch: Refetch | None = None,
    dry_run: bool = False,
    commit_entries: int = COMMIT_ENTRIES,
    counted: Callable[[pa.Table], None] = lambda _: None,
) -> Redriven:
    """Read dead letters again, and count those that are no longer refused. Safe to kill and to repeat.

    `files` are the logs at their current place; without any, the paths stored in the lake are tried. `refetch` fetches
    records if the lake is landed from Kafka. `counted` receives the events that are counted, or would be in a dry run.
    Raises Busy, UnknownFormat, WrongUse, LakeError, Fenced.
    """
    formats.statement(how.format_name)
    lake.check()
    with alone(lake):
        if not dry_run:
            lake.create()  # adds columns of later versions
        worker = Redrive(lake, catalog_sha256=catalog.sha256, now=now, dry_run=dry_run)
        if worker.topics and (files or how.received_at or how.final):
            raise WrongUse(
                f"{lake} is landed from Kafka ({', '.join(worker.topics)}); remove the logs, --received and --final, "
                f"as records have their own time of receipt"
            )
        # A dry run is one batch: it commits nothing, so a second batch could not detect duplicates of the first.
        turn = Turn(worker, sys.maxsize if dry_run else commit_entries, counted)
        if worker.topics:
            _read_records(worker, turn, catalog, wanted, how, refetch)
        else:
            _read_files(worker, turn, catalog, wanted, how, lake, files)
        turn.settle()
        worker.end()
        alerts = [] if dry_run or worker.topics else evaluation.alert(lake, catalog, now=now())
        outcomes = [Became(*key, entries) for key, entries in sorted(turn.became.items())]
        return Redriven(outcomes, turn.counts, turn.problems, alerts)


def _read_records(
    worker: Redrive, turn: Turn, catalog: Catalog, wanted: Wanted, how: How, refetch: Refetch | None
) -> None:
    logs = worker.generations(wanted)
    if not logs:
        return
    as_records = source_decoder(catalog, attribution(catalog), how.format_name, wanted.source)
    reader = RecordReader(worker, turn, wanted, as_records, how.format_name, refetch)
    for name, file in logs.items():
        if place := access_partition(name):
            reader.read(place)
        else:
            why = f"{file or name}: it was read as a file, but the lake is now landed from Kafka; send its lines with `tollbook load`"
            turn.leave(worker.letters(wanted, name), why)


def _read_files(
    worker: Redrive, turn: Turn, catalog: Catalog, wanted: Wanted, how: How, lake: Lake, files: Sequence[Path]
) -> None:
    logs = worker.generations(wanted)
    paths = given(lake, wanted.source, files, turn.problems) if files else named(lake, wanted.source, logs)
    if not logs:
        return
    rules = source_rules(catalog, wanted.source, how.received_at)
    decoder = Decoder(how.format_name, rules, attribution(catalog))
    reader = FileReader(worker, turn, wanted, decoder, in_time=how.received_at is not None, final=how.final)
    for name, file in logs.items():
        reader.read(name, file or name, paths.get(name))
