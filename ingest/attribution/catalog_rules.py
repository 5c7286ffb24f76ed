"""The catalog as ingest needs it: the owners of credentials, and the rules of a source."""

from datetime import datetime
from typing import NamedTuple

import pyarrow as pa

from ingest.attribution import policies
from ingest.decode import quantities
from ingest.decode.pipeline import CREDENTIALS, PARTNERS, Attribution, Decoder, SourceRules
from ingest.decode.quantities import EventProperty
from ingest.kafka.records import SourceDecoder
from schemas.catalog.records import Catalog
from schemas.catalog.sources import Source
from schemas.windows import to_us

# Defaults of a source: how old, and how far in the future, a request may be on receipt.
MAX_AGE_DAYS, MAX_FUTURE_MINUTES = 35, 5


class TimeLimits(NamedTuple):
    """How old a request may be on receipt, and how far in the future."""

    max_age_days: int
    max_future_minutes: int

    @property
    def age_us(self) -> int:
        """The maximum age in microseconds."""
        return self.max_age_days * 86_400_000_000

    @property
    def ahead_us(self) -> int:
        """The maximum time in the future, in microseconds."""
        return self.max_future_minutes * 60_000_000


def attribution(catalog: Catalog) -> Attribution:
    """All credentials with validity and policy, and all partners."""
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
        policies.compile_policies([credential for _, credential in owned]),
    )


def source_rules(catalog: Catalog, source: str, received_at: datetime | None) -> SourceRules:
    """The rules of a source. A source that is not in the catalog may not tag.

    Without a time of receipt there are no time limits.
    """
    known = _source(catalog, source)
    limits = time_limits(catalog, source)
    fields = known.fields.named() if known.fields else None
    return SourceRules(
        source,
        known.may_tag,
        known.partner_field,
        None if received_at is None else to_us(received_at) - limits.age_us,
        None if received_at is None else to_us(received_at) + limits.ahead_us,
        known.event_types,
        fields,
        known.partner,
        tuple((route.logged, route.name) for route in known.routes),
        None if known.own is None else known.own.partner,
        None if known.own is None else known.own.routes,
        limits.max_age_days,
        limits.max_future_minutes,
        known.trust_user,
        event_properties(catalog),
        line_properties(known),
    )


def event_properties(catalog: Catalog) -> tuple[EventProperty, ...]:
    """What the meters ask of the data of CloudEvents, each once."""
    found = dict.fromkeys(
        quantities.of_data(kind, name, path, meter.filter.types or ())
        for meter in catalog.meters
        for kind, name, path in meter.properties()
    )
    return tuple(sorted(found))


def line_properties(source: Source) -> tuple[EventProperty, ...]:
    """What the lines of a source carry, by its `fields`."""
    if source.fields is None:
        return ()
    return (
        *quantities.of_fields("quantity", source.fields.quantities),
        *quantities.of_fields("attribute", source.fields.attributes),
    )


def source_decoder(catalog: Catalog, owners: Attribution, format_name: str, source: str) -> SourceDecoder:
    """The decoder of a format and source, with its limits. Raises UnknownFormat."""
    decoder = Decoder(format_name, source_rules(catalog, source, None), owners)
    return SourceDecoder(decoder, *limits_us(catalog, source), _source(catalog, source).key_is_partner)


def limits_us(catalog: Catalog, source: str) -> tuple[int, int]:
    """The maximum age and the maximum time in the future of a source's requests, on receipt."""
    limits = time_limits(catalog, source)
    return limits.age_us, limits.ahead_us


def time_limits(catalog: Catalog, source: str) -> TimeLimits:
    """The limits of a source, or the defaults. They are the same for files, Kafka and HTTP."""
    own = _source(catalog, source)
    return TimeLimits(
        MAX_AGE_DAYS if own.max_age_days is None else own.max_age_days,
        MAX_FUTURE_MINUTES if own.max_future_minutes is None else own.max_future_minutes,
    )


def max_refused_percent(catalog: Catalog, source: str) -> int:
    """How many percent of a source's entries may be refused for their form before it is paused."""
    return _source(catalog, source).max_refused_percent


def _source(catalog: Catalog, source: str) -> Source:
    return next((s for s in catalog.sources if s.id == source), Source(id=source))
