"""Issued documents as they are stored: rows of table `invoices`, hashes of their renderings, and their files."""

import hashlib
import json
import shutil
import uuid
from collections.abc import Mapping
from typing import Any

from billing.invoicing.render import Rendered, glyphs
from billing.usage.warehouse import Warehouse
from lake import atomic_file
from lake.lake import Lake
from schemas.tables import INVOICES

KINDS = ("json", "csv", "pdf")


def rows(lake: Lake, version: int | None = None) -> list[dict[str, Any]]:
    """Every issued document, ordered by series and number (billing/sql/invoices.sql), at a version or the newest."""
    pinned = None if version is None else {INVOICES.name: version}
    return Warehouse(lake, pinned, only=[INVOICES.name]).query("invoices").to_pylist()  # type: ignore[no-any-return]


def hashes(documents: Rendered) -> dict[str, str]:
    """The hash of each rendering, by column of table `invoices`."""
    return {f"{kind}_sha256": hashlib.sha256(getattr(documents, kind)).hexdigest() for kind in KINDS}


def rendering_problems(row: Mapping[str, Any], again: Rendered) -> list[str]:
    """A problem for each rendering whose bytes are not those that were issued."""
    found = hashes(again)
    differ = [kind for kind in KINDS if found[f"{kind}_sha256"] != row[f"{kind}_sha256"]]
    return [
        f"{row['number']}: {kind} rendered again differs from what was issued ({_suspect(row, kind)})"
        for kind in differ
    ]


def _suspect(row: Mapping[str, Any], kind: str) -> str:
    """What may make the bytes of a rendering differ. A font that was there at the issue and is not now is known."""
    if kind == "pdf" and glyphs.undrawn(json.loads(row["document"])):
        return f"a font that it needs is missing. {glyphs.remedy()}"
    return "was Tollbook, a library or a font upgraded since?"


def file_problems(lake: Lake, row: Mapping[str, Any]) -> list[str]:
    """A problem for each file of a document that is missing or was changed."""
    problems = []
    for kind in KINDS:
        path = lake.documents / f"{row['number']}.{kind}"
        if not path.exists():
            problems.append(f"{path} is missing; `tollbook invoice issue` writes it again")
        elif hashlib.sha256(path.read_bytes()).hexdigest() != row[f"{kind}_sha256"]:
            problems.append(
                f"{path} was changed after it was issued; delete it, and `tollbook invoice issue` writes it again"
            )
    return problems


class Staged:
    """Documents that are written and synced before the commit of their numbers, and published after it.

    Files that a killed process left in the staging folder are not documents. The next issue writes the documents again.
    """

    def __init__(self, lake: Lake) -> None:
        self._folder = lake.documents
        self._stage = self._folder / f".issuing-{uuid.uuid4().hex}"

    def __enter__(self) -> "Staged":
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._stage, ignore_errors=True)

    def write(self, number: str, documents: Rendered) -> Rendered:
        """Writes the documents of an invoice to the staging folder, and returns them."""
        self._stage.mkdir(parents=True, exist_ok=True)
        for kind in KINDS:
            atomic_file.write_synced(self._stage / f"{number}.{kind}", getattr(documents, kind))
        return documents

    def publish(self) -> None:
        """Moves all staged documents to the documents folder. Existing files stay unchanged."""
        if not self._stage.exists():
            return
        for path in sorted(self._stage.iterdir()):
            target = self._folder / path.name
            if not target.exists():
                path.rename(target)
        atomic_file.sync(self._folder)
