"""Imports the meter definitions of OpenMeter, from its configuration file or as its API lists them.

Each becomes a meter of the catalog with the same id, and the paths by which ingest reads its events. A meter that the
catalog has already stays as it is.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from billing.catalog import loading as catalogs
from billing.catalog.imports.model import BadDocument, Note
from billing.catalog.imports.proposal import HEAD, Change, Proposal, new_file
from billing.catalog.imports.reading import objects, text, yaml_document
from schemas.catalog.meters.meter import Aggregate, Meter
from schemas.yaml.edits import Append, edited
from schemas.yaml.writing import Entry

_WHAT = "OpenMeter's configuration with `meters`, or the answer of its API"
_AGGREGATES: Mapping[str, Aggregate] = {
    "COUNT": "count",
    "SUM": "sum",
    "MIN": "min",
    "MAX": "max",
    "LATEST": "latest",
    "UNIQUE_COUNT": "unique",
}
_PATH = re.compile(r"\$(\.[A-Za-z0-9_-]{1,64}){1,8}")
_NAME_MAX = 64  # characters of the name of a quantity
_READ = {"slug", "name", "description", "eventType", "aggregation", "valueProperty", "groupBy"}
# How OpenMeter stores and lists a meter; none of it changes what the meter counts.
_OF_NO_MEANING = {"id", "key", "windowSize", "metadata", "annotations", "createdAt", "updatedAt", "deletedAt"}
_SKIPPED = "the meter was not imported; write one for it by hand"


class _NotImported(Exception):
    """A meter that the catalog cannot express, because of one of its attributes."""

    def __init__(self, attribute: str, why: str) -> None:
        super().__init__(why)
        self.attribute, self.why = attribute, why


def propose(folder: Path, file: Path, *, name: str) -> Proposal:
    """The changes that an import of the meters in `file` would make. Writes nothing.

    New meters go to `imported-NAME.yaml`. Raises CatalogError and BadDocument.
    """
    target = new_file(folder, name)
    known = {meter.id: meter for meter in catalogs.load(folder).meters}
    entries: list[Entry] = []
    notes: list[Note] = []
    for definition in _definitions(yaml_document(file, _WHAT)):
        slug = text(definition.get("slug")) or "?"
        try:
            record, more = _record(definition)
            meter = Meter.model_validate(record)
        except _NotImported as exc:
            notes.append(Note(slug, exc.attribute, exc.why, _SKIPPED))
            continue
        except ValidationError as exc:
            fault = exc.errors()[0]
            notes.append(Note(slug, ".".join(map(str, fault["loc"])), fault["msg"], _SKIPPED))
            continue
        notes += more
        if meter.id not in known:
            entries.append(Entry(record))
            known[meter.id] = meter
        elif _counts(known[meter.id]) != _counts(meter):
            notes.append(Note(slug, "", "the catalog has another meter of this id", "the catalog stays unchanged"))
    if not entries:
        return Proposal((), None, tuple(notes), (), {})
    old = target.read_bytes().decode() if target.exists() else None
    change = Change(target, old, edited(HEAD if old is None else old, [Append(("meters",), tuple(entries))]))
    catalogs.load(folder, {target: change.new})
    return Proposal((change,), None, tuple(notes), (), {})


def _definitions(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The meters of a configuration (`meters`) or of a list of the API (`items`), or the document as the only one."""
    found = objects(document.get("meters")) or objects(document.get("items"))
    if not found and "slug" in document:
        found = [dict(document)]
    if not found:
        raise BadDocument(f"the document has no meters; pass {_WHAT}")
    return found


def _record(definition: Mapping[str, Any]) -> tuple[dict[str, Any], list[Note]]:
    """The meter as a record of the catalog, and what the catalog cannot express. Raises _NotImported."""
    slug, aggregation = text(definition.get("slug")) or "?", (text(definition.get("aggregation")) or "").upper()
    if aggregation not in _AGGREGATES:
        raise _NotImported("aggregation", f"the catalog has no {aggregation or 'meter without an aggregation'}")
    aggregate = _AGGREGATES[aggregation]
    paths, notes = _groups(slug, definition)
    path = text(definition.get("valueProperty"))
    record: dict[str, Any] = {"id": slug, "aggregate": aggregate, "unit": "events"}
    if described := text(definition.get("description")) or text(definition.get("name")):
        record["description"] = described
    if aggregate != "count":
        if path is None or not _PATH.fullmatch(path) or len(path) - 2 > _NAME_MAX:
            raise _NotImported("valueProperty", "it is not a path of names, such as $.tokens")
        record |= {
            "attribute" if aggregate == "unique" else "quantity": path[2:],
            "unit": path[2:],
            "value_property": path,
        }
    record |= {"filter": {"types": [definition.get("eventType")]}}
    if paths:
        record["group_by"] = paths
    notes += [
        Note(slug, attribute, "the catalog has no such setting", "the meter counts without it")
        for attribute in sorted(definition.keys() - _READ - _OF_NO_MEANING)
    ]
    return record, notes


def _groups(slug: str, definition: Mapping[str, Any]) -> tuple[dict[str, str], list[Note]]:
    """The paths of attributes by name, and those that are no paths of names."""
    given = definition.get("groupBy")
    given = given if isinstance(given, dict) else {}
    found = {name: path for name, path in given.items() if isinstance(path, str) and _PATH.fullmatch(path)}
    notes = [
        Note(slug, f"groupBy.{name}", "it is not a path of names, such as $.model", "the attribute is not kept")
        for name in given.keys() - found.keys()
    ]
    return found, sorted(notes)


def _counts(meter: Meter) -> tuple[object, ...]:
    """What two definitions must have in common to count the same."""
    return meter.aggregate, meter.quantity, meter.attribute, meter.value_property, meter.group_by, meter.filter.types
