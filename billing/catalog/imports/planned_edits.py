"""Planned changes of a catalog: which values an import may change, and the edits of the files that change them."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NamedTuple

from billing.catalog.imports.model import ImportOptions, Note
from schemas.catalog.credentials import Credential
from schemas.catalog.records import Catalog, Partner
from schemas.money import plain
from schemas.yaml.edits import Append, Drop, Edit, Set
from schemas.yaml.nodes import Path, composed
from schemas.yaml.writing import Entry

BY_HAND = "the catalog stays unchanged; pass --overwrite to use the value of the document"


class RecordLocation(NamedTuple):
    """The file that holds a record, and the path within it."""

    file: str
    path: Path


class PlannedEdits:
    """Edits by file, collected by location, so that a list receives all new entries in one edit.

    `files` holds the texts from which the catalog was loaded.
    """

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


class CatalogChanges:
    """What one import changes in the catalog: planned edits, the new import state, and notes and problems for the user.

    `previous` is the state that this import wrote last. It tells the import's own values from those of a person.
    """

    def __init__(
        self, catalog: Catalog, files: Mapping[str, str], previous: Mapping[str, Any], options: ImportOptions
    ) -> None:
        self.catalog, self.previous, self.options = catalog, previous, options
        self.edits = PlannedEdits(files)
        self.state: dict[str, Any] = {}
        self.notes: list[Note] = []
        self.problems: list[str] = []

    def may_add(self, entry: str, address: str, named: str) -> bool:
        """Whether an entry may be added to the catalog.

        It may not if an earlier import added it and a person removed it.
        """
        if entry not in self.previous or self.options.overwrite:
            return True
        self.notes.append(Note(address, named, "it was removed by hand, and the document still has it", BY_HAND))
        return False

    def may_change(self, entry: str, now: Decimal, wanted: Decimal, address: str, named: str) -> bool:
        """Whether a value may be changed to that of the document. A value that a person set stays, with a note."""
        if now == wanted:
            return False
        if self.options.overwrite or self.previous.get(entry) == plain(now):
            return True
        self.notes.append(
            Note(address, named, f"it was set to {plain(now)} by hand; the document has {plain(wanted)}", BY_HAND)
        )
        if entry in self.previous:
            self.state[entry] = self.previous[entry]
        else:
            del self.state[entry]
        return False

    def is_live(self, partner: Partner, credential: Credential) -> bool:
        """Whether the credential is valid after the start of the import (`--valid-from`)."""
        return credential.valid_to is None or self.after_start(partner, credential.valid_to)

    def after_start(self, partner: Partner, bound: Any) -> bool:
        """Whether `bound` is later than the start of the import (`--valid-from`)."""
        start = self.options.valid_from
        return start is not None and partner.instant(bound) > partner.instant(start)
