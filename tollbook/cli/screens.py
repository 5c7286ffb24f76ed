"""What people see: tables on a terminal. Values come ready; nothing is computed here but their looks."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from rich.padding import Padding

from aggregate.landing.settlement import Settled
from aggregate.retention import Erased, Rule
from aggregate.verify import Proof
from billing.invoicing.document import money
from billing.usage.refused import Group
from ingest.decode.detection import Reading as Detected
from ingest.decode.formats import Format
from ingest.decode.pausing import Paused
from schemas.catalog.records import Catalog, Partner
from schemas.money import plain
from schemas.reasons import Reason
from schemas.zones import zone
from tollbook.cli.terminal import out, sentence, shortened, table, words
from tollbook.local_run.alerting import Raised
from tollbook.local_run.run import Report
from tollbook.redrive.redrive import Redriven
from tollbook.redrive.worth import Worth, total

_RAW_CHARACTERS = 300
_GROUPS_SHOWN = 20
_BECAME = {
    "counted": "counted",
    "duplicate": "a duplicate of a counted entry",
    "conflict": "in conflict with a counted entry",
}
_PERIODS = {"DAY": "{:%Y-%m-%d}", "WEEK": "{:%G-W%V}", "MONTH": "{:%Y-%m}"}


def run_report(catalog: Catalog, report: Report) -> None:
    """Counts, alerts and unfinished lines of a run."""
    counts = report.counts
    if not counts.entries and report.paused is not None:
        sentence("Nothing was taken.")
    elif not counts.entries:
        sentence("Nothing new to read.")
    else:
        sentence(
            (f"{counts.entries:,}", "bold"), " entries: ", (f"{counts.counted:,}", "bold"),
            f" counted, {counts.duplicates:,} duplicates, {counts.conflicts:,} conflicts, {counts.refused:,} refused",
        )  # fmt: skip
    if counts.refused or counts.conflicts:
        sentence("`tollbook dead list` shows what was not counted, and what mends it.", style="dim")
    if report.outside:
        marks = ", ".join(f"{number:,} {mark}" for mark, number in sorted(report.outside.items()))
        sentence(
            f"Outside of what was agreed, and counted: {marks}. `tollbook outside PARTNER` lists them.", style="yellow"
        )
    if report.alerts:
        alerts_table(catalog, report.alerts)
    waiting(report)


def waiting(report: Report) -> None:
    """The files that end inside a line."""
    for file, size in report.waiting.items():
        sentence(
            f"{shortened(file)} ends inside a line ({size:,} bytes); it is read when the rest has come, or now with --final",
            style="yellow",
        )


def run_row(report: Report) -> dict[str, Any]:
    """A run for programs."""
    return {
        **report.counts._asdict(),
        "entries": report.counts.entries,
        "outside": report.outside,
        "alerts": [alert_row(a) for a in report.alerts],
        "problems": report.problems,
        "waiting": report.waiting,
        "paused": None if report.paused is None else _paused_row(report.paused),
    }


def _paused_row(said: Paused) -> dict[str, Any]:
    return {
        "file": said.partition.file,
        "from_offset": said.from_offset,
        "entries": said.entries,
        "refused": said.refused,
        "reasons": dict(said.reasons),
        "format": said.format,
    }


def paused(said: Paused) -> str:
    """Why a source is paused, in one line, and what to do."""
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in said.reasons.items())
    other = (
        f"They look like {said.format}: repeat the command with --format {said.format}"
        if said.format
        else "Compare the lines with the format (`tollbook formats detect FILE`), and repeat the command with the right --format"
    )
    return (
        f"source {said.partition.source} is paused: {said.refused:,} of {said.entries:,} entries of {shortened(said.partition.file)} "
        f"from byte {said.from_offset:,} on were refused for their form ({reasons}), and none of these entries was taken. {other}, "
        "or with --accept-form-errors to take them as they are"
    )


def alerts_table(catalog: Catalog, alerts: Sequence[Raised]) -> None:
    """Alerts that fired now, and when a quota will be used up at the average rate so far."""
    view = table("Alerts (times in UTC)", "partner", "meter", ">at", ">used", ">quota", "period", ">crossed", "")
    ahead = []
    for alert, crossed_at, _ in alerts:
        rule = alert.rule
        start = rule.start.astimezone(zone(_zone(catalog, rule.partner_id)))
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
    """An alert for programs."""
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


def usage_table(catalog: Catalog, partner: Partner, period: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """One line per day and route, one column per meter, and the month's sums."""
    meters = [m.id for m in catalog.meters if any(r["meter"] == m.id for r in rows)]
    if not rows:
        sentence(f"{partner.id} used nothing in {period}.")
        return
    title = f"{partner.name}, {period} ({partner.time_zone})"
    view = table(title, "day", "route", *(f">{metered(catalog, m)}" for m in meters))
    lines = list(dict.fromkeys((str(r["day"]), r["route"]) for r in rows))
    columns = [_column(m, lines, rows) for m in meters]
    previous = ""
    for (day, route), *cells in zip(lines, *columns, strict=False):
        view.row("" if day == previous else day, route or "-", *cells)
        previous = day
    view.add_section()
    view.row("total", "", *(column[-1] for column in columns), style="bold")
    out.print(view)


def outside_table(partner: Partner, period: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """One line per mark, credential, network and action, the most frequent first, each with its first events."""
    if not rows:
        sentence(f"All usage of {partner.id} in {period} lies inside of what was agreed, as far as anything was.")
        return
    title = f"{partner.name}, {period}: counted, outside of what was agreed (times in UTC)"
    view = table(title, "mark", "network", "service", "action", ">requests", ">first", ">last")
    for row in rows:
        view.row(
            row["outside"], row["client_network"] or "unknown", row["service"] or "-", row["route"] or "-", f"{row['requests']:,}",
            instant(row["first_seen"]), instant(row["last_seen"]),
        )  # fmt: skip
    out.print(view)
    for row in rows:
        ids = ", ".join(shortened(event_id) for event_id in row["event_ids"])
        sentence(f"{row['outside']} by {shortened(row['credential'] or 'a tag')}: {ids}", style="dim")


def proof(found: Proof) -> None:
    """Every check, and the books."""
    for check in found.checks:
        sentence(("  ok  ", "bold green") if not check.problems else (" FAIL ", "bold red"), check.name)
        for problem in check.problems:
            out.print(Padding(words(problem), (0, 0, 0, 8), expand=False))
    sentence(books_line(found.totals()))
    if found.files_not_hashed:
        files = "1 file is" if found.files_not_hashed == 1 else f"{found.files_not_hashed:,} files are"
        sentence(f"{files} not hashed: written before hashes were recorded; only names and sizes were compared")
    if found.commits_on_the_way:
        commits = "1 commit" if found.commits_on_the_way == 1 else f"{found.commits_on_the_way:,} commits"
        sentence(
            f"{commits} of table events came later and are not in these books yet; the next `tollbook run` or land worker brings them in"
        )


def books_line(totals: Mapping[str, int]) -> str:
    """The balance in one line."""
    return (
        f"Books: {totals['entries']:,} entries = {totals['counted']:,} counted + {totals['duplicates']:,} duplicates "
        f"+ {totals['conflicts']:,} conflicts + {totals['refused']:,} refused; unexplained: {totals['unexplained']:,}"
    )


def formats_table(formats: Sequence[Format]) -> None:
    """All formats, a line each."""
    view = table(None, "format", "what it reads")
    for f in formats:
        view.row(f.name, title(f))
    out.print(view)
    sentence("`tollbook formats NAME` shows a format's fields, units and id rule. Try one on a file:")
    sentence("python -m ingest parse --format NAME FILE")


def readings_table(likely: Sequence[Detected], found: Sequence[Detected]) -> None:
    """Which formats read a sample of a log, how much of it and in it, and what to do next."""
    if not found:
        sentence("The file holds no line.")
        return
    if not likely:
        reasons = ", ".join(sorted({r.refused for r in found}))
        sentence(
            f"No format reads any of these lines ({reasons}). `tollbook formats` lists what is read.", style="yellow"
        )
        sentence("A format of your own is one SQL file: docs/formats.md shows how to write it.")
        return
    view = table(None, "format", ">lines read", ">of", ">fields in each", "most refused for")
    for r in likely:
        view.row(r.format, f"{r.accepted:,}", f"{r.entries:,}", f"{r.fields / r.accepted:.1f}", r.refused)
    out.print(view)
    first = [r.format for r in likely if r.rank == likely[0].rank]
    if len(first) == 1:
        sentence((first[0], "bold"), " reads most of it. Look at what it reads:")
    else:
        sentence(
            (" and ".join((", ".join(first[:-1]), first[-1])), "bold"),
            " read it equally well: take the gateway that wrote it.",
        )
    sentence(f"python -m ingest parse --format {first[0]} FILE")


def format_text(found: Format) -> None:
    """The header of a format, a paragraph for each of its topics."""
    for paragraph in _paragraphs(found.header):
        if not paragraph.startswith(("in:", "out:")):
            sentence(paragraph)


def title(found: Format) -> str:
    """The first sentence of a format's header."""
    first = next(_paragraphs(found.header)).removeprefix(f"{found.name}:").strip()
    return first.partition(". ")[0].rstrip(".")


def dead_tables(
    sums: Sequence[Mapping[str, Any]], rows: Sequence[Mapping[str, Any]], remedies: Mapping[str, str]
) -> None:
    """Sums by reason with the remedy, then the entries."""
    if not sums:
        sentence("No dead letters.")
        return
    view = table("Not counted", "reason", "source", ">entries", "what to do")
    for row in sums:
        view.row(row["reason"], row["source"], f"{row['entries']:,}", remedies.get(row["reason"], ""))
    out.print(view)
    out.print()
    for row in rows:
        place = f"  {row['source']}: {row['file'] or row['generation']}, byte {row['position']:,}"
        sentence(f"{row['letter']}  ", (row["reason"], "bold"), shortened(f"{place}  {row['detail'] or ''}"))
        raw = words(" ".join(shortened(_text(row).strip(), _RAW_CHARACTERS).split("\n")))
        raw.overflow = "fold"
        out.print(Padding(raw, (0, 0, 0, 4), expand=False), style="dim")
    total = sum(row["entries"] for row in sums)
    if len(rows) < total:
        sentence(f"{len(rows):,} of {total:,} entries shown; --limit shows more.", style="dim")


def refused_credentials(groups: Sequence[Group], named: Mapping[Group, str]) -> None:
    """Refused credentials, each with how often and when; what it is called unless that was erased."""
    view = table("Unknown credentials", "name", "credential", "source", ">entries", "first", "last")
    for group in groups[:_GROUPS_SHOWN]:
        name = named.get(group) or ("erased" if group.credential else "before there were names")
        reason = "" if group.reason == Reason.UNKNOWN_CREDENTIAL else " (not valid)"
        view.row(
            group.name, shortened(name) + reason, group.source, f"{group.entries:,}", f"{group.first_at:%Y-%m-%d}", f"{group.last_at:%Y-%m-%d}"
        )  # fmt: skip
    out.print(view)
    if len(groups) > _GROUPS_SHOWN:
        sentence(f"{_GROUPS_SHOWN} of {len(groups):,} shown; --json shows all.", style="dim")
    out.print()


def worth(found: Worth) -> None:
    """What refused entries would be worth."""
    sentence((f"{found.entries:,}", "bold"), f" entries, if they were of {found.partner_id}, would be worth:")
    view = table(None, "month", "meter", ">quantity", ">amount")
    for month, rows in found.months.items():
        for extra in rows:
            view.row(
                month,
                extra.meter,
                f"{number(extra.quantity)} {extra.unit}",
                f"{money(extra.amount, extra.currency)} {extra.currency}",
            )
    out.print(view)
    for currency, amount in total(found).items():
        sentence(f"total {money(amount, currency)} {currency}", style="bold")
    out.print()


def worth_row(found: Worth) -> dict[str, Any]:
    """The same as data."""
    return {
        "partner_id": found.partner_id,
        "entries": found.entries,
        "lines": [
            {"period": month, "meter": x.meter, "quantity": plain(x.quantity), "unit": x.unit, "amount": money(x.amount, x.currency), "currency": x.currency}
            for month, rows in found.months.items()
            for x in rows
        ],
        "totals": {currency: money(amount, currency) for currency, amount in total(found).items()},
        "problems": found.problems,
    }  # fmt: skip


def dead_letter(row: Mapping[str, Any], remedy: str) -> None:
    """One letter, whole."""
    where = row["file"] or row["generation"]
    item = f", entry {row['item']} of the line" if row["item"] else ""
    said = {
        "reason": f"{row['reason']} ({row['outcome']})",
        "detail": row["detail"],
        "source": row["source"],
        "place": f"{where}, byte {row['position']:,}{item}",
        "log": row["generation"],
        "request time": None if row["occurred_at"] is None else row["occurred_at"].astimezone(UTC).isoformat(),
        "event id": row["event_id"],
        "partner": row["partner_id"],
        "sha256 of the line": row["raw_sha256"],
        "what to do": remedy,
        "redriven": None if row["became"] is None else f"yes; it is {_BECAME[row['became']]}",
    }
    view = table(f"Dead letter {row['letter']}", "", "")
    view.show_header = False
    for name, value in said.items():
        if value is not None:
            view.add_row(name, words(value.replace("\n", "\\n")))
    out.print(view)
    out.print()
    raw = words(_text(row).rstrip("\r\n"))
    raw.overflow = "fold"
    out.print(raw)


def redriven_row(report: Redriven) -> dict[str, Any]:
    """A redrive for programs."""
    return {
        **report.counts._asdict(),
        "outcomes": [o._asdict() for o in report.outcomes],
        "problems": report.problems,
        "alerts": [alert_row(a) for a in report.alerts],
    }


def _text(row: Mapping[str, Any]) -> str:
    """The text of a letter, or what became of it."""
    if row["erased_at"] is None:
        return str(row["raw"]) or "(no text is kept)"
    return f"(text erased at {row['erased_at'].astimezone(UTC):%Y-%m-%dT%H:%MZ}: {row['erased_by']})"


def redriven(report: Redriven, *, dry_run: bool) -> None:
    """What became of refused entries."""
    if not report.outcomes:
        sentence("No refused entry to read again.")
        return
    view = table("What would become of them" if dry_run else "Read again", "was refused for", "is now", ">entries")
    for row in report.outcomes:
        now = _BECAME.get(row.became) or ("left as it is" if row.became == "left" else f"still refused: {row.became}")
        view.row(row.reason, now, f"{row.entries:,}")
    out.print(view)
    if dry_run:
        sentence("Nothing was written.", style="dim")


def erased(rule: Rule, done: Erased, *, dry_run: bool) -> None:
    """What was erased of the text of dead letters."""
    if not (done.texts or done.files):
        sentence(f"Nothing to erase: no text is from before {rule.before:%Y-%m-%dT%H:%MZ}; {done.kept:,} are kept.")
        return
    said = " to erase, from before " if dry_run else " erased, from before "
    sentence((f"{done.texts:,}", "bold"), f" texts{said}{rule.before:%Y-%m-%dT%H:%MZ}; {done.kept:,} are kept.")
    sentence(f"{done.files:,} files {'to delete' if dry_run else 'deleted'}.", style="dim")
    if dry_run:
        sentence("Nothing was written.", style="dim")


def settled(done: Settled) -> None:
    """What a settlement compared and took out."""
    if not done.recent:
        sentence("Nothing was landed since the last settlement.")
        return
    sentence(
        (f"{done.recent:,}", "bold"), f" events landed since the last settlement, {done.earlier:,} before it: ",
        (f"{done.withdrawn:,}", "bold"), " taken out as conflicts.",
    )  # fmt: skip
    if done.withdrawn:
        sentence("`tollbook dead list --reason ID_CONFLICT` shows them.", style="dim")


def catalog_summary(catalog: Catalog, doubts: Sequence[str]) -> None:
    """What is in a catalog that holds together, and what a person should look at."""
    view = table("The catalog holds together", "partner", "status", "plan", "rate card", "credentials")
    for p in catalog.partners:
        plans = ", ".join(a.plan for a in p.plans) or "none"
        cards = ", ".join(sorted({catalog.plan(a.plan).rate_card for a in p.plans}))
        view.row(p.id, p.status, plans, cards, ", ".join(c.kind for c in p.credentials))
    out.print(view)
    sizes = ((catalog.meters, "meter"), (catalog.rate_cards, "rate card"), (catalog.plans, "plan"))
    sentence(", ".join(f"{len(found)} {name}{'' if len(found) == 1 else 's'}" for found, name in sizes))
    for doubt in doubts:
        sentence(doubt, style="yellow")
    sentence(f"sha256 {catalog.sha256}", style="dim")


def number(value: Decimal | int) -> str:
    """A number with groups of three."""
    whole, point, fraction = plain(Decimal(value)).partition(".")
    sign = "-" if whole.startswith("-") else ""
    return f"{sign}{abs(int(whole)):,}{point}{fraction}"


def aligned(values: Iterable[Decimal]) -> list[str]:
    """Numbers with groups of three, all with as many decimals as the longest, so that the points stand below each other."""
    found = [number(value).partition(".") for value in values]
    decimals = max((len(fraction) for *_, fraction in found), default=0)
    return [whole + (f".{fraction:0<{decimals}}" if decimals else "") for whole, _, fraction in found]


def metered(catalog: Catalog, meter_id: str) -> str:
    """A meter with its unit: `egress (GB)`; of one that is called like its unit the name alone."""
    unit = catalog.meter(meter_id).unit
    return meter_id if unit == meter_id else f"{meter_id} ({unit})"


def instant(moment: datetime | None) -> str:
    """A UTC instant to the minute, or nothing. Beside a period, which says the year."""
    return "" if moment is None else f"{moment.astimezone(UTC):%m-%d %H:%M}"


def _column(meter: str, lines: Sequence[tuple[str, str]], rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """A meter's cells for each line, empty where it counted nothing, and its sum."""
    found = {(str(r["day"]), r["route"]): r["quantity"] for r in rows if r["meter"] == meter}
    *cells, total = aligned([*found.values(), sum(found.values(), Decimal(0))])
    by_line = dict(zip(found, cells, strict=True))
    return [*(by_line.get(line, "") for line in lines), total]


def _paragraphs(header: str) -> Iterator[str]:
    """A header's comment, unwrapped: a line that begins with `Word:` begins a paragraph."""
    text = ""
    for line in header.splitlines():
        label, colon, _ = line.partition(":")
        if text and colon and label.isidentifier() and (label[0].isupper() or label in {"in", "out"}):
            yield text
            text = line
        else:
            text = f"{text} {line.strip()}" if text else line
    yield text


def _zone(catalog: Catalog, partner_id: str) -> str:
    partner = catalog.partner(partner_id)
    return "UTC" if partner is None else partner.time_zone
