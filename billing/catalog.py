"""Reads a catalog from a folder of YAML files, and reports everything wrong with it at once.

Every scalar is read as text (YAML's own guesses would make floats of prices and booleans of `no`), and every problem
carries file, line, field and remedy.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from pydantic import ValidationError

from schemas import catalog_checks
from schemas.catalog import Catalog

_SECTIONS = tuple(Catalog.model_fields)


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
        self.document: dict[str, list[Any]] = {name: [] for name in _SECTIONS}
        self.nodes: dict[str, list[tuple[str, yaml.Node]]] = {name: [] for name in _SECTIONS}
        self.problems: list[Located] = []

    def add(self, file: Path) -> None:
        try:
            node = yaml.compose(file.read_text(encoding="utf-8"), Loader=yaml.BaseLoader)
        except yaml.MarkedYAMLError as exc:
            line = exc.problem_mark.line + 1 if exc.problem_mark else 1
            self.problems.append(
                Located(str(file), line, "", f"no valid YAML: {exc.problem}; correct the indentation or quoting there")
            )
            return
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as exc:
            self.problems.append(
                Located(str(file), 1, "", f"cannot be read: {exc}; check that it is a UTF-8 text file")
            )
            return
        if node is None:
            return
        if not isinstance(node, yaml.MappingNode):
            self.problems.append(Located(str(file), 1, "", f"must be a mapping with some of: {', '.join(_SECTIONS)}"))
            return
        for key, value in node.value:
            if key.value not in _SECTIONS:
                message = f"unknown section; a catalog has: {', '.join(_SECTIONS)}"
                self.problems.append(Located(str(file), key.start_mark.line + 1, key.value, message))
            elif not isinstance(value, yaml.SequenceNode):
                self.problems.append(Located(str(file), value.start_mark.line + 1, key.value, "must be a list"))
            else:
                for item in value.value:
                    self.document[key.value].append(_plain(item))
                    self.nodes[key.value].append((str(file), item))

    def locate(self, where: Sequence[str | int], message: str) -> Located:
        section, index, *rest = where
        if not isinstance(index, int):
            return Located("catalog", 1, ".".join(map(str, where)), message)
        file, node = self.nodes[str(section)][index]
        for step in rest:
            child = _child(node, step)
            if child is None:
                break
            node = child
        record = self.document[str(section)][index]
        name = record.get("id", index) if isinstance(record, dict) else index
        field = ".".join(str(s) for s in (section, name, *rest))
        return Located(file, node.start_mark.line + 1, field, message)


def load(folder: Path) -> Catalog:
    """The catalog in all *.yaml and *.yml files of `folder`, or of one file. Raises CatalogError with every problem."""
    files = sorted(p for p in folder.glob("*.y*ml") if p.suffix in {".yaml", ".yml"}) if folder.is_dir() else [folder]
    if not folder.exists() or not files:
        raise CatalogError(
            [Located(str(folder), 0, "", "no catalog here: name a folder with *.yaml files (examples/catalog is one)")]
        )
    merged = _Merged()
    for file in files:
        merged.add(file)
    try:
        catalog = Catalog.model_validate(merged.document)
    except ValidationError as exc:
        found = [merged.locate(_steps(e["loc"]), _message(e["msg"])) for e in exc.errors()]
        raise CatalogError(merged.problems + found) from exc
    found = [merged.locate(p.where, p.message) for p in catalog_checks.problems(catalog)]
    if merged.problems or found:
        raise CatalogError(merged.problems + found)
    return catalog


def _steps(loc: tuple[str | int, ...]) -> list[str | int]:
    """A pydantic location without the names of union members, which stand in no file."""
    return [s for s in loc if s not in {"flat", "per_unit", "graduated", "volume", "package", "datetime", "date"}]


def _message(text: str) -> str:
    return text.removeprefix("Value error, ")


def _plain(node: yaml.Node) -> Any:
    if isinstance(node, yaml.MappingNode):
        return {key.value: _plain(value) for key, value in node.value}
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item) for item in node.value]
    quoted = getattr(node, "style", None) in {"'", '"'}
    return None if not quoted and node.value in {"", "~", "null"} else node.value


def _child(node: yaml.Node, step: str | int) -> yaml.Node | None:
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        child: yaml.Node = node.value[step]
        return child
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == step:
                return value if isinstance(value, yaml.Node) else None
    return None
