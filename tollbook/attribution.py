"""What the catalog says to ingest: who owns which credential, and what a source may do."""

from datetime import datetime, timedelta

import pyarrow as pa

from ingest import policies
from ingest.decode import CREDENTIALS, PARTNERS, Attribution, Decoder, SourceRules
from ingest.records import Reading
from schemas.catalog import Catalog, Source
from schemas.windows import to_us

# What design and operators agree on where a source says nothing: how old, and how far ahead, a request may be on receipt.
MAX_AGE_DAYS, MAX_FUTURE_MINUTES = 35, 5
_US = timedelta(microseconds=1)


def attribution(catalog: Catalog) -> Attribution:
    """All credentials with their validity and what was agreed of their use, and all partners."""
    owned = [(partner, credential) for partner in catalog.partners for credential in partner.credentials]
    credentials = [
        {
            "kind": credential.kind,
            "value": value,
            "named": credential.key[1],
            "partner_id": partner.id,
            "suspended": partner.status == "suspended",
            "policy": number if policies.has_policy(credential) else None,
            "from_us": partner.validity_us(credential)[0],
            "to_us": partner.validity_us(credential)[1],
        }
        for number, (partner, credential) in enumerate(owned)
        for value in credential.logged_as
    ]
    partners = [{"partner_id": p.id, "suspended": p.status == "suspended"} for p in catalog.partners]
    return Attribution(
        pa.Table.from_pylist(credentials, CREDENTIALS),
        pa.Table.from_pylist(partners, PARTNERS),
        policies.compiled([credential for _, credential in owned]),
    )


def source_rules(catalog: Catalog, source: str, received_at: datetime | None) -> SourceRules:
    """The rules of a source; one that is not in the catalog may not tag. Without a time of receipt there are no time limits."""
    known = _source(catalog, source)
    earliest = latest = None
    if received_at is not None:
        if known.max_age_days is not None:
            earliest = to_us(received_at - timedelta(days=known.max_age_days))
        if known.max_future_minutes is not None:
            latest = to_us(received_at + timedelta(minutes=known.max_future_minutes))
    fields = known.fields.named() if known.fields else None
    return SourceRules(
        source,
        known.may_tag,
        known.partner_field,
        earliest,
        latest,
        known.event_types,
        fields,
        known.partner,
        tuple((route.logged, route.name) for route in known.routes),
        None if known.own is None else known.own.partner,
        None if known.own is None else known.own.routes,
    )


def reading(catalog: Catalog, owners: Attribution, format_name: str, source: str) -> Reading:
    """How records of a format and source are read. The limits are those of the source, or the defaults. Raises UnknownFormat."""
    decoder = Decoder(format_name, source_rules(catalog, source, None), owners)
    return Reading(decoder, *limits_us(catalog, source), _source(catalog, source).key_is_partner)


def limits_us(catalog: Catalog, source: str) -> tuple[int, int]:
    """How old, and how far ahead, a request of a source may be on receipt."""
    said = _source(catalog, source)
    age = timedelta(days=said.max_age_days or MAX_AGE_DAYS)
    ahead = timedelta(minutes=MAX_FUTURE_MINUTES if said.max_future_minutes is None else said.max_future_minutes)
    return age // _US, ahead // _US


def _source(catalog: Catalog, source: str) -> Source:
    return next((s for s in catalog.sources if s.id == source), Source(id=source))
