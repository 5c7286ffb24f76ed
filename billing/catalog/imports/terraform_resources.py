"""The resources of `terraform show -json`, and the references between them.

Before `terraform apply` ids are not known. The references in the plan's configuration then connect resources.
"""

import re
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, NamedTuple

from billing.catalog.imports.reading import objects, text, texts

_INDEX = re.compile(r"\[[^\]]*\]$")
_REFERENCE = re.compile(r"((?:data\.)?[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+)(\[[^\]]*\])?")
_LISTS = {"actions": "Action", "not_actions": "NotAction", "resources": "Resource", "not_resources": "NotResource"}
_UNKNOWN = "${known after apply}"  # a policy variable, which no grant can contain


class Resource(NamedTuple):
    """A resource or data source, and its known values."""

    address: str
    module: str
    type: str
    name: str
    instance: str  # [0] or ["a"], from count or for_each
    managed: bool
    values: dict[str, Any]
    hidden: dict[str, Any]  # attribute → True if it is marked as sensitive

    def get(self, attribute: str) -> Any:
        """The value of an attribute. None if it is unknown or marked as sensitive."""
        return None if self.hidden.get(attribute) is True else self.values.get(attribute)


class Resources:
    """All resources of a plan or a state, including those of child modules."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.by_address: dict[str, Resource] = {}
        for part in ("planned_values", "values"):
            self.by_address |= {r.address: r for r in _resources(document.get(part))}
        prior = document.get("prior_state")
        for r in _resources(prior.get("values") if isinstance(prior, dict) else None):
            if not r.managed:  # the prior state holds the results of data sources
                self.by_address.setdefault(r.address, r)
        self._of_type: dict[str, list[Resource]] = {}
        for r in self.by_address.values():
            self._of_type.setdefault(r.type, []).append(r)
        root = document.get("configuration")
        self._expressions = dict(_expressions(root.get("root_module"))) if isinstance(root, dict) else {}
        self._unknown = dict(_unknown_statements(document.get("resource_changes")))
        self._index = cache(self._indexed)

    def of(self, kind: str, *, managed: bool = False) -> list[Resource]:
        """The resources of a type. `managed` leaves out data sources."""
        return [r for r in self._of_type.get(kind, ()) if r.managed or not managed]

    def by(self, kind: str, attribute: str, value: str) -> Resource | None:
        """The first resource of a type whose attribute has this value."""
        return self._index(kind, attribute).get(value)

    def linked(self, r: Resource, attribute: str, kind: str, by: str) -> Resource | None:
        """The resource to which an attribute refers.

        It is found by the value, or by the configuration if the value is unknown.
        """
        value = text(r.get(attribute))
        return self.referred(r, attribute, kind) if value is None else self.by(kind, by, value)

    def referred(self, r: Resource, attribute: str, kind: str) -> Resource | None:
        """The resource that the configuration refers to.

        Of several instances, the one with the same index; None if that is ambiguous.
        """
        module = re.sub(r"\[[^\]]*\]", "", r.module)
        expression = self._expressions.get((module, f"{r.type}.{r.name}"), {}).get(attribute)
        for reference in texts(expression.get("references")) if isinstance(expression, dict) else ():
            match = _REFERENCE.match(reference)
            if match is None:
                continue
            named = [
                other
                for other in self.of(kind)
                if other.module == r.module and match[1] == f"{'' if other.managed else 'data.'}{kind}.{other.name}"
            ]
            exact = [other for other in named if other.instance == (match[2] or r.instance)]
            if exact or len(named) == 1:
                return (exact or named)[0]
        return None

    def document(self, r: Resource) -> dict[str, Any]:
        """The policy that an aws_iam_policy_document defines by its blocks."""
        return _from_blocks(r.get("statement"), self._unknown.get(r.address, []))

    def _indexed(self, kind: str, attribute: str) -> dict[str, Resource]:
        return {v: r for r in reversed(self.of(kind)) if (v := text(r.get(attribute)))}


def _resources(part: Any) -> Iterator[Resource]:
    """All resources under `planned_values` or `values`, including those of child modules."""
    waiting = objects(part.get("root_module")) if isinstance(part, dict) else []
    while waiting:
        module = waiting.pop(0)
        waiting += objects(module.get("child_modules"))
        for r in objects(module.get("resources")):
            address, kind, name = text(r.get("address")), text(r.get("type")), text(r.get("name"))
            if address and kind and name:
                values, hidden = r.get("values"), r.get("sensitive_values")
                index = _INDEX.search(address)
                yield Resource(
                    address, text(module.get("address")) or "", kind, name, index[0] if index else "", r.get("mode") != "data",
                    values if isinstance(values, dict) else {}, hidden if isinstance(hidden, dict) else {},
                )  # fmt: skip


def _expressions(root: Any) -> Iterator[tuple[tuple[str, str], dict[str, Any]]]:
    """Pairs of a resource, as (module without indices, type.name), and its expressions."""
    waiting: list[tuple[str, Any]] = [("", root)]
    while waiting:
        place, module = waiting.pop(0)
        if not isinstance(module, dict):
            continue
        for r in objects(module.get("resources")):
            if isinstance(r.get("expressions"), dict):
                yield (place, f"{r.get('type')}.{r.get('name')}"), r["expressions"]
        calls = module.get("module_calls")
        for name, call in calls.items() if isinstance(calls, dict) else ():
            inner = f"{place}.module.{name}" if place else f"module.{name}"
            waiting.append((inner, call.get("module") if isinstance(call, dict) else None))


def _unknown_statements(changes: Any) -> Iterator[tuple[str, list[Any]]]:
    """Pairs of a policy document's address and the parts of its statements, in order, that are unknown before apply."""
    for changed in objects(changes):
        change = changed.get("change")
        unknown = change.get("after_unknown") if isinstance(change, dict) else None
        if isinstance(unknown, dict) and isinstance(unknown.get("statement"), list):
            yield str(changed.get("address")), unknown["statement"]


def _from_blocks(blocks: Any, unknown: Sequence[Any]) -> dict[str, Any]:
    """A policy from the blocks of an aws_iam_policy_document.

    An unknown condition becomes a condition with an unknown key, so that its statement is not imported.
    """
    statements = []
    for place, block in enumerate(objects(blocks)):
        statement: dict[str, Any] = {"Effect": block.get("effect") or "Allow", "Sid": text(block.get("sid")) or ""}
        for field, name in _LISTS.items():
            listed = block.get(field)
            if isinstance(listed, list) and listed:
                statement[name] = [v if isinstance(v, str) else _UNKNOWN for v in listed]
        for field, name in (("principals", "Principal"), ("not_principals", "NotPrincipal")):
            if objects(block.get(field)):
                statement[name] = "*"
        conditions: dict[str, dict[str, Any]] = {}
        for condition in objects(block.get("condition")):
            values = condition.get("values")
            keys = conditions.setdefault(text(condition.get("test")) or _UNKNOWN, {})
            keys[text(condition.get("variable")) or _UNKNOWN] = values if isinstance(values, list) else []
        unknown_parts = unknown[place] if place < len(unknown) else False
        if unknown_parts is True or (isinstance(unknown_parts, dict) and unknown_parts.get("condition") is True):
            conditions.setdefault(_UNKNOWN, {})[_UNKNOWN] = []
        statements.append({**statement, "Condition": conditions})
    return {"Statement": statements}
