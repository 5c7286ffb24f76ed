"""Loads a catalog from a folder of YAML files, and reports all its problems at once.

Every scalar is read as text, because YAML would turn prices into floats and `no` into a boolean. Every problem has a
file, a line, a field and a remedy.
"""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from schemas.catalog import checks
from schemas.catalog.checks import SECTIONS
from schemas.catalog.prices.registry import MODELS
from schemas.catalog.records import Catalog
from schemas.yaml import reading

# The message for a pydantic error, by the start of its type. {shown} is the value in the file.
_REMEDIES = {
    "missing": "is missing; add it",
    "extra_forbidden": "is not a field of this record; correct its name or remove it",
    "string_pattern_mismatch": "{shown!r} does not have the form {pattern}",
    "string_too_short": "is empty; fill it in, or leave the field out",
    "string_too_long": "has more than {max_length} characters; shorten it",
    "too_short": "is an empty list; name at least one, or leave the field out",
    "too_long": "has more than {max_length} entries; remove some",
    "string_type": "must be text; write it as one value",
    "tuple_type": "must be a list; write it in [brackets], or one entry per line after a dash",
    "model_": "must be a record; write it as fields with values",
    "decimal_": "{shown!r} is not a number; write digits with a point, such as 0.0009",
    "finite_number": "{shown!r} is not a number; write digits with a point, such as 0.0009",
    "int_": "{shown!r} is not a whole number; write only digits",
    "bool_": "{shown!r} must be true or false",
    "date": "{shown!r} is not a date; write it like 2026-01-31",
    "literal_error": "{shown!r} is not one of {expected}",
    "union_tag_not_found": f"has no `model`; add one of {', '.join(MODELS)}",
    "union_tag_invalid": "{tag!r} is not a price model; use one of {expected_tags}",
    "greater_than_equal": "{shown} is too small; the minimum is {ge}",
    "greater_than": "{shown} is too small; it must be greater than {gt}",
    "less_than_equal": "{shown} is too large; the maximum is {le}",
}


_PROBLEMS_MAX = 1_000  # problems shown of each kind of check; the next run shows further ones


class CatalogProblem(NamedTuple):
    """One problem of a catalog and its location."""

    file: str
    line: int
    field: str
    message: str

    def __str__(self) -> str:
        return (
            f"{self.file}:{self.line}: {self.field}: {self.message}"
            if self.field
            else f"{self.file}:{self.line}: {self.message}"
        )


class CatalogError(Exception):
    """The catalog is not valid. `problems` holds every problem, ordered by file and line."""

    def __init__(self, problems: Sequence[CatalogProblem]) -> None:
        self.problems = sorted(set(problems))
        super().__init__("\n".join(map(str, self.problems)))


class _MergedFiles:
    """The files merged into one document. It keeps the location of each record for messages."""

    def __init__(self) -> None:
        self.document: dict[str, list[Any]] = {name: [] for name in SECTIONS}
        self._origins: dict[
            str, list[tuple[str, int]]
        ] = {  # the file of each record, and its index in the section there
            name: [] for name in SECTIONS
        }
        self._texts: dict[str, str] = {}
        self._nodes: dict[str, dict[str, list[yaml.Node]]] = {}  # by section, only for files with a problem

    def add(self, file: Path, text: str | None = None) -> Iterator[CatalogProblem]:
        """Adds the records of a file, or of `text` in its place, and yields the problems of its structure."""
        name = str(file)
        try:
            text = file.read_text(encoding="utf-8") if text is None else text
            sections = reading.read(text)
        except reading.BadYaml as exc:
            yield from (CatalogProblem(name, *fault) for fault in exc.faults)
            return
        except (OSError, UnicodeDecodeError) as exc:
            reason = " ".join(str(exc).split())
            yield CatalogProblem(name, 1, "", f"cannot be read: {reason}; check that it is a UTF-8 text file")
            return
        self._texts[name] = text
        if sections is None:
            return
        if not isinstance(sections, dict):
            yield CatalogProblem(name, 1, "", f"must be a mapping with some of: {', '.join(SECTIONS)}")
            return
        for section, records in sections.items():
            if section not in SECTIONS:
                yield CatalogProblem(
                    name, self._line(name, section), section, f"unknown section; a catalog has: {', '.join(SECTIONS)}"
                )
            elif not isinstance(records, list):
                yield CatalogProblem(name, self._line(name, section), section, "must be a list of records")
            else:
                self.document[section] += records
                self._origins[section] += ((name, place) for place in range(len(records)))

    def without(self, broken: Collection[tuple[str, int]]) -> tuple["_MergedFiles", dict[str, list[str]]]:
        """A copy without the records at the given (section, index) pairs, and the ids of those records by section."""
        rest, ids = (
            _MergedFiles(),
            {name: [self.id_of(s, i) or "" for s, i in broken if s == name] for name in SECTIONS},
        )
        rest._texts, rest._nodes = self._texts, self._nodes
        for name in SECTIONS:
            kept = [i for i in range(len(self._origins[name])) if (name, i) not in broken]
            rest.document[name] = [self.document[name][i] for i in kept]
            rest._origins[name] = [self._origins[name][i] for i in kept]
        return rest, ids

    def locate(self, where: Sequence[str | int], message: str) -> CatalogProblem:
        section, index, *rest = where
        file, place = self._origins[str(section)][int(index)]
        node = self._records(file)[str(section)][place]
        for step in rest:
            child = _child(node, step)
            if child is None:
                break
            node = child
        name = self.id_of(str(section), int(index)) or index
        field = ".".join(str(s) for s in (section, name, *rest))
        return CatalogProblem(file, node.start_mark.line + 1, field, message)

    def id_of(self, section: str, index: int) -> str | None:
        """The id of a record as written in the file, even if the record is not valid."""
        record = self.document[section][index]
        record_id = record.get("id") if isinstance(record, dict) else None
        return record_id if isinstance(record_id, str) else None

    def _records(self, file: str) -> dict[str, list[yaml.Node]]:
        """The YAML nodes of a file's records. They are built on first use, because only problems need line numbers."""
        if file not in self._nodes:
            root = reading.composed(self._texts[file])
            self._nodes[file] = {key.value: value.value for key, value in root.value} if root else {}
        return self._nodes[file]

    def _line(self, file: str, section: str) -> int:
        root = reading.composed(self._texts[file])
        return next((key.start_mark.line + 1 for key, _ in root.value if key.value == section), 1) if root else 1


def files_of(folder: Path) -> list[Path]:
    """The files of a catalog: all *.yaml and *.yml files of a folder, or the single file that `folder` names."""
    if not folder.is_dir():
        return [folder]
    return sorted(p for p in folder.glob("*.y*ml") if p.suffix in {".yaml", ".yml"})


def load(folder: Path, instead: Mapping[Path, str] = MappingProxyType({})) -> Catalog:
    """The catalog in the files of `folder`. Raises CatalogError with every problem.

    `instead` replaces the texts of files, to check them before they are written.
    """
    files = sorted({*files_of(folder), *instead})
    if not folder.exists() or not files:
        raise CatalogError(
            [
                CatalogProblem(
                    str(folder), 0, "", "no catalog here; pass a folder with *.yaml files, such as examples/catalog"
                )
            ]
        )
    merged = _MergedFiles()
    problems = [problem for file in files for problem in merged.add(file, instead.get(file))]
    broken: dict[str, list[str]] = {}
    whole = not problems
    try:
        catalog = Catalog.model_validate(merged.document)
    except ValidationError as exc:
        errors = exc.errors()
        problems += [merged.locate(_steps(e["loc"]), _message(e)) for e in errors[:_PROBLEMS_MAX] if not _follows(e)]
        merged, broken = merged.without({(str(e["loc"][0]), int(e["loc"][1])) for e in errors})
        catalog = Catalog.model_validate(merged.document)
    inconsistent = checks.problems(catalog, broken, whole=whole)
    problems += [merged.locate(problem.where, problem.message) for problem in inconsistent[:_PROBLEMS_MAX]]
    if problems:
        raise CatalogError(problems)
    return catalog


@lru_cache(maxsize=4)
def of_close(document: str) -> Catalog:
    """The catalog in the document of a close. It is cached, so that invoices of one close do not parse it again."""
    return Catalog.model_validate(json.loads(document)["catalog"])


def _follows(error: ErrorDetails) -> bool:
    """Whether an error only follows from others: a list is too short because its entries were rejected."""
    return error["type"] == "too_short" and bool(error["input"])


def _steps(loc: tuple[str | int, ...]) -> list[str | int]:
    """A pydantic location without the names of union members, which do not appear in the file."""
    return [s for s in loc if s not in {*MODELS, "datetime", "date"}]


def _message(error: ErrorDetails) -> str:
    """The message for a pydantic error, with a remedy if one is known."""
    if error["type"] == "value_error":
        return error["msg"].removeprefix("Value error, ")
    shown = error["input"] if isinstance(error["input"], str) else "null" if error["input"] is None else "this"
    remedy = next((r for kind, r in _REMEDIES.items() if error["type"].startswith(kind)), "")
    return remedy.format(**{**error.get("ctx", {}), "shown": shown}) if remedy else error["msg"]


def _child(node: yaml.Node, step: str | int) -> yaml.Node | None:
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        child: yaml.Node = node.value[step]
        return child
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == step:
                return value if isinstance(value, yaml.Node) else None
    return None
