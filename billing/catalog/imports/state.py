"""The import state: the values that an import wrote last, stored beside the catalog.

The state separates the import's own values from those that people edited. It holds one entry for each value. The key of
an entry is `quota/PLAN/METER/PERIOD`, `throttle/PLAN/FIELD`, `assignment/PARTNER/PLAN`, `credential/PARTNER/KIND/ID` or
`grants/KIND/ID`. Ids contain no slash, except that of a credential, which is therefore the last part.
"""

import json
from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError

from billing.catalog.imports.model import BadDocument, ImportedGrant
from schemas.catalog.credentials import Grant
from schemas.catalog.records import Catalog

FORMAT = 1
_PARTS = {"quota": 3, "throttle": 2, "assignment": 2, "credential": 3, "grants": 2}
_OWNER_KINDS = {"quota": "plan", "throttle": "plan", "assignment": "partner", "credential": "partner"}
_GRANTS = TypeAdapter(list[Grant])


def parse(text: bytes, where: str) -> dict[str, Any]:
    """The entries of a state file.

    Raises BadDocument, because a guess about who wrote a value could undo a person's edit.
    """
    try:
        written = json.loads(text)
        if isinstance(written, dict) and written.get("format") == FORMAT and isinstance(written.get("facts"), dict):
            entries: dict[str, Any] = written["facts"]
            for key, value in entries.items():
                _check(key, value)
            return entries
    except (ValueError, RecursionError):
        pass
    raise BadDocument(
        f"{where} is not a valid import state; restore it from git, or delete it to treat the whole catalog as edited by hand"
    )


def render(entries: Mapping[str, Any]) -> str:
    """The text of a state file. Equal entries give equal text."""
    return json.dumps({"format": FORMAT, "facts": dict(sorted(entries.items()))}, indent=1, ensure_ascii=True) + "\n"


def grant_json(grant: ImportedGrant) -> dict[str, Any]:
    """A grant as the state file and the catalog store it."""
    record: dict[str, Any] = {"actions": list(grant.actions), "resources": list(grant.resources)}
    return record if grant.networks is None else {**record, "networks": list(grant.networks)}


def grants_from_json(stored: Any) -> list[ImportedGrant]:
    """The grants of a state entry."""
    return [ImportedGrant(g.actions, g.resources, g.networks) for g in _GRANTS.validate_python(stored or [])]


def grants_key(credential_key: str) -> str:
    """The key of the grants that belong to a credential's entry."""
    return "grants/" + credential_key.split("/", 2)[2]


def display_name(key: str) -> tuple[str, str]:
    """An entry for messages: (the plan or partner that owns it, the entry within that record)."""
    kind, owner, *rest = key.split("/", _PARTS[key.partition("/")[0]])
    return f"{_OWNER_KINDS[kind]} {owner}", " ".join((kind, *rest))


def is_in_catalog(catalog: Catalog, key: str) -> bool:
    """Whether the catalog still has the entry and nobody ended it. Grants are handled with their credential."""
    kind, owner, *rest = key.split("/", _PARTS[key.partition("/")[0]])
    if kind == "grants":
        return False
    if kind in {"quota", "throttle"}:
        plan = next((p for p in catalog.plans if p.id == owner), None)
        if plan is None or kind == "throttle":
            return plan is not None and plan.throttle is not None
        return any([q.meter, q.period] == rest for q in plan.quotas)
    partner = catalog.partner(owner)
    if partner is None:
        return False
    if kind == "assignment":
        return any([a.plan] == rest and a.valid_to is None for a in partner.plans)
    return any(list(c.key) == rest and c.valid_to is None for c in partner.credentials)


def _check(key: str, value: Any) -> None:
    kind = key.partition("/")[0]
    parts = key.split("/", _PARTS.get(kind, 0))
    if kind not in _PARTS or len(parts) != _PARTS[kind] + 1:
        raise ValueError(key)
    if kind == "grants":
        try:
            grants_from_json(value)
        except ValidationError as exc:
            raise ValueError(key) from exc
