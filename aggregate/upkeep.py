"""Upkeep of a lake: small files become large ones, replaced files are deleted, logs are cut.

It works on `events` and the tables derived from it, which get files with every commit. Closes, documents and alerts are
few, and who follows them needs their commits one by one: they stay as they are. It is for land workers, closes and
`tollbook lake compact` alike, safe to kill and to repeat, and beside all of them.
"""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import NamedTuple

import pyarrow as pa

from aggregate.landing import derived_commits
from lake import damage, duck
from lake.derived_tables import SUMMED, taken_in
from lake.errors import Fenced
from lake.lake import Lake
from lake.upkeep.compaction import Compacted
from lake.upkeep.groups import GROUP_BYTES, MIN_FILES, groups
from lake.upkeep.vacuum import GRACE, KEPT_COMMITS
from schemas.tables import EVENTS, PAYLOADS

LOCK = ".upkeep.lock"
KEPT = (EVENTS, *SUMMED)
_APP = "compact"


class UpkeepRules(NamedTuple):
    """Days with fewer small files are left alone, replaced files are kept for a time, and so is the end of a log.

    `group_bytes` bounds what is rewritten at once, and so how long one step takes: about a second for 30 MB.
    """

    min_files: int = MIN_FILES
    grace: timedelta = GRACE
    kept_commits: int = KEPT_COMMITS
    group_bytes: int = GROUP_BYTES


USUAL = UpkeepRules()


class Tidied(NamedTuple):
    """What the upkeep of one table has deleted."""

    table: str
    deleted_files: int
    cut_commits: int


def keep_up(
    lake: Lake, *, now: datetime, rules: UpkeepRules = USUAL, go_on: Callable[[], bool] = lambda: True
) -> Iterator[Compacted | Tidied]:
    """Compact the tables, then delete what was replaced and cut the logs. Yields what was done; nothing if nothing was.

    `go_on` is asked before each step that takes long. Raises LakeError.
    """
    for shape in KEPT:
        if not lake.lacks(shape):
            yield from lake.compact(
                shape, now=now, min_files=rules.min_files, group_bytes=rules.group_bytes, go_on=go_on
            )
    if go_on() and (done := compact_payloads(lake, min_files=rules.min_files)) is not None:
        yield done
    derived_commits.settle(lake, duck.connect())  # a compaction is a commit, too
    needed = {EVENTS: min(taken_in(lake.open(shape)) for shape in (*SUMMED, PAYLOADS) if not lake.lacks(shape))}
    for shape in KEPT:
        if lake.lacks(shape) or not go_on():
            continue
        newest = lake.open(shape).version
        tidied = Tidied(
            shape.name,
            lake.delete_replaced(shape, now=now, grace=rules.grace),
            lake.cut_log(shape, needed_from=needed.get(shape, newest), kept=rules.kept_commits),
        )
        if tidied.deleted_files or tidied.cut_commits:
            yield tidied


def before_close(lake: Lake, *, now: datetime) -> None:
    """Compact what no close lists yet: a close lists files for good, so they should be few. Raises LakeError."""
    for shape in KEPT:
        if not lake.lacks(shape):
            for _ in lake.compact(shape, now=now):
                pass
    derived_commits.settle(lake, duck.connect())


def compact_payloads(lake: Lake, *, min_files: int = MIN_FILES) -> Compacted | None:
    """Rewrite the small files of table `texts` as one. The old files are deleted at once, as an erasure deletes them.

    None: there are too few, or an erasure was faster.
    """
    table = lake.open(PAYLOADS)
    some = next(groups(table.listed().values(), listed=(), until=table.version, min_files=min_files), None)
    if some is None:
        return None
    paths = [lake.address(PAYLOADS, file.path) for file in some.files]
    try:
        rows = pa.concat_tables([damage.read(path) for path in paths])
        part = lake.write(PAYLOADS, rows)
        first = table.version + 1
        table.commit(
            [part], versions={_APP: (table.transaction_version(_APP) or 0) + 1}, info={"files": len(paths)},
            instead_of=paths,
        )  # fmt: skip
    except (Fenced, FileNotFoundError):
        return None
    lake.forget(PAYLOADS, since=first)
    return Compacted(PAYLOADS.name, None, len(paths), some.size_bytes, part.size_bytes, rows.num_rows, part.rows)
