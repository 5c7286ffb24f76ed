"""Deletes the files that compactions have replaced, and the part of a log that nobody needs any more."""

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime, timedelta

from lake.delta import cutting
from lake.derived_tables import consistent_cut
from lake.storage.store import Store
from lake.tables import open_table, write_checkpoint
from schemas.tables import TableShape

GRACE = timedelta(days=7)  # a reader or a close that is slower finds a file missing
KEPT_COMMITS = 1000  # of a log, before its end; a follower that is slower reads the table again


def delete_replaced(
    store: Store, shape: TableShape, *, now: datetime, listed: Collection[str], grace: timedelta = GRACE
) -> int:
    """Delete the files that were replaced longer ago than `grace`; how many.

    A file stays if a close lists it (`listed`, paths), or if the consistent cut still has it. Safe to kill and to
    repeat.
    """
    table = open_table(store, shape)
    used = open_table(store, shape, consistent_cut(store).get(shape.name)).files
    before_ms = round((now - grace).timestamp() * 1000)
    due = [path for path, at in table.removed.items() if at <= before_ms and path not in listed and path not in used]
    if not due:
        return 0
    for path in due:
        store.delete(f"{shape.name}/{path}")
    store.sync(f"{shape.name}/")
    write_checkpoint(store, shape, replace(table, removed={p: at for p, at in table.removed.items() if p not in due}))
    return len(due)


def cut_log(store: Store, shape: TableShape, *, needed_from: int, kept: int = KEPT_COMMITS) -> int:
    """Cut the log of a table, so that the last `kept` entries remain, and those after `needed_from`; how many went."""
    newest = open_table(store, shape).version
    return cutting.cut(store, shape.name, before=min(newest - kept, needed_from))
