"""The edits of a catalog's files while they are being collected: one for each place, so that a list is appended to once."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from schemas.yaml.edits import Append, Drop, Edit, Set
from schemas.yaml.nodes import Path, composed
from schemas.yaml.writing import Entry


class Place(NamedTuple):
    """Where a record stands."""

    file: str
    path: Path


class Worksheet:
    """Edits by file. `files`: the texts that a catalog was loaded from."""

    def __init__(self, files: Mapping[str, str]) -> None:
        self._edits: dict[str, dict[tuple[str, Path], Edit]] = {}
        self._places: dict[tuple[str, str], Place] = {}
        for file, text in files.items():
            document = composed(text)
            for section in ("plans", "partners"):
                for i, record in enumerate(document.get(section) or ()):
                    self._places[section, str(record["id"])] = Place(file, (section, i))

    @property
    def edits(self) -> dict[str, list[Edit]]:
        """All of them, by file."""
        return {file: list(edits.values()) for file, edits in self._edits.items()}

    def place(self, section: str, record_id: str) -> Place:
        """Where a plan or partner of the catalog stands."""
        return self._places[section, record_id]

    def append(self, file: str, where: Path, record: Mapping[str, Any], comment: str = "") -> None:
        """An entry more, in the order of the calls."""
        known = self._edits.get(file, {}).get(("append", where))
        before = known.entries if isinstance(known, Append) else ()
        self._put(file, ("append", where), Append(where, (*before, Entry(record, comment))))

    def set(self, file: str, where: Path, name: str, value: Any) -> None:
        """A field of a record."""
        self._put(file, ("set", (*where, name)), Set(where, name, value))

    def drop(self, file: str, where: Path, place: int) -> None:
        """An entry less."""
        self._put(file, ("drop", (*where, place)), Drop(where, place))

    def _put(self, file: str, key: tuple[str, Path], edit: Edit) -> None:
        self._edits.setdefault(file, {})[key] = edit
