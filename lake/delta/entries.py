"""One entry of a table's log: a file of JSON lines, each of which is an action.

The format is that of Delta (protocol 1/2), so that any reader of Delta can open the tables.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lake.errors import Damaged
from lake.storage.store import Store

LOG = "_delta_log"
INFO = "tollbook"  # in commitInfo: what the product says of a commit
Action = dict[str, Any]


def log_prefix(table: str) -> str:
    """The prefix of all keys of a table's log."""
    return f"{table}/{LOG}/"


def entry_key(table: str, version: int) -> str:
    """Where the log of a table holds one commit."""
    return f"{log_prefix(table)}{version:020d}.json"


def entry_version(key: str) -> int | None:
    """The version of an entry by its key; None: the key is something else."""
    name, _, kind = key.rpartition("/")[2].partition(".")
    return int(name) if kind == "json" and name.isdecimal() else None


def encoded(actions: Sequence[Action]) -> bytes:
    """The bytes of an entry."""
    return "\n".join(json.dumps(action, separators=(",", ":"), ensure_ascii=False) for action in actions).encode()


def read(store: Store, key: str) -> list[Action]:
    """The actions of one entry. Raises Damaged."""
    try:
        return decoded(store.read(key))
    except (OSError, ValueError) as exc:
        raise Damaged(f"{store.named(key)} cannot be read ({exc}); restore it from a backup") from exc
    except TypeError:
        raise Damaged(f"{store.named(key)} holds something that is not an action; restore it from a backup") from None


def decoded(content: bytes) -> list[Action]:
    """The actions in the bytes of an entry. Raises ValueError, and TypeError for JSON that is not an object."""
    found = [json.loads(line) for line in content.split(b"\n") if line]
    if not all(isinstance(action, dict) for action in found):
        raise TypeError("an action is a JSON object")
    return found


def of_kind(actions: Sequence[Mapping[str, Any]], kind: str) -> Iterator[Any]:
    """The actions of one kind: `add`, `remove`, `txn`, `metaData`, `protocol`, `commitInfo`."""
    return (action[kind] for action in actions if kind in action)


def statement(actions: Sequence[Mapping[str, Any]], name: str) -> dict[str, Any]:
    """What a commit states about itself: the `versions` it moved, its `info`, and the `sha256` of its files.

    The versions are there a second time, beside the `txn` actions, which stand at the end of an entry: an entry that
    lost its end would keep its rows and lose their offsets. `name` is that of the entry, for messages. Raises Damaged.
    """
    for found in of_kind(actions, "commitInfo"):
        try:
            return stated(found)
        except (AttributeError, TypeError, ValueError):
            break
    raise Damaged(
        f"{name} has no readable commitInfo, so it was cut short; restore it from a backup, or repair it by docs/operations.md"
    )


def stated(info: Mapping[str, Any]) -> dict[str, Any]:
    """What a `commitInfo` action says of its commit. Raises AttributeError, TypeError, ValueError if it is damaged."""
    found: dict[str, Any] = json.loads(info.get(INFO, "{}"))
    if not all(isinstance(found.get(part, {}), dict) for part in ("versions", "info", "sha256")):
        raise TypeError("versions, info and sha256 are objects")
    return found
