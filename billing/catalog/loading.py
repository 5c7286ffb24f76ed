"""Reads a catalog from a folder of YAML files, and reports everything wrong with it at once.

Every scalar is read as text (YAML's own guesses would make floats of prices and booleans of `no`), and every problem
carries file, line, field and remedy.
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

# What to do about an error that pydantic finds, by the beginning of its type; {shown} is what was written.
_REMEDIES = {
    "missing": "is missing; add it",
    "extra_forbidden": "is no field of this record; correct its name or remove it",
    "string_pattern_mismatch": "{shown!r} does not have the form {pattern}",
    "string_too_short": "is empty; fill it in, or leave the field out",
    "string_too_long": "has more than {max_length} characters; shorten it",
    "too_short": "is an empty list; name at least one, or leave the field out",
    "too_long": "has more than {max_length} entries; leave some out",
    "string_type": "must be text; write it as one value",
    "tuple_type": "must be a list; write it in [brackets], or one entry a line after dashes",
    "model_": "must be a record; write it as fields with values",
    "decimal_": "{shown!r} is no number; write digits with a point, such as 0.0009",
    "finite_number": "{shown!r} is no number; write digits with a point, such as 0.0009",
    "int_": "{shown!r} is no whole number; write digits alone",
    "bool_": "{shown!r} is neither true nor false",
    "date": "{shown!r} is no date; write it like 2026-01-31",
    "literal_error": "{shown!r} is none of {expected}",
    "union_tag_not_found": f"does not say its `model`; add one of {', '.join(MODELS)}",
    "union_tag_invalid": "{tag!r} is no price model; use one of {expected_tags}",
    "greater_than_equal": "{shown} is too small; the least is {ge}",
    "greater_than": "{shown} is too small; it must be more than {gt}",
    "less_than_equal": "{shown} is too large; the most is {le}",
}


_PROBLEMS_MAX = 1_000  # of each kind of check; whoever has corrected these is told the next


class Located(NamedTuple):
    """One problem and where it stands."""

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
    """The catalog cannot be used. `problems` holds every reason, in the order of files and lines."""

    def __init__(self, problems: Sequence[Located]) -> None:
        self.problems = sorted(set(problems))
        super().__init__("\n".join(map(str, self.problems)))


class _Merged:
    """The files as one document that still knows where each part stood."""

    def __init__(self) -> None:
        self.document: dict[str, list[Any]] = {name: [] for name in SECTIONS}
        self._origins: dict[str, list[tuple[str, int]]] = {
            name: [] for name in SECTIONS
        }  # file, and place in its section
        self._texts: dict[str, str] = {}
        self._nodes: dict[
            str, dict[str, list[yaml.Node]]
        ] = {}  # of files in which something is wrong: records by section

    def add(self, file: Path, text: str | None = None) -> Iterator[Located]:
        """Take in a file's records, as they stand there or in `text`; what is wrong with its form."""
        name = str(file)
        try:
            text = file.read_text(encoding="utf-8") if text is None else text
            found = reading.read(text)
        except reading.BadYaml as exc:
            yield from (Located(name, *fault) for fault in exc.faults)
            return
        except (OSError, UnicodeDecodeError) as exc:
            reason = " ".join(str(exc).split())
            yield Located(name, 1, "", f"cannot be read: {reason}; check that it is a UTF-8 text file")
            return
        self._texts[name] = text
        if found is None:
            return
        if not isinstance(found, dict):
            yield Located(name, 1, "", f"must be a mapping with some of: {', '.join(SECTIONS)}")
            return
        for section, records in found.items():
            if section not in SECTIONS:
                yield Located(
                    name, self._line(name, section), section, f"unknown section; a catalog has: {', '.join(SECTIONS)}"
                )
            elif not isinstance(records, list):
                yield Located(name, self._line(name, section), section, "must be a list of records")
            else:
                self.document[section] += records
                self._origins[section] += ((name, place) for place in range(len(records)))

    def without(self, broken: Collection[tuple[str, int]]) -> tuple["_Merged", dict[str, list[str]]]:
        """The same without some records, named by section and place; and the ids of those, by section."""
        rest, ids = _Merged(), {name: [self.id_of(s, i) or "" for s, i in broken if s == name] for name in SECTIONS}
        rest._texts, rest._nodes = self._texts, self._nodes
        for name in SECTIONS:
            kept = [i for i in range(len(self._origins[name])) if (name, i) not in broken]
            rest.document[name] = [self.document[name][i] for i in kept]
            rest._origins[name] = [self._origins[name][i] for i in kept]
        return rest, ids

    def locate(self, where: Sequence[str | int], message: str) -> Located:
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
        return Located(file, node.start_mark.line + 1, field, message)

    def id_of(self, section: str, index: int) -> str | None:
        """The id as it was written, however wrong the record is."""
        record = self.document[section][index]
        found = record.get("id") if isinstance(record, dict) else None
        return found if isinstance(found, str) else None

    def _records(self, file: str) -> dict[str, list[yaml.Node]]:
        """The nodes of a file's records, made when the first line is asked for: a catalog in order needs none."""
        if file not in self._nodes:
            root = reading.composed(self._texts[file])
            self._nodes[file] = {key.value: value.value for key, value in root.value} if root else {}
        return self._nodes[file]

    def _line(self, file: str, section: str) -> int:
        root = reading.composed(self._texts[file])
        return next((key.start_mark.line + 1 for key, _ in root.value if key.value == section), 1) if root else 1


def files_of(folder: Path) -> list[Path]:
    """The files of a catalog: all *.yaml and *.yml of a folder, or the one that is named."""
    if not folder.is_dir():
        return [folder]
    return sorted(p for p in folder.glob("*.y*ml") if p.suffix in {".yaml", ".yml"})


def load(folder: Path, instead: Mapping[Path, str] = MappingProxyType({})) -> Catalog:
    """The catalog in the files of `folder`. Raises CatalogError with every problem.

    `instead`: texts of files as they would be, to check them before they are written.
    """
    files = sorted({*files_of(folder), *instead})
    if not folder.exists() or not files:
        raise CatalogError(
            [Located(str(folder), 0, "", "no catalog here: name a folder with *.yaml files (examples/catalog is one)")]
        )
    merged = _Merged()
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
    found = checks.problems(catalog, broken, whole=whole)
    problems += [merged.locate(problem.where, problem.message) for problem in found[:_PROBLEMS_MAX]]
    if problems:
        raise CatalogError(problems)
    return catalog


@lru_cache(maxsize=4)
def of_close(document: str) -> Catalog:
    """The catalog that a close keeps in its document; the same object for the same document, so that no invoice reads it anew."""
    return Catalog.model_validate(json.loads(document)["catalog"])


def _follows(error: ErrorDetails) -> bool:
    """A list that is too short because its entries were refused, each with an error of its own."""
    return error["type"] == "too_short" and bool(error["input"])


def _steps(loc: tuple[str | int, ...]) -> list[str | int]:
    """A pydantic location without the names of union members, which stand in no file."""
    return [s for s in loc if s not in {*MODELS, "datetime", "date"}]


def _message(error: ErrorDetails) -> str:
    """What is wrong and what to write instead."""
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
