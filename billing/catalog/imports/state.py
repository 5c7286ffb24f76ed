"""What an import wrote last, kept beside the catalog: one fact for each value, so that a person's work is told from its own.

A fact's name is `quota/PLAN/METER/PERIOD`, `throttle/PLAN/FIELD`, `assignment/PARTNER/PLAN`, `credential/PARTNER/KIND/ID` or
`grants/KIND/ID`; ids hold no slash, but the id of a credential may, and stands last.
"""

import json
from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError

from billing.catalog.imports.model import Allowed, BadDocument
from schemas.catalog.records import Catalog, Grant

FORMAT = 1
_PARTS = {"quota": 3, "throttle": 2, "assignment": 2, "credential": 3, "grants": 2}
_OF = {"quota": "plan", "throttle": "plan", "assignment": "partner", "credential": "partner"}
_GRANTS = TypeAdapter(list[Grant])


def parsed(text: bytes, where: str) -> dict[str, Any]:
    """The facts in the text of a record. Raises BadDocument: to guess who wrote what would undo a person's work."""
    try:
        written = json.loads(text)
        if isinstance(written, dict) and written.get("format") == FORMAT and isinstance(written.get("facts"), dict):
            facts: dict[str, Any] = written["facts"]
            for fact, value in facts.items():
                _check(fact, value)
            return facts
    except (ValueError, RecursionError):
        pass
    raise BadDocument(
        f"{where} is no record of an import; take it from git again, or delete it: all that is in the catalog is then by hand"
    )


def text_of(facts: Mapping[str, Any]) -> str:
    """The record's text; the same for the same facts."""
    return json.dumps({"format": FORMAT, "facts": dict(sorted(facts.items()))}, indent=1, ensure_ascii=True) + "\n"


def grant(allowed: Allowed) -> dict[str, Any]:
    """A grant as it is written, in a record and in a catalog."""
    record: dict[str, Any] = {"actions": list(allowed.actions), "resources": list(allowed.resources)}
    return record if allowed.networks is None else {**record, "networks": list(allowed.networks)}


def grants(written: Any) -> list[Allowed]:
    """Grants as a record has them."""
    return [Allowed(g.actions, g.resources, g.networks) for g in _GRANTS.validate_python(written or [])]


def grants_beside(credential: str) -> str:
    """The name of the grants of a credential, by its own name."""
    return "grants/" + credential.split("/", 2)[2]


def named(fact: str) -> tuple[str, str]:
    """(whose, what), for people."""
    kind, whose, *rest = fact.split("/", _PARTS[fact.partition("/")[0]])
    return f"{_OF[kind]} {whose}", " ".join((kind, *rest))


def is_still_there(catalog: Catalog, fact: str) -> bool:
    """Whether the catalog has what the fact says, and nobody ended it. Grants are looked at with their credential."""
    kind, whose, *rest = fact.split("/", _PARTS[fact.partition("/")[0]])
    if kind == "grants":
        return False
    if kind in {"quota", "throttle"}:
        plan = next((p for p in catalog.plans if p.id == whose), None)
        if plan is None or kind == "throttle":
            return plan is not None and plan.throttle is not None
        return any([q.meter, q.period] == rest for q in plan.quotas)
    partner = catalog.partner(whose)
    if partner is None:
        return False
    if kind == "assignment":
        return any([a.plan] == rest and a.valid_to is None for a in partner.plans)
    return any(list(c.key) == rest and c.valid_to is None for c in partner.credentials)


def _check(fact: str, value: Any) -> None:
    kind = fact.partition("/")[0]
    parts = fact.split("/", _PARTS.get(kind, 0))
    if kind not in _PARTS or len(parts) != _PARTS[kind] + 1:
        raise ValueError(fact)
    if kind == "grants":
        try:
            grants(value)
        except ValidationError as exc:
            raise ValueError(fact) from exc
