"""The format of numbers, amounts and times on all screens."""

from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal

from schemas.catalog.records import Catalog
from schemas.money import money, plain


def number(value: Decimal | int) -> str:
    """A number with groups of three digits."""
    whole, point, fraction = plain(Decimal(value)).partition(".")
    sign = "-" if whole.startswith("-") else ""
    return f"{sign}{abs(int(whole)):,}{point}{fraction}"


def aligned(values: Iterable[Decimal]) -> list[str]:
    """Numbers with groups of three digits, padded to the same number of decimals so that the points align."""
    found = [number(value).partition(".") for value in values]
    decimals = max((len(fraction) for *_, fraction in found), default=0)
    return [whole + (f".{fraction:0<{decimals}}" if decimals else "") for whole, _, fraction in found]


def metered(catalog: Catalog, meter_id: str) -> str:
    """A meter with its unit: `egress (GB)`. If both have the same name, it is given once."""
    unit = catalog.meter(meter_id).unit
    return meter_id if unit == meter_id else f"{meter_id} ({unit})"


def instant(moment: datetime | None) -> str:
    """A UTC instant to the minute, or an empty text. The year is omitted, as screens show it with the period."""
    return "" if moment is None else f"{moment.astimezone(UTC):%m-%d %H:%M}"


def zone_of(catalog: Catalog, partner_id: str) -> str:
    """The time zone of a partner, or UTC if the partner is not in the catalog."""
    partner = catalog.partner(partner_id)
    return "UTC" if partner is None else partner.time_zone


def amount(value: Decimal, currency: str) -> str:
    """An amount with the decimals of its currency, in groups of three digits."""
    whole, point, cents = money(value, currency).partition(".")
    return f"{int(whole):,}{point}{cents}" if not whole.startswith("-") else f"-{int(whole[1:]):,}{point}{cents}"
