"""Dead letters, refused credentials and redrives on a terminal."""

from collections.abc import Mapping, Sequence
from datetime import UTC
from typing import Any

from rich.padding import Padding

from billing.invoicing.document import money
from billing.usage.refused import Group
from schemas.money import plain
from schemas.reasons import Reason
from tollbook.cli.figures import number
from tollbook.cli.metering.run_screens import alert_row
from tollbook.cli.terminal import out, sentence, shortened, table, words
from tollbook.redrive.redrive import Redriven
from tollbook.redrive.worth import Worth, total

_RAW_CHARACTERS = 300

_GROUPS_SHOWN = 20

_BECAME = {
    "counted": "counted",
    "duplicate": "a duplicate of a counted entry",
    "conflict": "in conflict with a counted entry",
}


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
