"""Checks before a close: what forbids it, and what blocks the invoice of a single partner.

Every problem includes its remedy.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

import pyarrow as pa

from billing.invoicing.render import glyphs
from billing.periods import BillingPeriod, Period, month
from billing.rating.drafts import Draft
from billing.usage.warehouse import Warehouse
from lake import duck
from schemas.catalog.meters.meter import Meter
from schemas.catalog.records import Catalog, LegalEntity, Partner

_SHOWN = 20  # problems of one kind that a message lists


def combined(*found: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """All problems of each blocked partner, by partner id."""
    together: dict[str, list[str]] = {}
    for problems in found:
        for partner_id, some in problems.items():
            together.setdefault(partner_id, []).extend(some)
    return dict(sorted(together.items()))


def running(partners: Sequence[Partner], label: str, now: datetime) -> dict[str, list[str]]:
    """A problem for each partner whose month is not over."""
    ends = [(p, month(label, p.time_zone).end) for p in partners]
    return {
        p.id: [
            f"period {label} of partner {p.id} is not over before {end:%Y-%m-%dT%H:%MZ} ({p.time_zone}); close it then"
        ]
        for p, end in ends
        if now < end
    }


def unexplained(warehouse: Warehouse) -> list[str]:
    """A problem for each source with entries that the tables should hold and do not.

    Entries still in Kafka or after the cut are fine.
    """
    return [
        f"source {row['source']}: {row['unexplained']} of {row['entries']} entries were taken in and are in no table; `tollbook verify` says "
        f"more: restore the lake from a backup, then close again"
        for row in duck.rows(warehouse.query("completeness"))
        if row["unexplained"]
    ]


def unknown_partners(warehouse: Warehouse, catalog: Catalog, label: str, reach: Period) -> dict[str, list[str]]:
    """A problem for each partner with usage that is not in the catalog, because its usage cannot be billed."""
    warehouse.con.register(
        "partners", pa.table({"partner_id": pa.array([p.id for p in catalog.partners], pa.string())})
    )
    return {
        r["partner_id"]: [
            f"partner {r['partner_id']} has {r['requests']} requests in {label} but is not in the catalog; add the partner again"
        ]
        for r in duck.rows(warehouse.query("unknown_partners", reach._asdict()))
    }


def anomalies(warehouse: Warehouse, catalog: Catalog, periods: Mapping[str, BillingPeriod]) -> dict[str, list[str]]:
    """A problem for each event of implausible size.

    It is counted, and blocks the invoice until a person releases it in the catalog.
    """
    if not periods:
        return {}
    released = {(source.id, event_id) for source in catalog.sources for event_id in source.released}
    reach = {"start": min(p.start for p in periods.values()), "end": max(p.end for p in periods.values())}
    found: dict[str, list[str]] = {}
    for row in warehouse.query("anomalies", reach).to_pylist():
        period = periods.get(row["partner_id"])
        if period is None or not period.start <= row["occurred_at"] < period.end:
            continue
        problems = found.setdefault(row["partner_id"], [])
        if (row["source"], row["event_id"]) not in released and len(problems) < _SHOWN:
            problems.append(
                f"event {row['event_id']} of source {row['source']} says {row['size']:,} bytes or microseconds for partner {row['partner_id']}; "
                f"if that is true, add the event's id to `released` of the source in the catalog"
            )
    return {partner_id: problems for partner_id, problems in found.items() if problems}


def missing_glyphs(catalog: Catalog, legal_entity: str, drafts: Sequence[Draft]) -> dict[str, list[str]]:
    """A problem for each partner whose invoice contains a character that is missing in the invoice fonts."""
    entity = catalog.legal_entity(legal_entity)
    seller = [(f"`{name}` of legal entity {entity.id}", text) for name, text in _texts(entity, _OF_SELLER)]
    found = {}
    for draft in drafts:
        fields = [*seller, *_of_draft(catalog, draft)]
        if glyphs.missing_glyphs("\n".join(dict.fromkeys(text for _, text in fields))):
            undrawn: dict[str, dict[str, None]] = {}
            for field, text in dict.fromkeys(fields):
                if missing := glyphs.missing_glyphs(text):
                    undrawn.setdefault(field, {}).update(dict.fromkeys(missing))
            named = {field: list(characters) for field, characters in undrawn.items()}
            found[draft.partner.id] = [glyphs.problem(draft.partner.id, named)]
    return found


_OF_SELLER = ("name", "address", "tax_note", "email", "vat_id", "iban")
_OF_BUYER = ("name", "address", "reference", "vat_id", "contact")


def _of_draft(catalog: Catalog, draft: Draft) -> Iterator[tuple[str, str]]:
    """The texts of a draft that people wrote, each with the field of the catalog that holds it."""
    yield from ((f"`{name}`", text) for name, text in _texts(draft.partner, _OF_BUYER))
    if draft.purchase_order is not None:
        yield "`purchase_orders`", draft.purchase_order
    for extra in draft.extras:
        if description := extra.facts.get("description"):
            yield f"the description of a {extra.kind.value}", description
    for each in draft.appendices.routes:
        yield from (("a route", row.name) for row in each.rows if isinstance(row.name, str))
    for line in draft.lines:
        if line.rate.description:
            yield f"`description` of a rate of {line.plan.rate_card}", line.rate.description
        if line.rate.meter:
            meter = catalog.meter(line.rate.meter)
            yield from (
                (f"`{name}` of meter {meter.id}", text) for name, text in _texts(meter, ("description", "unit"))
            )


def _texts(record: LegalEntity | Partner | Meter, names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The texts of these fields of a record, with their names. The lines of an address are one each."""
    for name in names:
        value = getattr(record, name)
        for text in (value,) if isinstance(value, str) else value or ():
            if text:
                yield name, text
