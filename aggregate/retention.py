"""Retention: what was copied from the lines of dead letters is erased when it is old, out of all there is of the lake.

Only table `texts` is touched (docs/decisions/015-retention.md): its files are replaced by such without the old texts, and deleted, and
so is the log by which they could be found. Every step is safe to repeat, and the next run completes what one that died has begun.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from aggregate.landing import derived_commits
from aggregate.landing import payloads as texts
from lake import damage, duck
from lake.lake import Lake
from lake.tables import Fenced, Part
from schemas.tables import COPIED, PAYLOADS, TIME
from schemas.windows import to_us

COMMIT_FILES = 200  # replaced by one commit: what a kill costs
# A file that no commit names is a dead worker's by then: a live one commits what it has written, or its watchdog ends it.
ORPHANED_AFTER = timedelta(days=1)
_APP = "retention"


class RetentionRule(NamedTuple):
    """Texts are kept for so many days, at a moment."""

    days: int
    now: datetime

    @property
    def before(self) -> datetime:
        """Texts whose age counts from an earlier time are erased."""
        return self.now - timedelta(days=self.days)


class ErasureProgress(NamedTuple):
    """How far it is: bytes of the files of `texts` that were looked at, and texts that were erased."""

    bytes_done: int
    bytes_total: int
    texts: int


class Erased(NamedTuple):
    """What a run did, or of a dry run would do."""

    texts: int
    kept: int  # texts that are not old enough
    files: int  # that were deleted: replaced, or left behind by something that died


def erase(
    lake: Lake,
    rule: RetentionRule,
    *,
    dry_run: bool = False,
    progress: Callable[[ErasureProgress], None] = lambda _: None,
) -> Erased:
    """Erase old texts. Safe to kill and to repeat, beside whatever lands and redrives. Raises LakeError, Fenced."""
    if dry_run:
        found = _erase_rows(lake, rule, progress, commit=False)
        return found._replace(files=found.files + len(_orphans(lake, rule.now)))
    for attempt in texts.again():
        with attempt:
            derived_commits.catch_up(lake, duck.connect())  # what a worker that died has committed is in the table then
    first = lake.open(PAYLOADS).version + 1
    found = _erase_rows(lake, rule, progress, commit=True)
    gone = lake.forget(PAYLOADS, since=first if found.files else None)
    orphans = _orphans(lake, rule.now)
    lake.delete(PAYLOADS, orphans)
    return found._replace(files=gone + len(orphans))


def erased(rows: pa.Table, rule: RetentionRule) -> pa.Table:
    """Rows of `texts`, the old ones of them without what was copied."""
    old = _old(rows, rule)
    said = {"erased_at": pa.scalar(rule.now, TIME), "erased_by": pa.scalar(f"older than {rule.days} days", pa.string())}
    for name in (*COPIED, *said):
        at, field = rows.schema.get_field_index(name), rows.schema.field(name)
        value = said.get(name, pa.scalar(None, field.type))
        rows = rows.set_column(at, field, pc.if_else(old, value, rows[name]))
    return rows


def _old(rows: pa.Table, rule: RetentionRule) -> pa.ChunkedArray:
    return pc.and_(pc.is_null(rows["erased_at"]), pc.less(rows["aged_from"], pa.scalar(rule.before, TIME)))


def _erase_rows(
    lake: Lake, rule: RetentionRule, progress: Callable[[ErasureProgress], None], *, commit: bool
) -> Erased:
    """Look at every file, and replace those that hold an old text; `files`: how many those are."""
    sizes = {file: Path(file).stat().st_size for file in lake.files(PAYLOADS)}
    total, parts = Erased(0, 0, 0), dict[str, Part]()
    done = 0
    for file, size in sizes.items():
        ages = _read(file, ["aged_from", "erased_at"])
        old = pc.sum(_old(ages, rule)).as_py() or 0
        total = Erased(
            total.texts + old, total.kept + ages["erased_at"].null_count - old, total.files + (1 if old else 0)
        )
        if old and commit:
            parts[file] = lake.write(PAYLOADS, erased(_read(file), rule))
        if len(parts) == COMMIT_FILES:
            _replace(lake, parts, rule)
            parts = {}
        done += size
        progress(ErasureProgress(done, sum(sizes.values()), total.texts))
    if parts:
        _replace(lake, parts, rule)
    return total


def _replace(lake: Lake, parts: Mapping[str, Part], rule: RetentionRule) -> None:
    """Commit parts in the place of files."""
    for attempt in texts.again():
        with attempt:
            table = lake.open(PAYLOADS)
            there = [file for file in table.files() if file in parts]  # not what another erasure has replaced
            table.commit(
                [parts[file] for file in there],
                versions={_APP: (table.transaction_version(_APP) or 0) + 1},
                info={"days": rule.days, "before": rule.before.isoformat()},
                instead_of=there,
            )


def _read(file: str, columns: Sequence[str] | None = None) -> pa.Table:
    try:
        with damage.named(lambda: [file] if Path(file).exists() else []), pq.ParquetFile(file) as found:
            return found.read(columns)
    except FileNotFoundError as exc:
        raise Fenced(f"{file} was replaced by another erasure") from exc


def _orphans(lake: Lake, now: datetime) -> list[str]:
    """Files of the table's folder that are in no version, and were not written just now."""
    return lake.orphans(PAYLOADS, written_before_us=to_us(now - ORPHANED_AFTER))
