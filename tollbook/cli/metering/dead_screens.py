"""Screens of dead letters, refused credentials and redrives."""

from collections.abc import Mapping, Sequence
from datetime import UTC
from typing import Any

from rich.padding import Padding

from billing.rating.refused import RefusedGroup
from schemas.money import money, plain
from schemas.reasons import Reason
from tollbook.cli.figures import number
from tollbook.cli.metering.alert_screens import alert_row
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
    """Sums by reason with their remedies, then the entries."""
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


def refused_credentials(groups: Sequence[RefusedGroup], named: Mapping[RefusedGroup, str]) -> None:
    """Refused credentials with their names (unless erased), numbers of entries, and first and last days."""
    view = table("Unknown credentials", "name", "credential", "source", ">entries", "first", "last")
    for group in groups[:_GROUPS_SHOWN]:
        name = named.get(group) or ("erased" if group.credential else "not recorded by earlier versions")
        reason = "" if group.reason == Reason.UNKNOWN_CREDENTIAL else " (not valid)"
        view.row(
            group.name, shortened(name) + reason, group.source, f"{group.entries:,}", f"{group.first_at:%Y-%m-%d}", f"{group.last_at:%Y-%m-%d}"
        )  # fmt: skip
    out.print(view)
    if len(groups) > _GROUPS_SHOWN:
        sentence(f"{_GROUPS_SHOWN} of {len(groups):,} shown; --json shows all.", style="dim")
    out.print()


def worth(found: Worth) -> None:
    """The worth of refused entries for a partner."""
    sentence((f"{found.entries:,}", "bold"), f" entries would be worth, as usage of {found.partner_id}:")
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
    """The worth as JSON."""
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
    """One dead letter with all its fields and its payload."""
    where = row["file"] or row["generation"]
    item = f", entry {row['item']} of the line" if row["item"] else ""
    fields = {
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
    for name, value in fields.items():
        if value is not None:
            view.add_row(name, words(value.replace("\n", "\\n")))
    out.print(view)
    out.print()
    raw = words(_text(row).rstrip("\r\n"))
    raw.overflow = "fold"
    out.print(raw)


def redriven_row(report: Redriven) -> dict[str, Any]:
    """A redrive as JSON."""
    return {
        **report.counts._asdict(),
        "outcomes": [o._asdict() for o in report.outcomes],
        "problems": report.problems,
        "alerts": [alert_row(a) for a in report.alerts],
    }


def _text(row: Mapping[str, Any]) -> str:
    """The payload of a dead letter, or a note that it is missing or erased."""
    if row["erased_at"] is None:
        return str(row["raw"]) or "(no payload is stored)"
    return f"(payload erased at {row['erased_at'].astimezone(UTC):%Y-%m-%dT%H:%MZ}: {row['erased_by']})"


def redriven(report: Redriven, *, dry_run: bool) -> None:
    """The outcomes of a redrive."""
    if not report.outcomes:
        sentence("No refused entries to redrive.")
        return
    view = table("Outcome of a redrive" if dry_run else "Redriven", "was refused for", "is now", ">entries")
    for row in report.outcomes:
        now = _BECAME.get(row.became) or ("left as it is" if row.became == "left" else f"still refused: {row.became}")
        view.row(row.reason, now, f"{row.entries:,}")
    out.print(view)
    if dry_run:
        sentence("Nothing was written.", style="dim")
