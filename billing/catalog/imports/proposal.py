"""An import from folder to files: what would change, shown before it is written, checked as a whole catalog before that.

`imported-NAME.yaml` takes plans that are new; credentials and assignments go to their partner's record, wherever it stands.
`imported-NAME.json` holds the facts that the import wrote last, so that the next one can tell a person's work from its own.
"""

import difflib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from billing.catalog import loading as catalogs
from billing.catalog.imports import state as facts
from billing.catalog.imports.merge import Options, merge
from billing.catalog.imports.model import BadDocument, Found, Note, Unsettled
from billing.catalog.imports.owners import Rules
from lake import atomic_file
from schemas.yaml.edits import CannotEdit, edited

_NAME = re.compile(r"[a-z0-9_-]{1,100}")
_HEAD = "# Made by `tollbook catalog import`. Yours to extend: what is added or changed here by hand stays.\n"
_SECRET_CHARACTERS_MIN = 8  # what is shorter may be a part of any word


class Change(NamedTuple):
    """A file as it is (None: it is not there) and as it would be."""

    file: Path
    old: str | None
    new: str


class Proposal(NamedTuple):
    """What an import would write, and what it has to say. `facts`: the record of the import, the last file to be written."""

    changes: tuple[Change, ...]
    facts: Change | None
    notes: tuple[Note, ...]
    ignored: tuple[str, ...]
    others: Mapping[str, int]

    @property
    def is_nothing(self) -> bool:
        """Whether the catalog has all of it."""
        return not self.changes and self.facts is None


def propose(folder: Path, found: Found, *, name: str, rules: Rules, options: Options) -> Proposal:
    """What importing `found` would change. Raises CatalogError, BadDocument, Unsettled. Writes nothing."""
    if not _NAME.fullmatch(name):
        raise BadDocument(f"--name {name!r} is no name: give 1 to 100 of a-z 0-9 _ -")
    if not folder.is_dir():
        raise BadDocument(f"--catalog {folder} is no folder; an import needs one, to put its own file in")
    catalog = catalogs.load(folder)
    texts = {file: _text(file) for file in catalogs.files_of(folder)}
    new_file, record = folder / f"imported-{name}.yaml", folder / f"imported-{name}.json"
    records = {file: facts.parsed(file.read_bytes(), str(file)) for file in sorted(folder.glob("imported-*.json"))}
    try:
        merged = merge(
            found, catalog, {str(file): text for file, text in texts.items()}, new_file=str(new_file), base=records.get(record, {}),
            others=[told for file, told in records.items() if file != record], rules=rules, options=options,
        )  # fmt: skip
    except Unsettled as exc:
        raise Unsettled(_struck(problem, found.secrets) for problem in exc.problems) from None
    changes = []
    for file, edits in merged.edits.items():
        old = texts.get(Path(file))
        try:
            changes.append(Change(Path(file), old, edited(_HEAD if old is None else old, edits)))
        except CannotEdit as exc:
            raise Unsettled([f"{file}:{exc}; write it over several lines, then import again"]) from None
    told = facts.text_of(merged.facts)
    before = _text(record) if record in records else None
    kept = None if told == before or (before is None and not merged.facts) else Change(record, before, told)
    _keep_out(found.secrets, [*changes, *([kept] if kept else [])])
    catalogs.load(folder, {change.file: change.new for change in changes})
    notes = tuple(Note(*(_struck(part, found.secrets) for part in note)) for note in merged.notes)
    ignored = tuple(_struck(address, found.secrets) for address in merged.ignored)
    return Proposal(tuple(changes), kept, notes, ignored, found.others)


def write(proposal: Proposal) -> None:
    """Put the files in place, each whole or not at all. Raises Unsettled if one changed since it was read."""
    changes = [*proposal.changes, *([proposal.facts] if proposal.facts else [])]
    for change in changes:
        if (_text(change.file) if change.file.exists() else None) != change.old:
            raise Unsettled(
                [f"{change.file} was changed by somebody else meanwhile; nothing was written, import again"]
            )
    for change in changes:
        atomic_file.replace(change.file, change.new.encode())


def difference(change: Change) -> Iterator[str]:
    """The lines of a unified diff."""
    old = [] if change.old is None else change.old.splitlines()
    before = "/dev/null" if change.old is None else str(change.file)
    yield from difflib.unified_diff(old, change.new.splitlines(), before, str(change.file), lineterm="")


def _text(file: Path) -> str:
    """A file's text with its line ends as they are."""
    return file.read_bytes().decode()


def _keep_out(secrets: frozenset[str], changes: list[Change]) -> None:
    """A name, tag or id that is a key itself must not come in by the back door."""
    for change in changes:
        for secret in secrets:
            if len(secret) >= _SECRET_CHARACTERS_MIN and secret in change.new and secret not in (change.old or ""):
                raise Unsettled(
                    [
                        f"{change.file} would hold a key: some name, tag or id in the document is a key itself; rename it there"
                    ]
                )


def _struck(text: str, secrets: frozenset[str]) -> str:
    for secret in secrets:
        if len(secret) >= _SECRET_CHARACTERS_MIN:
            text = text.replace(secret, "***")
    return text
