"""Assigns credentials to partners and plans to plan ids, by the user's rules only.

A rule matches an address, an id, an ARN or a name. In its pattern `*` stands for any text and `?` for any character. A
rule that is an exact name takes precedence over patterns, patterns apply in their order, and a tag applies last.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from billing.catalog.imports.model import BadDocument, ImportedCredential, ImportedPlan
from billing.catalog.imports.reading import yaml_document
from schemas.catalog.records import Catalog, Partner

TAG = "tollbook_partner"
_ID_CHARACTERS_MAX = 64
_Target = TypeVar("_Target")


class OwnershipRules(NamedTuple):
    """`partners`: pattern → partner id, or None to ignore the credential. `plans`: pattern → plan id."""

    partners: tuple[tuple[str, str | None], ...] = ()
    plans: tuple[tuple[str, str], ...] = ()
    tag: str = TAG


class NoOwner(Exception):
    """No rule and no tag assigns the credential to a partner."""


def partner_of(credential: ImportedCredential, rules: OwnershipRules) -> str | None:
    """The id of the partner, or None if the credential is ignored. Raises NoOwner."""
    rule = _first_match(rules.partners, (credential.address, *credential.names))
    if rule is not None and rule[1] is not None:
        return rule[1]
    if credential.partner is not None:
        return credential.partner  # a tag takes precedence over an --ignore pattern
    if rule is None:
        raise NoOwner
    return None


def plan_id(plan: ImportedPlan, rules: OwnershipRules) -> str:
    """The plan's id in the catalog: from a rule, or else from its name. Empty if the name has no usable character."""
    rule = _first_match(rules.plans, (plan.address, *plan.names))
    return rule[1] if rule is not None else slug(plan.name)


def owned(
    credentials: Iterable[ImportedCredential], catalog: Catalog, rules: OwnershipRules
) -> tuple[list[tuple[ImportedCredential, Partner]], list[str], list[str]]:
    """Each credential with its partner, the addresses of ignored credentials, and problems for the user to solve."""
    assigned: list[tuple[ImportedCredential, Partner]] = []
    ignored, problems = [], []
    owners: dict[tuple[str, str], str] = {}
    known = ", ".join(p.id for p in catalog.partners) or "none"
    for credential in credentials:
        address = credential.address
        try:
            partner_id = partner_of(credential, rules)
        except NoOwner:
            problems.append(
                f"{address} ({credential.kind}) has no partner: tag it {rules.tag}, or pass --partner '{address}=ID', "
                f"or --ignore '{address}' if it belongs to no partner"
            )
            continue
        partner = None if partner_id is None else catalog.partner(partner_id)
        key = credential.kind, str(credential.id or address)
        if partner_id is None:
            ignored.append(address)
        elif partner is None:
            problems.append(
                f"{address} belongs to partner {partner_id!r}, which is not in the catalog; add the partner there (id, name, "
                f"legal_entity, time_zone), or correct the rule; the catalog has: {known}"
            )
        elif owners.setdefault(key, partner.id) != partner.id:
            problems.append(
                f"{address}: {key[0]} {key[1]} is assigned to both {owners[key]} and {partner.id}; correct the rules"
            )
        else:
            assigned.append((credential, partner))
    return assigned, ignored, problems


def plan_ids(plans: Iterable[ImportedPlan], rules: OwnershipRules) -> tuple[dict[str, str], list[str]]:
    """The catalog id of each plan by its address, all ids distinct; and the problems that the user must solve."""
    ids: dict[str, str] = {}
    problems = []
    for plan in plans:
        wanted = plan_id(plan, rules)
        other = next((address for address, known in ids.items() if known == wanted), None)
        remedy = f"--plan '{plan.address}=ID'"
        if not wanted:
            problems.append(f"{plan.address}: its name contains no character of a plan id; set one with {remedy}")
        elif other is not None:
            problems.append(
                f"{plan.address} and {other} would both become plan {wanted}; set another id for one of them with {remedy}"
            )
        else:
            ids[plan.address] = wanted
    return ids, problems


def slug(name: str) -> str:
    """A name converted to a catalog id."""
    return re.sub(r"[^a-z0-9_-]+", "-", name.lower()).strip("-")[:_ID_CHARACTERS_MAX]


def pairs(given: Iterable[str], option: str) -> list[tuple[str, str]]:
    """Parses `PATTERN=ID` options. The last `=` is the separator: an address may contain `=`, an id may not."""
    parsed = []
    for word in given:
        pattern, mark, value = word.rpartition("=")
        if not mark or not pattern or not value:
            raise BadDocument(
                f"{option} {word!r} does not have the form PATTERN=ID, such as 'aws_iam_role.export=globex'"
            )
        parsed.append((pattern, value))
    return parsed


def partners_file(path: Path) -> list[tuple[str, str | None]]:
    """The rules in a YAML file: a mapping of patterns to partner ids. Null ignores the credential."""
    written: Mapping[str, Any] = yaml_document(path, "a mapping of patterns to partner ids")
    for pattern, value in written.items():
        if value is not None and not isinstance(value, str):
            raise BadDocument(f"{path}: {pattern} needs the id of one partner, or null to ignore the credential")
    return list(written.items())


def _first_match(rules: Iterable[tuple[str, _Target]], names: tuple[str, ...]) -> tuple[str, _Target] | None:
    listed = list(rules)
    exact = next((rule for rule in listed if rule[0] in names), None)
    return exact or next((rule for rule in listed if any(_matches(rule[0], name) for name in names)), None)


def _matches(pattern: str, name: str) -> bool:
    parts = ("." if c == "?" else ".*" if c == "*" else re.escape(c) for c in pattern)
    return re.fullmatch("".join(parts), name, re.DOTALL) is not None
