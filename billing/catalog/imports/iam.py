"""Converts IAM policies to grants. A note names each part that a grant cannot express.

The grants never allow more than the policy.

An Allow with a condition that no grant can express is left out. A Deny removes the grants that it affects, whatever its
conditions. Only a Deny for all networks except some is converted exactly: its networks are added to the grants.
"""

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any, NamedTuple

from pydantic import ValidationError

from billing.catalog.imports.model import BadDocument, ImportedGrant, Note
from billing.catalog.imports.reading import objects, texts
from schemas.catalog.credentials import Grant

VERSIONS = ("2012-10-17", "2008-10-17")
_ADD_BY_HAND = "if it should count as allowed, add the grant to the credential by hand; later imports keep it"
_EFFECTS = ("Allow", "Deny")
_VARIABLE = re.compile(r"\$\{[^}]*\}")
_KEYS = ("Action", "NotAction", "Resource", "NotResource", "Condition", "Effect", "Sid", "Principal", "NotPrincipal")
Network = IPv4Network | IPv6Network
Networks = tuple[Network, ...]


class Denied(NamedTuple):
    """A Deny: action and resource patterns. With `outside` it applies to all networks except these."""

    actions: tuple[str, ...]
    resources: tuple[str, ...]
    outside: Networks | None


class Policy(NamedTuple):
    """The content of one policy. `grants` combines the policies of a principal."""

    allowed: tuple[ImportedGrant, ...]
    denied: tuple[Denied, ...]
    notes: tuple[Note, ...]


def policy(document: dict[str, Any], address: str) -> Policy:
    """Reads a policy document. Raises BadDocument if IAM would not accept it."""
    if document.get("Version", VERSIONS[0]) not in VERSIONS:
        raise BadDocument(f"{address} has an unknown Version; use {' or '.join(VERSIONS)}")
    written = document.get("Statement")
    statements = objects(written)
    if not statements or (isinstance(written, list) and len(statements) != len(written)):
        raise BadDocument(f"{address} is not an IAM policy: its Statement must be a list of objects")
    allowed: list[ImportedGrant] = []
    denied: list[Denied] = []
    notes: list[Note] = []
    for place, statement in enumerate(statements):
        effect = statement.get("Effect")
        if effect not in _EFFECTS:
            raise BadDocument(f"{address}: the Effect of Statement[{place}] must be Allow or Deny")
        one = _PolicyStatement(statement, address, place)
        if effect == "Allow":
            allowed += one.allowed()
        else:
            denied.append(one.denied())
        notes += one.notes
    return Policy(tuple(allowed), tuple(denied), tuple(notes))


def grants(policies: Sequence[Policy]) -> tuple[ImportedGrant, ...]:
    """The grants of all policies of a principal: every Allow, without the parts that a Deny of any policy affects."""
    remaining = [grant for each in policies for grant in each.allowed]
    for deny in (deny for each in policies for deny in each.denied):
        remaining = [rest for grant in remaining for rest in _without(grant, deny)]
    return tuple({grant.key: grant for grant in reversed(remaining)}.values())[::-1]


class _PolicyStatement:
    def __init__(self, statement: dict[str, Any], address: str, place: int) -> None:
        sid = statement.get("Sid")
        self._where = f"Statement[{place}]" + (f" ({sid})" if isinstance(sid, str) and sid else "")
        self._statement, self._address = statement, address
        self._is_blocked = False  # whether the statement must not be imported
        self.notes: list[Note] = []

    def allowed(self) -> list[ImportedGrant]:
        """The grant of an Allow in a list. The list is empty if a grant cannot express the statement."""
        unknown = sorted(k for k in self._statement if k not in _KEYS)
        for name in ("NotAction", "NotResource", "Principal", "NotPrincipal", *unknown):
            if name in self._statement:
                self._left_out(name, "a grant cannot express this, so the statement is not imported")
        actions = [a for a in self._texts("Action") if self._is_plain(a, "Action")]
        resources = [r for r in self._texts("Resource") if self._is_plain(r, "Resource")]
        for name in ("Action", "Resource"):
            if not self._texts(name) and f"Not{name}" not in self._statement:
                self._left_out(name, "it is missing, so the statement allows nothing")
        networks = self._networks()
        if networks == ():
            self._left_out("Condition", "it matches no network, so the statement allows nothing")
        if self._is_blocked or not actions or not resources:
            return []
        nets = None if networks is None else tuple(map(str, networks))
        return [ImportedGrant(tuple(dict.fromkeys(actions)), tuple(dict.fromkeys(resources)), nets)]

    def denied(self) -> Denied:
        """The Deny.

        It is widened where a catalog cannot express it: NotAction and NotResource match everything, and conditions
        always hold.
        """
        by_network = self._only_outside()
        how = (
            "a catalog has no Deny; the networks that it excepts were added to every grant that it affects"
            if by_network is not None
            else "a catalog has no Deny; every grant that it affects was left out, whatever its conditions"
        )
        self._left_out("Effect Deny", how)
        for operator, key, _ in self._conditions():
            if not (operator == "NotIpAddress" and key.lower() == "aws:sourceip" and by_network is not None):
                self._left_out(f"Condition.{operator}.{key}", "ignored, as if the Deny always applied")
        for name in ("NotAction", "NotResource"):
            if name in self._statement:
                self._left_out(name, "treated as everything, so more is left out than the policy denies")
        actions = ["*"] if "NotAction" in self._statement else self._texts("Action")
        resources = ["*"] if "NotResource" in self._statement else self._texts("Resource")
        return Denied(
            tuple(_VARIABLE.sub("*", a) for a in actions) or ("*",),
            tuple(_VARIABLE.sub("*", r) for r in resources) or ("*",),
            by_network,
        )

    def _conditions(self) -> Iterable[tuple[str, str, Any]]:
        conditions = self._statement.get("Condition")
        if conditions is None:
            return
        if not isinstance(conditions, dict) or any(not isinstance(keys, dict) for keys in conditions.values()):
            raise BadDocument(f"{self._address}: the Condition of {self._where} must be an object of objects")
        for operator, keys in conditions.items():
            for key, values in keys.items():
                yield operator, key, values

    def _networks(self) -> Networks | None:
        """The networks of an Allow, from IpAddress on aws:SourceIp.

        Every other condition adds a note and blocks the statement.
        """
        networks: Networks | None = None
        for operator, key, values in self._conditions():
            if key.lower() != "aws:sourceip" or operator not in {"IpAddress", "IpAddressIfExists"}:
                why = "the catalog has no such condition; a grant without it would allow more, so the statement is not imported"
                self._left_out(f"Condition.{operator}.{key}", why)
                continue
            if operator == "IpAddressIfExists":
                why = "imported as IpAddress: a request without an address is outside the grant"
                self.notes.append(Note(self._address, f"{self._where}.Condition.{operator}.{key}", why, _ADD_BY_HAND))
            these = self._parsed(operator, key, values)
            if these is not None:
                networks = these if networks is None else _intersection(networks, these)
        return networks

    def _only_outside(self) -> Networks | None:
        """The networks that a Deny excepts with NotIpAddress, or None.

        Its other conditions can only narrow the Deny.
        """
        networks: Networks | None = None
        for operator, key, values in self._conditions():
            if operator == "NotIpAddress" and key.lower() == "aws:sourceip":
                networks = self._parsed(operator, key, values)
        return networks

    def _parsed(self, operator: str, key: str, values: Any) -> Networks | None:
        try:
            listed = values if isinstance(values, list) else [values]
            networks = tuple(dict.fromkeys(ip_network(str(v).strip(), strict=False) for v in listed))
            if networks:
                Grant(actions=("*",), networks=tuple(map(str, networks)))
        except ValueError:  # includes pydantic's ValidationError
            self._left_out(f"Condition.{operator}.{key}", "a value is not a network, so the statement is not imported")
            return None
        return networks

    def _texts(self, name: str) -> list[str]:
        written = self._statement.get(name, [])
        if len(parsed := texts(written)) != (len(written) if isinstance(written, list) else 1) or "" in parsed:
            raise BadDocument(f"{self._address}: every {name} of {self._where} must be non-empty text")
        return parsed

    def _is_plain(self, written: str, name: str) -> bool:
        if "${" in written:
            why = f"{written} contains a variable, which a grant cannot contain; it is not imported"
        elif not _is_grant({"actions": [written]} if name == "Action" else {"actions": ["*"], "resources": [written]}):
            why = f"{written} does not have the form of a grant's {name.lower()}; it is not imported"
        else:
            return True
        self.notes.append(Note(self._address, f"{self._where}.{name}", why, _ADD_BY_HAND))
        return False

    def _left_out(self, attribute: str, why: str) -> None:
        self._is_blocked = True
        self.notes.append(Note(self._address, f"{self._where}.{attribute}", why, _ADD_BY_HAND))


def _is_grant(record: dict[str, Any]) -> bool:
    try:
        Grant.model_validate(record)
    except ValidationError:
        return False
    return True


def _without(grant: ImportedGrant, deny: Denied) -> list[ImportedGrant]:
    """The parts of a grant that a Deny does not affect.

    A Deny with `outside` keeps the affected part for those networks.
    """
    hit = tuple(r for r in grant.resources if any(patterns_overlap(r, d) for d in deny.resources))
    denied = {a for a in grant.actions if any(patterns_overlap(a.lower(), d.lower()) for d in deny.actions)}
    if not hit or not denied:
        return [grant]
    actions = tuple(a for a in grant.actions if a in denied)
    parts = [
        grant._replace(actions=tuple(a for a in grant.actions if a not in denied)),
        grant._replace(actions=actions, resources=tuple(r for r in grant.resources if r not in hit)),
    ]
    if deny.outside is not None:
        own = None if grant.networks is None else tuple(map(ip_network, grant.networks))
        left = deny.outside if own is None else _intersection(own, deny.outside)
        parts.append(ImportedGrant(actions, hit, tuple(map(str, left))) if left else ImportedGrant((), ()))
    return [part for part in parts if part.actions and part.resources]


def _intersection(some: Networks, others: Networks) -> Networks:
    """The addresses in both lists of networks. Of two networks that overlap, one contains the other."""
    shared = (a if a.prefixlen >= b.prefixlen else b for a in some for b in others if _overlap(a, b))
    return tuple(dict.fromkeys(shared))


def _overlap(one: Network, other: Network) -> bool:
    if isinstance(one, IPv4Network) and isinstance(other, IPv4Network):
        return one.overlaps(other)
    return isinstance(one, IPv6Network) and isinstance(other, IPv6Network) and one.overlaps(other)


@lru_cache(maxsize=4096)
def patterns_overlap(one: str, other: str) -> bool:
    """Whether any text matches both patterns. `*` stands for any text and `?` for any character."""
    reached = {0}
    for char in one:
        reached = _stars(other, reached)
        if char == "*":
            reached = set(range(min(reached), len(other) + 1)) if reached else set()
            continue
        following = {at + 1 for at in reached if at < len(other) and other[at] != "*" and _fits(char, other[at])}
        reached = following | {at for at in reached if at < len(other) and other[at] == "*"}
        if not reached:
            return False
    return len(other) in _stars(other, reached)


def _stars(pattern: str, reached: set[int]) -> set[int]:
    """Adds the positions after stars, because a star may match the empty text."""
    positions = set(reached)
    for at in sorted(reached):
        place = at
        while place < len(pattern) and pattern[place] == "*":
            place += 1
            positions.add(place)
    return positions


def _fits(one: str, other: str) -> bool:
    return one == other or "?" in {one, other}
