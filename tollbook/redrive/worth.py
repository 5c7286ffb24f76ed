"""Estimates what refused entries of unknown credentials would be worth if they belonged to a partner.

Writes nothing.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from hashlib import sha256
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from aggregate import engine
from aggregate.landing.redrive import Wanted
from billing.rating import refused
from billing.rating.refused import ExtraCharge
from billing.usage.warehouse import Meters, Warehouse
from lake import duck
from lake.lake import Lake
from schemas.catalog.records import Catalog, Partner
from schemas.catalog.sources import Source
from schemas.reasons import Reason
from schemas.tables import FRESH_EVENTS
from schemas.zones import zone
from tollbook.redrive import redrive
from tollbook.redrive.redrive import How

_DETAIL_BYTES_MAX = 200
_REASONS = (Reason.UNKNOWN_CREDENTIAL, Reason.CREDENTIAL_NOT_VALID)


class Worth(NamedTuple):
    """What the partner would be billed in addition, by month and meter.

    `problems` lists entries that could not be read again, and months that cannot be rated.
    """

    partner_id: str
    entries: int
    months: dict[str, list[ExtraCharge]]
    problems: list[str]


def worth(
    lake: Lake,
    catalog: Catalog,
    partner: Partner,
    wanted: Wanted,
    how: How,
    *,
    credential: str | None,
    now: Callable[[], datetime],
) -> Worth:
    """Rate the entries that `wanted` selects by the current catalog, on top of the partner's usage.

    The reason of `wanted` is ignored.

    `credential` is a prefix of its hash; None selects all that are unknown or were not valid. Raises like
    redrive.redrive.
    """
    events, problems = _decoded_again(lake, _given_to(catalog, wanted.source, partner), wanted, how, now)
    events = _of_credential(lake, events, credential)
    house, more = Warehouse(lake, only=["rollups"]), Meters()
    numbered = events.append_column("events_partition", pa.repeat(pa.scalar(0, pa.int16()), events.num_rows))
    more.con.register("rollups", engine.run(duck.connect(), "fold", engine.EVER, events=numbered))
    months: dict[str, list[ExtraCharge]] = {}
    for label in _months(events, partner):
        months[label], found = refused.worth(catalog, partner, label, house, more)
        problems += found
    return Worth(partner.id, events.num_rows, months, problems)


def _given_to(catalog: Catalog, source_id: str, partner: Partner) -> Catalog:
    """The catalog with a source that attributes everything unknown to the partner."""
    known = next((s for s in catalog.sources if s.id == source_id), Source(id=source_id))
    given = known.model_copy(update={"partner": partner.id, "own": None})
    return catalog.model_copy(update={"sources": (*(s for s in catalog.sources if s.id != source_id), given)})


def _decoded_again(
    lake: Lake, catalog: Catalog, wanted: Wanted, how: How, now: Callable[[], datetime]
) -> tuple[pa.Table, list[str]]:
    """The events that entries of unknown credentials would become, and the problems of the others."""
    kept, problems = [FRESH_EVENTS.empty_table()], []
    for reason in _REASONS:
        taken: list[pa.Table] = []
        done = redrive.redrive(
            lake, catalog, wanted._replace(reason=reason.value), how, now=now, dry_run=True, counted=taken.append
        )
        kept += taken
        problems += done.problems
    return pa.concat_tables(kept).unify_dictionaries(), problems


def _of_credential(lake: Lake, events: pa.Table, credential: str | None) -> pa.Table:
    if credential is None:
        return events
    kind, used = (events[name].cast(pa.string()).combine_chunks() for name in ("credential_kind", "credential"))
    coded = used.dictionary_encode()
    details = [_detail(name) for name in coded.dictionary.to_pylist()]
    names = pc.binary_join_element_wise(kind, pa.array(details, pa.string()).take(coded.indices), " ")
    hashes = lake.credential_hashes(names)
    return events.filter(pc.starts_with(hashes, credential).fill_null(False))  # noqa: FBT003


def _detail(credential: str) -> str:
    """A credential in the form that ingest/decode/sql/refuse.sql writes for a refused entry."""
    text = credential.encode()
    return sha256(text).hexdigest() if len(text) > _DETAIL_BYTES_MAX else credential


def _months(events: pa.Table, partner: Partner) -> list[str]:
    """The months of the events, in the partner's time zone."""
    hours = pc.unique(pc.floor_temporal(events["occurred_at"], 15, unit="minute")).to_pylist()
    return sorted({f"{hour.astimezone(UTC).astimezone(zone(partner.time_zone)):%Y-%m}" for hour in hours})


def total(found: Worth) -> dict[str, Decimal]:
    """The total worth by currency."""
    sums: dict[str, Decimal] = {}
    for extra in (extra for rows in found.months.values() for extra in rows):
        sums[extra.currency] = sums.get(extra.currency, Decimal(0)) + extra.amount
    return sums
