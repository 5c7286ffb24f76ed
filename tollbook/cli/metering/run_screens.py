"""Screens of a run."""

from typing import Any

from ingest.decode.pausing import Paused
from schemas.catalog.records import Catalog
from tollbook.cli.metering.alert_screens import alert_row, alerts_tables
from tollbook.cli.terminal import sentence, shortened
from tollbook.local_run.run import RunReport


def run_report(catalog: Catalog, report: RunReport) -> None:
    """Counts, alerts and unfinished lines of a run."""
    counts = report.counts
    if not counts.entries and report.paused is not None:
        sentence("Nothing was landed.")
    elif not counts.entries:
        sentence("Nothing new to read.")
    else:
        sentence(
            (f"{counts.entries:,}", "bold"), " entries: ", (f"{counts.counted:,}", "bold"),
            f" counted, {counts.duplicates:,} duplicates, {counts.conflicts:,} conflicts, {counts.refused:,} refused",
        )  # fmt: skip
    if counts.refused or counts.conflicts:
        sentence("`tollbook dead list` shows the entries that were not counted, with remedies.", style="dim")
    if report.outside:
        marks = ", ".join(f"{number:,} {mark}" for mark, number in sorted(report.outside.items()))
        sentence(
            f"Not allowed by the credential's networks or policy, but counted: {marks}. `tollbook outside PARTNER` lists them.",
            style="yellow",
        )
    if report.alerts:
        alerts_tables(catalog, report.alerts)
    waiting(report)


def waiting(report: RunReport) -> None:
    """The files that end with an unfinished line."""
    for file, size in report.waiting.items():
        sentence(
            f"{shortened(file)} ends with an unfinished line ({size:,} bytes); it is read when the line is complete, or now with --final",
            style="yellow",
        )


def run_row(report: RunReport) -> dict[str, Any]:
    """A run as JSON."""
    return {
        **report.counts._asdict(),
        "entries": report.counts.entries,
        "outside": report.outside,
        "alerts": [alert_row(a) for a in report.alerts],
        "problems": report.problems,
        "waiting": report.waiting,
        "paused": None if report.paused is None else _paused_row(report.paused),
    }


def _paused_row(pause: Paused) -> dict[str, Any]:
    return {
        "file": pause.partition.file,
        "from_offset": pause.from_offset,
        "entries": pause.entries,
        "refused": pause.refused,
        "reasons": dict(pause.reasons),
        "format": pause.format,
    }


def paused(pause: Paused) -> str:
    """Why a source is paused and what to do, in one line."""
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in pause.reasons.items())
    remedy = (
        f"They look like {pause.format}: repeat the command with --format {pause.format}"
        if pause.format
        else "Compare the lines with the format (`tollbook formats detect FILE`), and repeat the command with the right --format"
    )
    return (
        f"source {pause.partition.source} is paused: {pause.refused:,} of {pause.entries:,} entries of {shortened(pause.partition.file)} "
        f"from byte {pause.from_offset:,} on were refused for their form ({reasons}), and none of these entries was landed. {remedy}, "
        "or with --accept-form-errors to land them all the same"
    )
