"""What `tollbook lake` shows."""

from collections.abc import Sequence

from aggregate.upkeep import Tidied
from lake.upkeep.compaction import Compacted
from lake.upkeep.stats import TableStats
from lake.upkeep.upgrade import Upgraded
from tollbook.cli.terminal import out, sentence, table

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
_STEP = 1024
_ENOUGH_SMALL_FILES = 500


def stats(found: Sequence[TableStats]) -> None:
    """The tables, and what to do where something waits."""
    view = table(
        None, "table", ">files", ">size", ">small", ">replaced", ">commits", ">in the log", ">closed", ">behind", ">newest commit"
    )  # fmt: skip
    for each in found:
        view.row(
            each.table, f"{each.files:,}", size(each.bytes), f"{each.small_files:,}", f"{each.replaced_files:,}",
            f"{each.version:,}", f"{each.log_entries:,}", f"{each.closed_versions:,}", f"{each.behind:,}", _age(each.age_s),
        )  # fmt: skip
    out.print(view)
    total = sum(each.files for each in found), sum(each.bytes for each in found)
    sentence((f"{total[0]:,}", "bold"), f" files, {size(total[1])}.")
    if any(each.small_files - each.closed_versions > _ENOUGH_SMALL_FILES for each in found):
        sentence("`tollbook lake compact` makes few large files of many small ones.", style="dim")
    if any(each.behind for each in found):
        sentence("A derived table is behind: a worker is at work, or `tollbook run` brings it up to date.", style="dim")


def step(done: Compacted | Tidied) -> None:
    """One step of a compaction."""
    if isinstance(done, Compacted):
        day = f" of {done.day}" if done.day else ""
        sentence(
            f"{done.table}{day}: ", (f"{done.files:,}", "bold"),
            f" files, {size(done.bytes_before)} → 1 file, {size(done.bytes_after)}; {done.rows_before:,} rows → {done.rows_after:,}.",
        )  # fmt: skip
    else:
        sentence(
            f"{done.table}: {done.deleted_files:,} replaced files deleted, {done.cut_commits:,} commits cut from the log."
        )


def kind(done: Compacted | Tidied) -> str:
    """The name of a step for programs."""
    return "compacted" if isinstance(done, Compacted) else "tidied"


def nothing_to_compact() -> None:
    """There was nothing to do."""
    sentence("Nothing to do: there are few small files, and nothing was replaced long ago.")


def upgraded(done: Upgraded) -> None:
    """The outcome of an upgrade."""
    if not done.tables:
        sentence("The lake has the newest format. Nothing was changed.")
        return
    sentence(
        (f"{done.tables:,}", "bold"), f" tables upgraded, and the files of {done.closes:,} closes are listed with their hashes. ",
        "`tollbook invoice verify` proves the issued invoices.",
    )  # fmt: skip


def size(count: int) -> str:
    """A number of bytes in the largest unit that fits."""
    left, unit = count, 0
    while left >= _STEP * _STEP and unit < len(_UNITS) - 2:
        left, unit = left // _STEP, unit + 1
    if left >= _STEP:
        return f"{left // _STEP}.{left % _STEP * 10 // _STEP} {_UNITS[unit + 1]}"
    return f"{left} {_UNITS[unit]}"


def _age(seconds: int | None) -> str:
    if seconds is None:
        return ""
    for length, name in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= length:
            return f"{seconds // length} {name} ago"
    return f"{seconds} s ago"
