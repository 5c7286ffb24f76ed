"""IAM policies as grants. What a grant cannot say is named, and never makes the check looser than the policy.

An Allow that holds only under a condition which no grant knows is left out. A Deny takes away what it touches, whatever its
conditions; only one that denies all networks but some is kept exactly, as networks.
"""

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any, NamedTuple

from pydantic import ValidationError

from billing.catalog.imports.model import Allowed, BadDocument, Note
from billing.catalog.imports.reading import objects, texts
from schemas.catalog.records import Grant

VERSIONS = ("2012-10-17", "2008-10-17")
_ADD_BY_HAND = "add the grant to the credential by hand if it should count as allowed; it stays"
_EFFECTS = ("Allow", "Deny")
_VARIABLE = re.compile(r"\$\{[^}]*\}")
_KEYS = ("Action", "NotAction", "Resource", "NotResource", "Condition", "Effect", "Sid", "Principal", "NotPrincipal")
Network = IPv4Network | IPv6Network
Networks = tuple[Network, ...]


class Denied(NamedTuple):
    """A Deny: action and resource patterns; `outside`: it holds for all networks but these."""

    actions: tuple[str, ...]
    resources: tuple[str, ...]
    outside: Networks | None


class Policy(NamedTuple):
    """What one policy says. Several of a principal are put together by `grants`."""

    allowed: tuple[Allowed, ...]
    denied: tuple[Denied, ...]
    notes: tuple[Note, ...]


def policy(document: dict[str, Any], address: str) -> Policy:
    """A policy document as IAM takes it. Raises BadDocument when it is none."""
    if document.get("Version", VERSIONS[0]) not in VERSIONS:
        raise BadDocument(f"{address} has an unknown Version; a policy has {' or '.join(VERSIONS)}")
    written = document.get("Statement")
    statements = objects(written)
    if not statements or (isinstance(written, list) and len(statements) != len(written)):
        raise BadDocument(f"{address} is no IAM policy: it needs a list of objects as its Statement")
    allowed: list[Allowed] = []
    denied: list[Denied] = []
    notes: list[Note] = []
    for place, statement in enumerate(statements):
        effect = statement.get("Effect")
        if effect not in _EFFECTS:
            raise BadDocument(f"{address}: Statement[{place}] has no Effect of Allow or Deny")
        one = _Statement(statement, address, place)
        if effect == "Allow":
            allowed += one.allowed()
        else:
            denied.append(one.denied())
        notes += one.notes
    return Policy(tuple(allowed), tuple(denied), tuple(notes))


def grants(policies: Sequence[Policy]) -> tuple[Allowed, ...]:
    """What all policies of a principal allow together: every Allow, less what a Deny of any of them touches."""
    found = [grant for each in policies for grant in each.allowed]
    for deny in (deny for each in policies for deny in each.denied):
        found = [rest for grant in found for rest in _less(grant, deny)]
    return tuple({grant.key: grant for grant in reversed(found)}.values())[::-1]


class _Statement:
    def __init__(self, statement: dict[str, Any], address: str, place: int) -> None:
        sid = statement.get("Sid")
        self._where = f"Statement[{place}]" + (f" ({sid})" if isinstance(sid, str) and sid else "")
        self._statement, self._address = statement, address
        self._held = False  # whether the statement may not be imported
        self.notes: list[Note] = []

    def allowed(self) -> list[Allowed]:
        """The grant of an Allow, or none."""
        unknown = sorted(k for k in self._statement if k not in _KEYS)
        for name in ("NotAction", "NotResource", "Principal", "NotPrincipal", *unknown):
            if name in self._statement:
                self._left_out(name, "a grant cannot say this, so the statement is not imported")
        actions = [a for a in self._texts("Action") if self._is_plain(a, "Action")]
        resources = [r for r in self._texts("Resource") if self._is_plain(r, "Resource")]
        for name in ("Action", "Resource"):
            if not self._texts(name) and f"Not{name}" not in self._statement:
                self._left_out(name, "there is none, so the statement allows nothing")
        networks = self._networks()
        if networks == ():
            self._left_out("Condition", "it leaves no network, so the statement allows nothing")
        if self._held or not actions or not resources:
            return []
        nets = None if networks is None else tuple(map(str, networks))
        return [Allowed(tuple(dict.fromkeys(actions)), tuple(dict.fromkeys(resources)), nets)]

    def denied(self) -> Denied:
        """The Deny, widened where it cannot be said: NotAction and NotResource deny everything, conditions always hold."""
        by_network = self._only_outside()
        how = (
            "a catalog has no Deny; the networks that it leaves were put into every grant that it touches"
            if by_network is not None
            else "a catalog has no Deny; every grant that it touches was left out, whatever its conditions"
        )
        self._left_out("Effect Deny", how)
        for operator, key, _ in self._conditions():
            if not (operator == "NotIpAddress" and key.lower() == "aws:sourceip" and by_network is not None):
                self._left_out(f"Condition.{operator}.{key}", "not looked at, as if the Deny always held")
        for name in ("NotAction", "NotResource"):
            if name in self._statement:
                self._left_out(name, "taken as everything, so more is left out than the policy denies")
        actions = ["*"] if "NotAction" in self._statement else self._texts("Action")
        resources = ["*"] if "NotResource" in self._statement else self._texts("Resource")
        return Denied(
            tuple(_VARIABLE.sub("*", a) for a in actions) or ("*",),
            tuple(_VARIABLE.sub("*", r) for r in resources) or ("*",),
            by_network,
        )

    def _conditions(self) -> Iterable[tuple[str, str, Any]]:
        found = self._statement.get("Condition")
        if found is None:
            return
        if not isinstance(found, dict) or any(not isinstance(keys, dict) for keys in found.values()):
            raise BadDocument(f"{self._address}: {self._where} has a Condition that is no object of objects")
        for operator, keys in found.items():
            for key, values in keys.items():
                yield operator, key, values

    def _networks(self) -> Networks | None:
        """The networks of an Allow: IpAddress of aws:SourceIp alone. Every other condition is a note."""
        found: Networks | None = None
        for operator, key, values in self._conditions():
            if key.lower() != "aws:sourceip" or operator not in {"IpAddress", "IpAddressIfExists"}:
                why = "the catalog knows no such condition; without it more would be allowed, so the statement is not imported"
                self._left_out(f"Condition.{operator}.{key}", why)
                continue
            if operator == "IpAddressIfExists":
                why = "imported as IpAddress: a request without an address is outside the grant"
                self.notes.append(Note(self._address, f"{self._where}.Condition.{operator}.{key}", why, _ADD_BY_HAND))
            these = self._parsed(operator, key, values)
            if these is not None:
                found = these if found is None else _both(found, these)
        return found

    def _only_outside(self) -> Networks | None:
        """The networks that a Deny leaves in peace, if it is one of NotIpAddress. Its other conditions only narrow it."""
        found: Networks | None = None
        for operator, key, values in self._conditions():
            if operator == "NotIpAddress" and key.lower() == "aws:sourceip":
                found = self._parsed(operator, key, values)
        return found

    def _parsed(self, operator: str, key: str, values: Any) -> Networks | None:
        try:
            listed = values if isinstance(values, list) else [values]
            networks = tuple(dict.fromkeys(ip_network(str(v).strip(), strict=False) for v in listed))
            if networks:
                Grant(actions=("*",), networks=tuple(map(str, networks)))
        except ValueError:  # pydantic's is one
            self._left_out(f"Condition.{operator}.{key}", "a value is no network, so the statement is not imported")
            return None
        return networks

    def _texts(self, name: str) -> list[str]:
        written = self._statement.get(name, [])
        if len(found := texts(written)) != (len(written) if isinstance(written, list) else 1) or "" in found:
            raise BadDocument(f"{self._address}: {self._where} has a {name} that is no text; IAM takes texts alone")
        return found

    def _is_plain(self, written: str, name: str) -> bool:
        if "${" in written:
            why = f"{written} has a variable, which a grant cannot have; it is not imported"
        elif not _is_grant({"actions": [written]} if name == "Action" else {"actions": ["*"], "resources": [written]}):
            why = f"{written} does not have the form that a grant takes; it is not imported"
        else:
            return True
        self.notes.append(Note(self._address, f"{self._where}.{name}", why, _ADD_BY_HAND))
        return False

    def _left_out(self, attribute: str, why: str) -> None:
        self._held = True
        self.notes.append(Note(self._address, f"{self._where}.{attribute}", why, _ADD_BY_HAND))


def _is_grant(record: dict[str, Any]) -> bool:
    try:
        Grant.model_validate(record)
    except ValidationError:
        return False
    return True


def _less(grant: Allowed, deny: Denied) -> list[Allowed]:
    """A grant without what a Deny touches, or with the networks that it leaves."""
    hit = tuple(r for r in grant.resources if any(meet(r, d) for d in deny.resources))
    denied = {a for a in grant.actions if any(meet(a.lower(), d.lower()) for d in deny.actions)}
    if not hit or not denied:
        return [grant]
    actions = tuple(a for a in grant.actions if a in denied)
    parts = [
        grant._replace(actions=tuple(a for a in grant.actions if a not in denied)),
        grant._replace(actions=actions, resources=tuple(r for r in grant.resources if r not in hit)),
    ]
    if deny.outside is not None:
        own = None if grant.networks is None else tuple(map(ip_network, grant.networks))
        left = deny.outside if own is None else _both(own, deny.outside)
        parts.append(Allowed(actions, hit, tuple(map(str, left))) if left else Allowed((), ()))
    return [part for part in parts if part.actions and part.resources]


def _both(some: Networks, others: Networks) -> Networks:
    """The addresses that are in one of `some` and in one of `others`. Of two networks that meet one holds the other."""
    met = (a if a.prefixlen >= b.prefixlen else b for a in some for b in others if _overlap(a, b))
    return tuple(dict.fromkeys(met))


def _overlap(one: Network, other: Network) -> bool:
    if isinstance(one, IPv4Network) and isinstance(other, IPv4Network):
        return one.overlaps(other)
    return isinstance(one, IPv6Network) and isinstance(other, IPv6Network) and one.overlaps(other)


@lru_cache(maxsize=4096)
def meet(one: str, other: str) -> bool:
    """Whether some text fits both patterns, in which `*` is any text and `?` any character."""
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
    """Also the places behind stars, which may be empty."""
    found = set(reached)
    for at in sorted(reached):
        place = at
        while place < len(pattern) and pattern[place] == "*":
            place += 1
            found.add(place)
    return found


def _fits(one: str, other: str) -> bool:
    return one == other or "?" in {one, other}
