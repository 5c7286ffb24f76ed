"""What must hold between the records of a catalog: ids once, references that lead somewhere, validity without overlap."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from schemas.catalog import FAR_US, Catalog, Partner
from schemas.windows import WINDOW_US

Where = tuple[str | int, ...]


class Problem(NamedTuple):
    """Something wrong with a catalog: where (keys and indices from the top), and what to do."""

    where: Where
    message: str


def problems(catalog: Catalog) -> list[Problem]:
    """Everything wrong between the records: duplicate ids, unknown references, overlaps, unaligned bounds."""
    found: list[Problem] = []
    for name in ("legal_entities", "sources", "meters", "rate_cards", "plans", "partners"):
        seen: set[str] = set()
        for i, record in enumerate(getattr(catalog, name)):
            if record.id in seen:
                found.append(Problem(where=(name, i, "id"), message=f"{record.id!r} is defined twice; keep one"))
            seen.add(record.id)
    found += _references(catalog)
    for i, partner in enumerate(catalog.partners):
        found += _overlaps(("partners", i, "plans"), "plan", [(("",), *partner.validity_us(p)) for p in partner.plans])
        found += _unaligned(partner, i)
    owned = [
        (c.key, *p.validity_us(c), ("partners", i, "credentials", j))
        for i, p in enumerate(catalog.partners)
        for j, c in enumerate(p.credentials)
    ]
    for n, (key, start, end, where) in enumerate(owned):
        for other, other_start, other_end, _ in owned[:n]:
            if key == other and start < other_end and other_start < end:
                found.append(
                    Problem(
                        where=where,
                        message=f"credential {key[1]!r} is given twice for the same time; end one before the other begins",
                    )
                )
    return found


def _references(catalog: Catalog) -> Iterator[Problem]:
    """References by id that lead nowhere."""
    kinds = ("legal_entities", "meters", "rate_cards", "plans")
    ids = {kind: {record.id for record in getattr(catalog, kind)} for kind in kinds}
    for where, kind, name in _named(catalog):
        if name not in ids[kind]:
            known = ", ".join(sorted(ids[kind])) or "none"
            yield Problem(where=where, message=f"no {kind} entry has the id {name!r}; there are: {known}")


def _named(catalog: Catalog) -> Iterator[tuple[Where, str, str]]:
    """Every reference: where it stands, to which section, to which id."""
    for i, card in enumerate(catalog.rate_cards):
        for j, version in enumerate(card.versions):
            for k, rate in enumerate(version.rates):
                if rate.meter is not None:
                    yield ("rate_cards", i, "versions", j, "rates", k, "meter"), "meters", rate.meter
    for i, plan in enumerate(catalog.plans):
        yield ("plans", i, "rate_card"), "rate_cards", plan.rate_card
        for j, quota in enumerate(plan.quotas):
            yield ("plans", i, "quotas", j, "meter"), "meters", quota.meter
    for i, partner in enumerate(catalog.partners):
        yield ("partners", i, "legal_entity"), "legal_entities", partner.legal_entity
        for j, assigned in enumerate(partner.plans):
            yield ("partners", i, "plans", j, "plan"), "plans", assigned.plan


def _overlaps(where: Where, what: str, spans: Sequence[tuple[object, int, int]]) -> Iterator[Problem]:
    for j, (_, start, end) in enumerate(spans):
        if any(start < other_end and other_start < end for _, other_start, other_end in spans[:j]):
            yield Problem(
                where=(*where, j), message=f"this {what} overlaps an earlier one; end one before the other begins"
            )


def _unaligned(partner: Partner, i: int) -> Iterator[Problem]:
    for j, assigned in enumerate(partner.plans):
        for name, us in zip(("valid_from", "valid_to"), partner.validity_us(assigned), strict=True):
            if abs(us) != FAR_US and us % WINDOW_US:
                yield Problem(
                    where=("partners", i, "plans", j, name), message="must fall on a quarter of an hour in UTC"
                )
