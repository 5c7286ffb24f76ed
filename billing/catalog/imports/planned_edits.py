"""Planned edits of catalog files. They are collected by location, so that a list receives all new entries in one edit."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from schemas.yaml.edits import Append, Drop, Edit, Set
from schemas.yaml.nodes import Path, composed
from schemas.yaml.writing import Entry


class RecordLocation(NamedTuple):
    """The file that holds a record, and the path within it."""

    file: str
    path: Path


class PlannedEdits:
    """Edits by file. `files` holds the texts from which the catalog was loaded."""

    def __init__(self, files: Mapping[str, str]) -> None:
        self._edits: dict[str, dict[tuple[str, Path], Edit]] = {}
        self._locations: dict[tuple[str, str], RecordLocation] = {}
        for file, text in files.items():
            document = composed(text)
            for section in ("plans", "partners"):
                for i, record in enumerate(document.get(section) or ()):
                    self._locations[section, str(record["id"])] = RecordLocation(file, (section, i))

    @property
    def by_file(self) -> dict[str, list[Edit]]:
        """All edits of each file."""
        return {file: list(edits.values()) for file, edits in self._edits.items()}

    def location(self, section: str, record_id: str) -> RecordLocation:
        """The location of a plan or partner of the catalog."""
        return self._locations[section, record_id]

    def append(self, file: str, where: Path, record: Mapping[str, Any], comment: str = "") -> None:
        """Appends an entry to a list. Entries keep the order of the calls."""
        known = self._edits.get(file, {}).get(("append", where))
        before = known.entries if isinstance(known, Append) else ()
        self._put(file, ("append", where), Append(where, (*before, Entry(record, comment))))

    def set(self, file: str, where: Path, name: str, value: Any) -> None:
        """Sets a field of a record."""
        self._put(file, ("set", (*where, name)), Set(where, name, value))

    def drop(self, file: str, where: Path, index: int) -> None:
        """Removes the entry at `index` from a list."""
        self._put(file, ("drop", (*where, index)), Drop(where, index))

    def _put(self, file: str, key: tuple[str, Path], edit: Edit) -> None:
        self._edits.setdefault(file, {})[key] = edit
