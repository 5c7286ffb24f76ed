"""The proposal of an import: which files would change and how.

The result is checked as a whole catalog before it is shown.

New plans go to `imported-NAME.yaml`. Credentials and assignments go to the record of their partner, in whichever file
it is. `imported-NAME.json` holds the import state, from which the next import tells its own values from those that
people edited.
"""

import difflib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from billing.catalog import loading as catalogs
from billing.catalog.imports import state
from billing.catalog.imports.merge import merge
from billing.catalog.imports.model import BadDocument, ImportConflict, ImportModel, ImportOptions, Note
from billing.catalog.imports.owners import OwnershipRules
from lake import atomic_file
from schemas.yaml.edits import CannotEdit, edited

_NAME = re.compile(r"[a-z0-9_-]{1,100}")
HEAD = "# Made by `tollbook catalog import`. Yours to extend: what is added or changed here by hand stays.\n"
_SECRET_CHARACTERS_MIN = 8  # a shorter value could be part of an ordinary word


class Change(NamedTuple):
    """A file before and after the import. `old` is None for a new file."""

    file: Path
    old: str | None
    new: str


class Proposal(NamedTuple):
    """The changes of an import and its notes. `state` is the change of the state file, which is written last."""

    changes: tuple[Change, ...]
    state: Change | None
    notes: tuple[Note, ...]
    ignored: tuple[str, ...]
    others: Mapping[str, int]

    @property
    def is_nothing(self) -> bool:
        """Whether the import changes nothing."""
        return not self.changes and self.state is None


def propose(folder: Path, model: ImportModel, *, name: str, rules: OwnershipRules, options: ImportOptions) -> Proposal:
    """The changes that an import of `model` would make.

    Writes nothing. Raises CatalogError, BadDocument, ImportConflict.
    """
    added_file, state_file = new_file(folder, name), folder / f"imported-{name}.json"
    catalog = catalogs.load(folder)
    texts = {file: _text(file) for file in catalogs.files_of(folder)}
    states = {file: state.parse(file.read_bytes(), str(file)) for file in sorted(folder.glob("imported-*.json"))}
    try:
        merged = merge(
            model, catalog, {str(file): text for file, text in texts.items()}, new_file=str(added_file), previous=states.get(state_file, {}),
            others=[entries for file, entries in states.items() if file != state_file], rules=rules, options=options,
        )  # fmt: skip
    except ImportConflict as exc:
        raise ImportConflict(_redacted(problem, model.secrets) for problem in exc.problems) from None
    changes = []
    for file, edits in merged.edits.items():
        old = texts.get(Path(file))
        try:
            changes.append(Change(Path(file), old, edited(HEAD if old is None else old, edits)))
        except CannotEdit as exc:
            raise ImportConflict([f"{file}:{exc}; write it over several lines, then import again"]) from None
    old_state, new_state = (_text(state_file) if state_file in states else None), state.render(merged.state)
    is_same = new_state == old_state or (old_state is None and not merged.state)
    state_change = None if is_same else Change(state_file, old_state, new_state)
    _check_secrets(model.secrets, [*changes, *([state_change] if state_change else [])])
    catalogs.load(folder, {change.file: change.new for change in changes})
    notes = tuple(Note(*(_redacted(part, model.secrets) for part in note)) for note in merged.notes)
    ignored = tuple(_redacted(address, model.secrets) for address in merged.ignored)
    return Proposal(tuple(changes), state_change, notes, ignored, model.others)


def new_file(folder: Path, name: str) -> Path:
    """The file for the new records of the import of this name. Raises BadDocument."""
    if not _NAME.fullmatch(name):
        raise BadDocument(f"--name {name!r} is not valid; use 1 to 100 of the characters a-z 0-9 _ -")
    if not folder.is_dir():
        raise BadDocument(f"--catalog {folder} is not a folder; an import needs one, because it adds files of its own")
    return folder / f"imported-{name}.yaml"


def write(proposal: Proposal) -> None:
    """Writes the files, each atomically. Raises ImportConflict if a file changed after it was read."""
    changes = [*proposal.changes, *([proposal.state] if proposal.state else [])]
    for change in changes:
        if (_text(change.file) if change.file.exists() else None) != change.old:
            raise ImportConflict([f"{change.file} changed since it was read; nothing was written, import again"])
    for change in changes:
        atomic_file.replace(change.file, change.new.encode())


def difference(change: Change) -> Iterator[str]:
    """The lines of a unified diff."""
    old = [] if change.old is None else change.old.splitlines()
    before = "/dev/null" if change.old is None else str(change.file)
    yield from difflib.unified_diff(old, change.new.splitlines(), before, str(change.file), lineterm="")


def _text(file: Path) -> str:
    """The text of a file, with its line ends unchanged."""
    return file.read_bytes().decode()


def _check_secrets(secrets: frozenset[str], changes: list[Change]) -> None:
    """Raises ImportConflict if a file would contain a secret that the document also uses as a name, tag or id."""
    for change in changes:
        for secret in secrets:
            if len(secret) >= _SECRET_CHARACTERS_MIN and secret in change.new and secret not in (change.old or ""):
                raise ImportConflict(
                    [f"{change.file} would hold a key: a name, tag or id in the document equals a key; rename it there"]
                )


def _redacted(text: str, secrets: frozenset[str]) -> str:
    for secret in secrets:
        if len(secret) >= _SECRET_CHARACTERS_MIN:
            text = text.replace(secret, "***")
    return text
