"""Retention: erases old payloads of dead letters from all versions and files of the lake.

Only table `texts` is changed (docs/decisions/015-retention.md). Its files are replaced by files without the old
payloads and then deleted, and so are the log entries that name them. Every step is safe to repeat, and the next run
completes an interrupted one.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from aggregate.landing import derived_commits, payloads
from lake import damage, duck
from lake.errors import Fenced
from lake.lake import Lake
from lake.tables import Part
from schemas.tables import COPIED, PAYLOADS, TIME
from schemas.windows import to_us

COMMIT_FILES = 200  # replaced by one commit; a kill loses at most this work
# By then, a file that no commit names was left by a dead worker: a live one commits its files, or its watchdog ends it.
ORPHANED_AFTER = timedelta(days=1)
_APP = "retention"


class RetentionRule(NamedTuple):
    """Payloads are kept for `days`, as of `now`."""

    days: int
    now: datetime

    @property
    def before(self) -> datetime:
        """Payloads whose age starts before this time are erased."""
        return self.now - timedelta(days=self.days)


class ErasureProgress(NamedTuple):
    """The progress of an erasure: bytes of the scanned files of `texts`, and erased payloads."""

    bytes_done: int
    bytes_total: int
    texts: int


class Erased(NamedTuple):
    """The result of an erasure, or what a dry run would erase."""

    texts: int
    kept: int  # payloads that are not old enough
    files: int  # deleted files: replaced ones, and those left by dead workers


def erase(
    lake: Lake,
    rule: RetentionRule,
    *,
    dry_run: bool = False,
    progress: Callable[[ErasureProgress], None] = lambda _: None,
) -> Erased:
    """Erase old payloads. Safe to kill and to repeat, also during landing and redrives. Raises LakeError, Fenced."""
    if dry_run:
        found = _erase_rows(lake, rule, progress, commit=False)
        return found._replace(files=found.files + len(_orphans(lake, rule.now)))
    for attempt in payloads.again():
        with attempt:
            derived_commits.catch_up(lake, duck.connect())  # adds the commits of dead workers to the table
    first = lake.open(PAYLOADS).version + 1
    found = _erase_rows(lake, rule, progress, commit=True)
    gone = lake.forget(PAYLOADS, since=first if found.files else None)
    orphans = _orphans(lake, rule.now)
    lake.delete(PAYLOADS, orphans)
    return found._replace(files=gone + len(orphans))


def erased(rows: pa.Table, rule: RetentionRule) -> pa.Table:
    """Rows of `texts` with the payloads of old rows erased."""
    old = _old(rows, rule)
    erasure = {
        "erased_at": pa.scalar(rule.now, TIME),
        "erased_by": pa.scalar(f"older than {rule.days} days", pa.string()),
    }
    for name in (*COPIED, *erasure):
        at, field = rows.schema.get_field_index(name), rows.schema.field(name)
        value = erasure.get(name, pa.scalar(None, field.type))
        rows = rows.set_column(at, field, pc.if_else(old, value, rows[name]))
    return rows


def _old(rows: pa.Table, rule: RetentionRule) -> pa.ChunkedArray:
    return pc.and_(pc.is_null(rows["erased_at"]), pc.less(rows["aged_from"], pa.scalar(rule.before, TIME)))


def _erase_rows(
    lake: Lake, rule: RetentionRule, progress: Callable[[ErasureProgress], None], *, commit: bool
) -> Erased:
    """Scan every file, and replace those with old payloads. `files` counts these."""
    sizes = {file: lake.size(file) for file in lake.files(PAYLOADS)}
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
    """Commit new files in place of old ones."""
    for attempt in payloads.again():
        with attempt:
            table = lake.open(PAYLOADS)
            there = [file for file in table.files() if file in parts]  # without those that another erasure has replaced
            table.commit(
                [parts[file] for file in there],
                versions={_APP: (table.transaction_version(_APP) or 0) + 1},
                info={"days": rule.days, "before": rule.before.isoformat()},
                instead_of=there,
            )


def _read(file: str, columns: Sequence[str] | None = None) -> pa.Table:
    try:
        return damage.read(file, columns)
    except FileNotFoundError as exc:
        raise Fenced(f"{file} was replaced by another erasure") from exc


def _orphans(lake: Lake, now: datetime) -> list[str]:
    """Files in the table's folder that are in no version and older than ORPHANED_AFTER."""
    return lake.orphans(PAYLOADS, written_before_us=to_us(now - ORPHANED_AFTER))
