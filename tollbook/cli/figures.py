"""Numbers, amounts and times as every screen shows them."""

from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal

from schemas.catalog.records import Catalog
from schemas.money import plain


def number(value: Decimal | int) -> str:
    """A number with groups of three."""
    whole, point, fraction = plain(Decimal(value)).partition(".")
    sign = "-" if whole.startswith("-") else ""
    return f"{sign}{abs(int(whole)):,}{point}{fraction}"


def aligned(values: Iterable[Decimal]) -> list[str]:
    """Numbers with groups of three, all with as many decimals as the longest, so that the points stand below each other."""
    found = [number(value).partition(".") for value in values]
    decimals = max((len(fraction) for *_, fraction in found), default=0)
    return [whole + (f".{fraction:0<{decimals}}" if decimals else "") for whole, _, fraction in found]


def metered(catalog: Catalog, meter_id: str) -> str:
    """A meter with its unit: `egress (GB)`; of one that is called like its unit the name alone."""
    unit = catalog.meter(meter_id).unit
    return meter_id if unit == meter_id else f"{meter_id} ({unit})"


def instant(moment: datetime | None) -> str:
    """A UTC instant to the minute, or nothing. Beside a period, which says the year."""
    return "" if moment is None else f"{moment.astimezone(UTC):%m-%d %H:%M}"


def zone_of(catalog: Catalog, partner_id: str) -> str:
    """The time zone of a partner, UTC for one that the catalog does not know."""
    partner = catalog.partner(partner_id)
    return "UTC" if partner is None else partner.time_zone
