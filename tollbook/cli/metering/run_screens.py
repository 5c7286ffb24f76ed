"""Screens of a run, its alerts, the proof of the books, and the catalog."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.padding import Padding

from aggregate.verify import Proof
from ingest.decode.pausing import Paused
from schemas.catalog.records import Catalog
from schemas.money import plain
from schemas.zones import zone
from tollbook.cli.figures import aligned, instant, metered, zone_of
from tollbook.cli.terminal import out, sentence, shortened, table, words
from tollbook.local_run.alerting import Raised
from tollbook.local_run.run import RunReport

_PERIODS = {"DAY": "{:%Y-%m-%d}", "WEEK": "{:%G-W%V}", "MONTH": "{:%Y-%m}"}


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
        alerts_table(catalog, report.alerts)
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


def alerts_table(catalog: Catalog, alerts: Sequence[Raised]) -> None:
    """The alerts of this run, and when quotas will be used up at the average rate so far."""
    view = table("Alerts (times in UTC)", "partner", "meter", ">at", ">used", ">quota", "period", ">crossed", "")
    ahead = []
    for alert, crossed_at, _ in alerts:
        rule = alert.rule
        start = rule.start.astimezone(zone(zone_of(catalog, rule.partner_id)))
        used, limit = aligned([alert.used, rule.limit])
        view.row(
            rule.partner_id, metered(catalog, rule.meter), f"{plain(alert.threshold_percent)} %", used, limit,
            _PERIODS[rule.kind].format(start), instant(crossed_at), "passed" if alert.passed else "" if alert.kind == "quota" else alert.kind,
        )  # fmt: skip
        if alert.projected_exhaustion_at and not alert.passed:
            ahead.append(
                f"{rule.partner_id} will have used up {rule.meter} by {instant(alert.projected_exhaustion_at)}"
            )
    out.print(view)
    for line in ahead:
        sentence(line, style="yellow")


def alert_row(raised: Raised) -> dict[str, Any]:
    """An alert as JSON."""
    alert = raised.alert
    return {
        "alert_id": alert.alert_id,
        "kind": alert.kind,
        "partner_id": alert.rule.partner_id,
        "meter": alert.rule.meter,
        "plan": alert.rule.plan,
        "threshold_percent": plain(alert.threshold_percent),
        "used": plain(alert.used),
        "quota": plain(alert.rule.limit),
        "limit_since": alert.rule.limit_since,
        "withdraws": alert.withdraws,
        "passed": alert.passed,
        "quota_period": alert.rule.kind,
        "period_start": alert.rule.start,
        "period_end": alert.rule.end,
        "crossed_at": raised.crossed_at,
        "projected_exhaustion_at": alert.projected_exhaustion_at,
        "events_version": raised.events_version,
    }


def proof(found: Proof) -> None:
    """Every check, and the balance of the books."""
    for check in found.checks:
        sentence(("  ok  ", "bold green") if not check.problems else (" FAIL ", "bold red"), check.name)
        for problem in check.problems:
            out.print(Padding(words(problem), (0, 0, 0, 8), expand=False))
    sentence(books_line(found.totals()))
    if found.files_not_hashed:
        files = "1 file has" if found.files_not_hashed == 1 else f"{found.files_not_hashed:,} files have"
        sentence(f"{files} no recorded hash, as an earlier version wrote them; only names and sizes were compared")
    if found.commits_on_the_way:
        commits = "1 commit" if found.commits_on_the_way == 1 else f"{found.commits_on_the_way:,} commits"
        sentence(
            f"{commits} of table events are newer and not in these books yet; the next `tollbook run` or land worker adds them"
        )


def books_line(totals: Mapping[str, int]) -> str:
    """The balance in one line."""
    return (
        f"Books: {totals['entries']:,} entries = {totals['counted']:,} counted + {totals['duplicates']:,} duplicates "
        f"+ {totals['conflicts']:,} conflicts + {totals['refused']:,} refused; unexplained: {totals['unexplained']:,}"
    )
