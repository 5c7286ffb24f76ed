"""What must hold between the records of a catalog: ids once, references that lead somewhere, validity without overlap."""

import bisect
import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple

from schemas.catalog import routes, secrets
from schemas.catalog.records import FAR_US, Catalog, Partner
from schemas.catalog.routes import BadPattern
from schemas.windows import WINDOW_US

Where = tuple[str | int, ...]
SECTIONS = tuple(Catalog.model_fields)
_SHOWN = 20  # ids that a message lists
_METHOD = re.compile(r"[A-Za-z][A-Za-z0-9!#$%&'*+.^_`|~-]*")  # as ingest/decode/sql/macros.sql reads one


class Problem(NamedTuple):
    """Something wrong with a catalog: where (keys and indices from the top), and what to do."""

    where: Where
    message: str


def problems(
    catalog: Catalog, broken: Mapping[str, Collection[str]] | None = None, *, whole: bool = True
) -> list[Problem]:
    """Everything wrong between the records: duplicate ids, unknown references, overlaps, unaligned bounds.

    `broken`: section → ids of records that were left out because they are wrong in themselves; a reference may name them.
    Without `whole` a part of the catalog could not be read at all, and references are let pass.
    """
    left_out = broken or {}
    found = [*_doubles(catalog, left_out)]
    if whole:
        found += _references(catalog, left_out)
    found += _idle_filters(catalog)
    found += _claims(catalog)
    for i, partner in enumerate(catalog.partners):
        found += _overlaps(partner, i)
        found += _unaligned(partner, i)
        found += _secrets(partner, i)
    return [*found, *_shared(catalog)]


class _Taken:
    """Times that are taken, [start, end) each: which later ones meet one of them. Each costs the logarithm of their number."""

    def __init__(self) -> None:
        self._starts: list[int] = []  # of times apart from each other, in order
        self._ends: list[int] = []

    def meets(self, start: int, end: int) -> bool:
        """Whether it meets one that was taken before; takes it, too."""
        first = bisect.bisect_right(self._ends, start)  # the first that ends after its start
        last = bisect.bisect_left(self._starts, end)  # behind the last that begins before its end
        met = first < last
        if start < end:
            self._starts[first:last] = [min([start, *self._starts[first:last]])]
            self._ends[first:last] = [max([end, *self._ends[first:last]])]
        return met


def _shared(catalog: Catalog) -> Iterator[Problem]:
    """Credentials that a log shows as an earlier one, of whichever partner, at the same time."""
    taken: defaultdict[tuple[str, str], _Taken] = defaultdict(_Taken)
    for i, partner in enumerate(catalog.partners):
        for j, credential in enumerate(partner.credentials):
            span = partner.validity_us(credential)
            met = [taken[credential.kind, value].meets(*span) for value in set(credential.logged_as)]
            if any(met):
                yield Problem(
                    where=("partners", i, "credentials", j),
                    message=f"credential {credential.key[1]!r} is given twice for the same time; end one before the other begins",
                )


def _idle_filters(catalog: Catalog) -> Iterator[Problem]:
    """Parts of filters that no request can pass. Asked here and not by the record: a close keeps its catalog for good."""
    for i, meter in enumerate(catalog.meters):
        where, said = ("meters", i, "filter"), meter.filter
        methods = None if said.methods is None else {method.upper() for method in said.methods}
        for j, method in enumerate(said.methods or ()):
            if not _METHOD.fullmatch(method):
                yield Problem((*where, "methods", j), f"{method!r} is no HTTP method, so no request has it; correct it")
        for j, pattern in enumerate(said.routes or ()):
            try:
                named = routes.parsed(pattern).method
            except BadPattern as exc:
                yield Problem((*where, "routes", j), str(exc))
                continue
            if named is not None and methods is not None and named not in methods:
                yield Problem(
                    (*where, "routes", j),
                    f"{pattern!r} asks for {named}, which `methods` leaves out, so no request passes; add it there, or remove the method here",
                )
        if not said.statuses():
            yield Problem(
                where,
                "`exclude_status` takes off all that `status` lets pass, so no request is counted; correct one of them",
            )


def _claims(catalog: Catalog) -> Iterator[Problem]:
    """Sources that are, or hold, the operator's own traffic."""
    internal = {p.id for p in catalog.partners if p.is_internal}
    known = {p.id for p in catalog.partners}
    for i, source in enumerate(catalog.sources):
        if source.own and source.own.partner in known - internal:
            yield Problem(
                ("sources", i, "own", "partner"),
                f"{source.own.partner!r} pays; own traffic is of a partner of status internal: add one, or list the partner's credentials",
            )
        if source.partner in internal:
            yield Problem(
                ("sources", i, "partner"),
                f"{source.partner!r} is internal, and would be given every unknown credential, a forgotten partner's too; write "
                f"`own: {{partner: {source.partner}, without_credential: true}}` instead",
            )


def _secrets(partner: Partner, i: int) -> Iterator[Problem]:
    """Asked here and not by the record: a close keeps its catalog for good, and must be read whatever this list becomes."""
    for j, credential in enumerate(partner.credentials):
        for field in ("id", "issuer", "client_id"):
            value = getattr(credential, field)
            if value is not None and (what := secrets.refused(value)):
                yield Problem(
                    where=("partners", i, "credentials", j, field),
                    message=f"looks like {what}. If it is one, it has to be replaced: this file may have been read",
                )


def doubts(catalog: Catalog) -> list[str]:
    """What may be wrong and cannot be known to be, a line each. A secret that stands there is not repeated."""
    return [*_wide_claims(catalog), *_doubted_ids(catalog)]


def _wide_claims(catalog: Catalog) -> Iterator[str]:
    """Claims that take in a partner's lines if something is left out of them."""
    for source in catalog.sources:
        if source.own and (source.may_tag or source.key_is_partner):
            what = "tag" if source.may_tag else "record's key"
            yield (
                f"sources.{source.id}.own: partners are named here by a {what}, and a line in which it is missing is own traffic; make sure that "
                f"no client can leave it out"
            )
    for partner in catalog.partners:
        for i, credential in enumerate(partner.credentials):
            if partner.is_internal and credential.kind == "oidc" and credential.client_id is None:
                yield (
                    f"partners.{partner.id}.credentials.{i}: every client of {credential.issuer} that no partner lists is own traffic, also a "
                    f"new partner's until it is listed; name the clients by `client_id`"
                )


def _doubted_ids(catalog: Catalog) -> list[str]:
    return [
        f"partners.{partner.id}.credentials.{i}: {credential.kind} {value[:4]}… may be the key itself and not its id; if it is, replace "
        f"the key, and write the id as the log shows it"
        for partner in catalog.partners
        for i, credential in enumerate(partner.credentials)
        for value in (credential.id, credential.client_id)
        if credential.kind in {"api_key", "consumer"} and value is not None and secrets.is_doubted(value)
    ]


def _doubles(catalog: Catalog, left_out: Mapping[str, Collection[str]]) -> Iterator[Problem]:
    """Ids within a section, and prefixes of invoice numbers, that stand for two things."""
    for name in SECTIONS:
        seen = set(left_out.get(name, ()))
        for i, record in enumerate(getattr(catalog, name)):
            if record.id in seen:
                yield Problem(where=(name, i, "id"), message=f"{record.id!r} is defined twice; keep one")
            if name != "sources" and record.id.startswith("-"):
                message = f"{record.id!r} begins with a dash, so a command takes it for an option; begin it with a letter or a digit"
                yield Problem(where=(name, i, "id"), message=message)
            seen.add(record.id)
    prefixes: dict[str, str] = {}
    for i, entity in enumerate(catalog.legal_entities):
        first = prefixes.setdefault(entity.invoice_prefix, entity.id)
        if first != entity.id:
            yield Problem(
                where=("legal_entities", i, "invoice_prefix"),
                message=f"{entity.invoice_prefix!r} is also the prefix of {first!r}: two invoices would bear one number; choose another",
            )


def _references(catalog: Catalog, left_out: Mapping[str, Collection[str]]) -> Iterator[Problem]:
    """References by id that lead nowhere."""
    ids = {kind: {r.id for r in getattr(catalog, kind)} | set(left_out.get(kind, ())) for kind in SECTIONS}
    told: dict[str, str] = {}
    for where, kind, name in _named(catalog):
        if name not in ids[kind]:
            known = told.get(kind) or told.setdefault(kind, _listed(ids[kind]))
            yield Problem(where=where, message=f"no {kind} entry has the id {name!r}; there are: {known}")


def _listed(ids: Collection[str]) -> str:
    """The ids there are, as many as somebody reads."""
    shown = sorted(ids)[:_SHOWN]
    more = f" and {len(ids) - _SHOWN:,} more" if len(ids) > _SHOWN else ""
    return (", ".join(shown) or "none") + more


def _named(catalog: Catalog) -> Iterator[tuple[Where, str, str]]:
    """Every reference: where it stands, to which section, to which id."""
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
    taken = _Taken()
    for j, assigned in enumerate(partner.plans):
        if taken.meets(*partner.validity_us(assigned)):
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
