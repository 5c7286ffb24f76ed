"""Checks between the records of a catalog: unique ids, existing references, validity periods without overlap."""

import bisect
import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple

from schemas.catalog import routes, secrets, term_checks
from schemas.catalog.meters import meter_checks
from schemas.catalog.records import FAR_US, Catalog, Partner
from schemas.catalog.routes import BadPattern
from schemas.windows import WINDOW_US

Where = tuple[str | int, ...]
SECTIONS = tuple(Catalog.model_fields)
_IDS_SHOWN_MAX = 20  # in one message
_METHOD = re.compile(r"[A-Za-z][A-Za-z0-9!#$%&'*+.^_`|~-]*")  # the same form as in ingest/decode/sql/macros.sql


class Problem(NamedTuple):
    """An error in a catalog: its path (keys and indices from the top), and a message that says what to do."""

    where: Where
    message: str


def problems(
    catalog: Catalog, broken: Mapping[str, Collection[str]] | None = None, *, whole: bool = True
) -> list[Problem]:
    """All errors between the records: duplicate ids, unknown references, overlaps, unaligned bounds.

    `broken` maps a section to the ids of its invalid records, which are not in `catalog`. References may name these
    ids. `whole` is false when a part of the catalog could not be read. References are then not checked.
    """
    left_out = broken or {}
    found = [*_repeated(catalog, left_out)]
    if whole:
        found += _references(catalog, left_out)
    found += _idle_filters(catalog)
    found += (Problem(steps, says) for steps, says in meter_checks.problems(catalog))
    found += _claims(catalog)
    for i, partner in enumerate(catalog.partners):
        found += _overlaps(partner, i)
        found += _unaligned(partner, i)
        found += _secrets(partner, i)
        found += (Problem(("partners", i, *steps), says) for steps, says in term_checks.problems(catalog, partner))
    return [*found, *_shared(catalog)]


class _Intervals:
    """A set of time intervals [start, end) that detects overlaps. Each insertion finds its place by binary search."""

    def __init__(self) -> None:
        self._starts: list[int] = []  # of disjoint intervals, sorted
        self._ends: list[int] = []

    def add_overlapping(self, start: int, end: int) -> bool:
        """Add an interval. True if it overlaps one that was added before."""
        first = bisect.bisect_right(self._ends, start)  # the first interval that ends after this one starts
        last = bisect.bisect_left(self._starts, end)  # one past the last interval that starts before this one ends
        overlaps = first < last
        if start < end:
            self._starts[first:last] = [min([start, *self._starts[first:last]])]
            self._ends[first:last] = [max([end, *self._ends[first:last]])]
        return overlaps


def _shared(catalog: Catalog) -> Iterator[Problem]:
    """Credentials that a log cannot distinguish from an earlier one, of any partner, that is valid at the same time."""
    taken: defaultdict[tuple[str, str], _Intervals] = defaultdict(_Intervals)
    for i, partner in enumerate(catalog.partners):
        for j, credential in enumerate(partner.credentials):
            span = partner.validity_us(credential)
            overlaps = [taken[credential.kind, value].add_overlapping(*span) for value in set(credential.logged_as)]
            if any(overlaps):
                yield Problem(
                    where=("partners", i, "credentials", j),
                    message=f"credential {credential.key[1]!r} is given twice for the same time; end one before the other begins",
                )


def _idle_filters(catalog: Catalog) -> Iterator[Problem]:
    """Parts of filters that no request can match.

    The record itself does not check this: a close keeps its catalog for good, and that catalog must stay readable.
    """
    for i, meter in enumerate(catalog.meters):
        where, filter_ = ("meters", i, "filter"), meter.filter
        methods = None if filter_.methods is None else {method.upper() for method in filter_.methods}
        for j, method in enumerate(filter_.methods or ()):
            if not _METHOD.fullmatch(method):
                yield Problem(
                    (*where, "methods", j), f"{method!r} is not an HTTP method, so no request has it; correct it"
                )
        for j, pattern in enumerate(filter_.routes or ()):
            try:
                named = routes.parsed(pattern).method
            except BadPattern as exc:
                yield Problem((*where, "routes", j), str(exc))
                continue
            if named is not None and methods is not None and named not in methods:
                yield Problem(
                    (*where, "routes", j),
                    f"{pattern!r} requires {named}, which `methods` does not list, so no request matches; add it there, or remove the method here",
                )
        if not filter_.statuses():
            yield Problem(
                where,
                "`exclude_status` excludes everything that `status` allows, so no request is counted; correct one of them",
            )


def _claims(catalog: Catalog) -> Iterator[Problem]:
    """Sources whose `own` or `partner` contradicts the status of the partner that they name."""
    internal = {p.id for p in catalog.partners if p.is_internal}
    known = {p.id for p in catalog.partners}
    for i, source in enumerate(catalog.sources):
        if source.own and source.own.partner in known - internal:
            yield Problem(
                ("sources", i, "own", "partner"),
                f"{source.own.partner!r} is invoiced, but own traffic needs a partner of status internal: add one, or list the partner's credentials",
            )
        if source.partner in internal:
            yield Problem(
                ("sources", i, "partner"),
                f"{source.partner!r} is internal and would receive the usage of every unknown credential, even that of a partner missing from "
                f"the catalog; write `own: {{partner: {source.partner}, without_credential: true}}` instead",
            )


def _secrets(partner: Partner, i: int) -> Iterator[Problem]:
    """Credential ids that look like secrets.

    The record itself does not check this: a close keeps its catalog for good, and it must stay readable when the list
    of forms changes.
    """
    for j, credential in enumerate(partner.credentials):
        for field in ("id", "issuer", "client_id"):
            value = getattr(credential, field)
            if value is not None and (what := secrets.refused(value)):
                yield Problem(
                    where=("partners", i, "credentials", j, field),
                    message=f"looks like {what}. If it is one, revoke and replace it: others may have read this file",
                )


def doubts(catalog: Catalog) -> list[str]:
    """Warnings, one line each, for what may be wrong but cannot be decided here.

    Possible secrets are shown truncated.
    """
    return [*_wide_claims(catalog), *_doubted_ids(catalog)]


def _wide_claims(catalog: Catalog) -> Iterator[str]:
    """Own-traffic claims that would also cover a partner's lines if a tag, key or client is missing."""
    for source in catalog.sources:
        if source.own and (source.may_tag or source.key_is_partner):
            what = "tag" if source.may_tag else "record's key"
            yield (
                f"sources.{source.id}.own: a {what} names the partner here, and a line without one counts as own traffic; make sure that "
                f"no client can omit it"
            )
    for partner in catalog.partners:
        for i, credential in enumerate(partner.credentials):
            if partner.is_internal and credential.kind == "oidc" and credential.client_id is None:
                yield (
                    f"partners.{partner.id}.credentials.{i}: every client of {credential.issuer} that no partner lists counts as own traffic, "
                    f"including a new partner's until it is listed; name the clients by `client_id`"
                )


def _doubted_ids(catalog: Catalog) -> list[str]:
    return [
        f"partners.{partner.id}.credentials.{i}: {credential.kind} {value[:4]}… may be the key itself instead of its id; if it is, replace "
        f"the key, and write the id as the log shows it"
        for partner in catalog.partners
        for i, credential in enumerate(partner.credentials)
        for value in (credential.id, credential.client_id)
        if credential.kind in {"api_key", "consumer"} and value is not None and secrets.is_doubted(value)
    ]


def _repeated(catalog: Catalog, left_out: Mapping[str, Collection[str]]) -> Iterator[Problem]:
    """Ids that are repeated within a section, invoice prefixes that are shared, and ids that look like options."""
    for name in SECTIONS:
        seen = set(left_out.get(name, ()))
        for i, record in enumerate(getattr(catalog, name)):
            if record.id in seen:
                yield Problem(where=(name, i, "id"), message=f"{record.id!r} is defined twice; keep one")
            if name != "sources" and record.id.startswith("-"):
                message = f"{record.id!r} begins with a dash, so a command would read it as an option; begin it with a letter or a digit"
                yield Problem(where=(name, i, "id"), message=message)
            seen.add(record.id)
    prefixes: dict[str, str] = {}
    for i, entity in enumerate(catalog.legal_entities):
        first = prefixes.setdefault(entity.invoice_prefix, entity.id)
        if first != entity.id:
            yield Problem(
                where=("legal_entities", i, "invoice_prefix"),
                message=f"{entity.invoice_prefix!r} is also the prefix of {first!r}, so two invoices would have the same number; choose another",
            )


def _references(catalog: Catalog, left_out: Mapping[str, Collection[str]]) -> Iterator[Problem]:
    """References to ids that do not exist."""
    ids = {kind: {r.id for r in getattr(catalog, kind)} | set(left_out.get(kind, ())) for kind in SECTIONS}
    listed: dict[str, str] = {}
    for where, kind, name in _named(catalog):
        if name not in ids[kind]:
            known = listed.get(kind) or listed.setdefault(kind, _listed(ids[kind]))
            yield Problem(where=where, message=f"no {kind} entry has the id {name!r}; known ids: {known}")


def _listed(ids: Collection[str]) -> str:
    """The known ids as text, at most _IDS_SHOWN_MAX of them."""
    shown = sorted(ids)[:_IDS_SHOWN_MAX]
    more = f" and {len(ids) - _IDS_SHOWN_MAX:,} more" if len(ids) > _IDS_SHOWN_MAX else ""
    return (", ".join(shown) or "none") + more


def _named(catalog: Catalog) -> Iterator[tuple[Where, str, str]]:
    """Every reference as (path, section, id)."""
    yield from _named_by_prices(catalog)
    for i, source in enumerate(catalog.sources):
        if source.partner is not None:
            yield ("sources", i, "partner"), "partners", source.partner
        if source.own is not None:
            yield ("sources", i, "own", "partner"), "partners", source.own.partner
    for i, partner in enumerate(catalog.partners):
        if partner.legal_entity is not None:
            yield ("partners", i, "legal_entity"), "legal_entities", partner.legal_entity
        for j, assigned in enumerate(partner.plans):
            yield ("partners", i, "plans", j, "plan"), "plans", assigned.plan
        for steps, section, name in term_checks.references(partner):
            yield ("partners", i, *steps), section, name


def _named_by_prices(catalog: Catalog) -> Iterator[tuple[Where, str, str]]:
    for i, card in enumerate(catalog.rate_cards):
        for j, version in enumerate(card.versions):
            for k, rate in enumerate(version.rates):
                if rate.meter is not None:
                    yield ("rate_cards", i, "versions", j, "rates", k, "meter"), "meters", rate.meter
    for i, plan in enumerate(catalog.plans):
        yield ("plans", i, "rate_card"), "rate_cards", plan.rate_card
        for j, quota in enumerate(plan.quotas):
            yield ("plans", i, "quotas", j, "meter"), "meters", quota.meter


def _overlaps(partner: Partner, i: int) -> Iterator[Problem]:
    taken = _Intervals()
    for j, assigned in enumerate(partner.plans):
        if taken.add_overlapping(*partner.validity_us(assigned)):
            yield Problem(
                where=("partners", i, "plans", j),
                message="this plan overlaps an earlier one; end one before the other begins",
            )


def _unaligned(partner: Partner, i: int) -> Iterator[Problem]:
    for j, assigned in enumerate(partner.plans):
        for name, us in zip(("valid_from", "valid_to"), partner.validity_us(assigned), strict=True):
            if abs(us) != FAR_US and us % WINDOW_US:
                yield Problem(
                    where=("partners", i, "plans", j, name),
                    message="must fall on a quarter of an hour in UTC, which dates before 1972 may not; use a later date",
                )
