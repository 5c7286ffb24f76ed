"""Whose a credential is, and what a plan is called: by the user's rules, never by a guess.

A rule is a pattern (`*` any text, `?` any character) for an address, an id, an ARN or a name. A rule that names it exactly goes
before patterns, patterns go in their order, a tag comes last.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from billing.catalog.imports.model import BadDocument, FoundCredential, FoundPlan
from billing.catalog.imports.reading import yaml_document
from schemas.catalog.records import Catalog, Partner

TAG = "tollbook_partner"
_ID_CHARACTERS_MAX = 64
_T = TypeVar("_T")


class Rules(NamedTuple):
    """Pattern → partner, or None for what is nobody's; pattern → plan."""

    partners: tuple[tuple[str, str | None], ...] = ()
    plans: tuple[tuple[str, str], ...] = ()
    tag: str = TAG


class Missing(Exception):
    """No rule and no tag names a partner."""


def partner_of(credential: FoundCredential, rules: Rules) -> str | None:
    """The partner, or None if the credential is to be ignored. Raises Missing."""
    found = _first(rules.partners, (credential.address, *credential.names))
    if found is not None and found[1] is not None:
        return found[1]
    if credential.partner is not None:
        return credential.partner  # what is ignored by a pattern is still a partner's if its tag says so
    if found is None:
        raise Missing
    return None


def plan_id(plan: FoundPlan, rules: Rules) -> str:
    """The plan's id in the catalog: as a rule says, else made of its name. Empty if that is not possible."""
    found = _first(rules.plans, (plan.address, *plan.names))
    return found[1] if found is not None else slug(plan.name)


def owned(
    credentials: Iterable[FoundCredential], catalog: Catalog, rules: Rules
) -> tuple[list[tuple[FoundCredential, Partner]], list[str], list[str]]:
    """Each credential with its partner, the addresses of those that are ignored, and what a person must say first."""
    found: list[tuple[FoundCredential, Partner]] = []
    ignored, problems = [], []
    first: dict[tuple[str, str], str] = {}
    known = ", ".join(p.id for p in catalog.partners) or "none"
    for credential in credentials:
        address = credential.address
        try:
            partner_id = partner_of(credential, rules)
        except Missing:
            problems.append(
                f"{address} ({credential.kind}) has no partner: tag it {rules.tag}, or give --partner '{address}=ID', "
                f"or --ignore '{address}' if it is nobody's"
            )
            continue
        partner = None if partner_id is None else catalog.partner(partner_id)
        key = credential.kind, str(credential.id or address)
        if partner_id is None:
            ignored.append(address)
        elif partner is None:
            problems.append(
                f"{address} is of partner {partner_id!r}, who is not in the catalog; add the partner there (id, name, legal_entity, "
                f"time_zone), or correct the rule; there are: {known}"
            )
        elif first.setdefault(key, partner.id) != partner.id:
            problems.append(f"{address}: {key[0]} {key[1]} is of {first[key]} and of {partner.id}; correct the rules")
        else:
            found.append((credential, partner))
    return found, ignored, problems


def plan_ids(plans: Iterable[FoundPlan], rules: Rules) -> tuple[dict[str, str], list[str]]:
    """Address → id in the catalog, each id once; and what a person must say first."""
    ids: dict[str, str] = {}
    problems = []
    for plan in plans:
        wanted = plan_id(plan, rules)
        other = next((address for address, known in ids.items() if known == wanted), None)
        remedy = f"--plan '{plan.address}=ID'"
        if not wanted:
            problems.append(f"{plan.address} has a name that gives no id; give one by {remedy}")
        elif other is not None:
            problems.append(
                f"{plan.address} and {other} would both be plan {wanted}; give one of them another by {remedy}"
            )
        else:
            ids[plan.address] = wanted
    return ids, problems


def slug(name: str) -> str:
    """A name as an id of the catalog."""
    return re.sub(r"[^a-z0-9_-]+", "-", name.lower()).strip("-")[:_ID_CHARACTERS_MAX]


def pairs(given: Iterable[str], option: str) -> list[tuple[str, str]]:
    """`PATTERN=VALUE`, as typed. An address may hold `=`, an id may not: the last one parts them."""
    found = []
    for word in given:
        pattern, mark, value = word.rpartition("=")
        if not mark or not pattern or not value:
            raise BadDocument(f"{option} {word!r} has not the form PATTERN=ID, such as 'aws_iam_role.export=globex'")
        found.append((pattern, value))
    return found


def partners_file(path: Path) -> list[tuple[str, str | None]]:
    """The rules in a file of YAML: a pattern and its partner on each line; null for what is nobody's."""
    written: Mapping[str, Any] = yaml_document(path, "a mapping of patterns to partner ids")
    for pattern, value in written.items():
        if value is not None and not isinstance(value, str):
            raise BadDocument(f"{path}: {pattern} needs the id of one partner, or null to be ignored")
    return list(written.items())


def _first(rules: Iterable[tuple[str, _T]], names: tuple[str, ...]) -> tuple[str, _T] | None:
    listed = list(rules)
    exact = next((rule for rule in listed if rule[0] in names), None)
    return exact or next((rule for rule in listed if any(_fits(rule[0], name) for name in names)), None)


def _fits(pattern: str, name: str) -> bool:
    parts = ("." if c == "?" else ".*" if c == "*" else re.escape(c) for c in pattern)
    return re.fullmatch("".join(parts), name, re.DOTALL) is not None
