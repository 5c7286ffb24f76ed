"""From the address of a file back to the store that holds it, for whoever was given addresses alone."""

from pathlib import Path

from lake.storage import memory
from lake.storage.local import LocalStore
from lake.storage.store import Store

_DEPTH_MAX = 3  # folders of a data file below the lake: table, day


def located(address: str) -> tuple[Store, str]:
    """The store of a data file of a lake, and its key. Raises FileNotFoundError for a store in memory that is gone."""
    if found := memory.resolved(address):
        return found
    path = Path(address)
    for folder in list(path.parents)[:_DEPTH_MAX]:
        if (folder / "_delta_log").is_dir():
            return LocalStore(folder.parent), str(path.relative_to(folder.parent))
    return LocalStore(path.parent), path.name
