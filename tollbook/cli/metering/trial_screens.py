"""The screen of a dry run: for each file what its first entries would become, and the fields that were read."""

from collections.abc import Mapping
from datetime import UTC
from decimal import Decimal
from typing import Any

from rich.padding import Padding

from schemas.reasons import REMEDY
from tollbook.cli.figures import number
from tollbook.cli.terminal import out, sentence, shortened, table, words
from tollbook.local_run.trial import FileTrial, Refusals, Trial

_RAW_CHARACTERS = 300
_CARRIED = {"type": "event_type", "quantities": "quantities", "attributes": "attributes"}  # not of requests


def trial_report(found: Trial) -> None:
    """All files, one after the other."""
    for each in found.files:
        _file(found, each)
        out.print()
    sentence("Nothing was written. Duplicates are not recognised here; the run counts each request once.", style="dim")


def _file(found: Trial, each: FileTrial) -> None:
    begins = f", from byte {each.from_offset:,} on (the lake has the lines before)" if each.from_offset else ""
    sentence(
        (shortened(each.file), "bold"),
        f": format {found.format_name}, source {found.source}, {each.packing or 'not compressed'}{begins}",
    )
    if not each.entries:
        sentence("Nothing new to read." if not each.problems else "No entries could be read.")
    else:
        scope = "All new entries" if each.is_whole else "The first entries"
        sentence(
            f"{scope}: {each.entries:,} read, ", (f"{each.counted:,}", "bold"), " counted, ", (f"{each.refused:,}", "bold"), " refused"
        )  # fmt: skip
    if each.waiting:
        sentence(
            f"It ends with an unfinished line ({each.waiting:,} bytes), which waits for its rest or --final",
            style="yellow",
        )
    _counted(each)
    _refused(each)
    _read(each)


def _counted(each: FileTrial) -> None:
    if each.partners:
        view = table("Counted", "partner", ">entries", "billed")
        for share in each.partners:
            view.row(share.partner_id, f"{share.entries:,}", "by its plans" if share.invoiced else "never: internal")
        out.print(view)


def _refused(each: FileTrial) -> None:
    if each.reasons:
        view = table("Refused", "reason", ">entries", "what to do")
        for row in each.reasons:
            view.row(row.reason, f"{row.entries:,}", REMEDY[row.reason])
        out.print(view)
        for row in each.reasons:
            sentence("  ", (row.reason, "bold"), shortened(f"  {row.detail or ''}"))
            raw = words(" ".join(_excerpt(row).split("\n")))
            raw.overflow = "fold"
            out.print(Padding(raw, (0, 0, 0, 4), expand=False), style="dim")


def _read(each: FileTrial) -> None:
    """One column per entry: a row per entry would not fit an ordinary terminal."""
    if each.read:
        view = table("Fields read", "field", *(f"entry {n}" for n in range(1, len(each.read) + 1)))
        columns = [_fields(row) for row in each.read]
        for name in columns[0]:
            if name not in _CARRIED or any(column[name] for column in columns):
                view.row(name, *(column[name] for column in columns))
        out.print(view)


def _fields(row: Mapping[str, Any]) -> dict[str, str]:
    return {
        "time (UTC)": f"{row['occurred_at'].astimezone(UTC):%Y-%m-%d %H:%M:%S}",
        "method": row["method"] or "",
        "path": row["path"] or "",
        "route": row["route"] or "",
        "status": _whole(row["status"]),
        "request bytes": _whole(row["request_bytes"]),
        "response bytes": _whole(row["response_bytes"]),
        "latency (ms)": _milliseconds(row["latency_us"]),
        "identity": _identity(row),
        "partner": row["partner_id"] or "",
        **{shown: shortened(row[name] or "") for shown, name in _CARRIED.items()},
    }


def _whole(value: int | None) -> str:
    return "" if value is None else str(value)


def _milliseconds(latency_us: int | None) -> str:
    return "" if latency_us is None else number(Decimal(latency_us) / 1000)


def _identity(row: Mapping[str, Any]) -> str:
    return "" if row["credential_kind"] is None else f"{row['credential_kind']} {row['credential']}"


def _excerpt(row: Refusals) -> str:
    return shortened(row.example, _RAW_CHARACTERS)


def paused(each: FileTrial) -> str:
    """Why a run of this file would stop, in one line."""
    remedy = (
        f"They look like {each.fits}: use --format {each.fits}"
        if each.fits
        else "Compare the lines with the format (`tollbook formats detect FILE`)"
    )
    return (
        f"{shortened(each.file)}: a run of this file would stop, since too many entries are refused for their form. {remedy}, "
        "or --accept-form-errors to land them all the same"
    )


def trial_row(found: Trial) -> dict[str, Any]:
    """A dry run as JSON."""
    return {
        "dry_run": True,
        "format": found.format_name,
        "source": found.source,
        "lines": found.lines,
        "entries": sum(each.entries for each in found.files),
        "counted": sum(each.counted for each in found.files),
        "refused": sum(each.refused for each in found.files),
        "files": [_file_row(each) for each in found.files],
    }


def _file_row(each: FileTrial) -> dict[str, Any]:
    return {
        "file": each.file,
        "packing": each.packing,
        "from_offset": each.from_offset,
        "whole": each.is_whole,
        "entries": each.entries,
        "counted": each.counted,
        "refused": each.refused,
        "by_partner": [share._asdict() for share in each.partners],
        "by_reason": [
            {
                "reason": row.reason,
                "entries": row.entries,
                "detail": row.detail,
                "example": _excerpt(row),
                "remedy": REMEDY[row.reason],
            }
            for row in each.reasons
        ],
        "read": [{name: value for name, value in row.items() if name not in {"position", "item"}} for row in each.read],
        "waiting_bytes": each.waiting,
        "would_pause": each.paused,
        "likely_format": each.fits,
        "problems": each.problems,
    }
