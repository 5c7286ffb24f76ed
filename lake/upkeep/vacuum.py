"""Deletes the files that compactions have replaced, and the part of a log that nobody needs any more.

A compaction notes what it is about to replace, in a file of its own. So neither opening a table nor a checkpoint
carries these names until they are deleted.
"""

import json
import uuid
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from lake.delta import cutting
from lake.derived_tables import consistent_cut
from lake.errors import Damaged
from lake.storage.store import Store
from lake.tables import open_table
from schemas.tables import TableShape

GRACE = timedelta(hours=6)  # a reader or a close that is slower finds a file missing
KEPT_COMMITS = 250  # of a log, before its end; a follower that is slower reads the table again
_REPLACED = "_replaced/"  # below the table, and not in its log, which every opening lists


class Replaced(NamedTuple):
    """The files that a compaction was about to replace."""

    key: str
    at: datetime
    paths: list[str]  # within the table


def note(store: Store, shape: TableShape, paths: Sequence[str], now: datetime) -> None:
    """Note files that a compaction is about to replace, durably. If it does not, they are live and stay."""
    key = f"{shape.name}/{_REPLACED}{uuid.uuid4().hex}.json"
    store.replace(key, json.dumps({"at": now.isoformat(), "paths": list(paths)}).encode())


def replaced(store: Store, shape: TableShape) -> Iterator[Replaced]:
    """What compactions have noted and nobody has deleted yet. Raises Damaged."""
    for found in list(store.listing(f"{shape.name}/{_REPLACED}")):
        try:
            stated = json.loads(store.read(found.key))
            yield Replaced(found.key, datetime.fromisoformat(stated["at"]), list(stated["paths"]))
        except FileNotFoundError:
            continue  # another process has deleted the files
        except (OSError, KeyError, TypeError, ValueError) as exc:
            raise Damaged(
                f"{store.named(found.key)} cannot be read ({exc}); delete it: its files only take space"
            ) from exc


def delete_replaced(
    store: Store, shape: TableShape, *, now: datetime, listed: Collection[str], grace: timedelta = GRACE
) -> int:
    """Delete the files that were replaced longer ago than `grace`; how many.

    A file stays if a close lists it (`listed`, paths), if it is in the newest version after all, or if the consistent
    cut still has it. Safe to kill and to repeat.
    """
    due = [found for found in replaced(store, shape) if found.at <= now - grace]
    if not due:
        return 0
    cut = open_table(store, shape, consistent_cut(store).get(shape.name)).files
    used = {*listed, *open_table(store, shape).files}
    count = 0
    for found in due:
        if any(path in cut and path not in used for path in found.paths):
            continue  # a derived table is behind
        gone = [path for path in found.paths if path not in used]
        for path in gone:
            store.delete(f"{shape.name}/{path}")
        store.sync(f"{shape.name}/")
        store.delete(found.key)
        count += len(gone)
    store.sync(f"{shape.name}/{_REPLACED}")
    return count


def cut_log(store: Store, shape: TableShape, *, needed_from: int, kept: int = KEPT_COMMITS) -> int:
    """Cut the log of a table, so that the last `kept` entries remain, and those after `needed_from`; how many went."""
    newest = open_table(store, shape).version
    return cutting.cut(store, shape.name, before=min(newest - kept, needed_from))
