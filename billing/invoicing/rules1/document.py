"""The invoice as data, in the layout of rules 1."""

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from billing.invoicing.rules1.periods import local_day
from billing.invoicing.rules1.pricing import Part
from billing.invoicing.rules1.rating import Draft, Line
from schemas import zones
from schemas.catalog.meters.meter import Meter
from schemas.catalog.prices.flat import Flat
from schemas.catalog.prices.graduated import Graduated
from schemas.catalog.prices.package import Package
from schemas.catalog.prices.tiers import Tier
from schemas.catalog.prices.volume import Volume
from schemas.catalog.records import Catalog
from schemas.money import MINOR_UNITS, plain


def invoice(
    close_id: str, content: Mapping[str, Any], catalog: Catalog, draft: Draft, *, number: str, issued_on: date
) -> dict[str, Any]:
    """Everything that stands on the invoice; amounts and quantities as decimal strings, in document order."""
    entity = catalog.legal_entity(content["legal_entity"])
    partner = draft.partner
    return {
        "number": number,
        "issued_on": issued_on.isoformat(),
        "due_on": (issued_on + timedelta(days=entity.payment_terms_days)).isoformat(),
        "seller": entity.model_dump(mode="json", include={"id", "name", "address", "vat_id", "email", "iban"}),
        "buyer": partner.model_dump(mode="json", include={"id", "name", "address", "vat_id", "reference"}),
        "period": {
            "label": content["period"],
            "time_zone": partner.time_zone,
            "start": draft.period.start.isoformat(),
            "end": draft.period.end.isoformat(),
            **_days(*draft.period, partner.time_zone),
        },
        "currency": draft.currency,
        "lines": [_line(catalog, draft, line, position) for position, line in enumerate(draft.lines, 1)],
        "total": _money(draft.total, draft.currency),
        "tax_note": entity.tax_note,
        "payment_terms_days": entity.payment_terms_days,
        "quotas": [
            {
                "meter": m,
                "unit": catalog.meter(m).unit,
                "used": plain(used),
                "limit": plain(limit),
                "over": used >= limit,
            }
            for m, used, limit in draft.quotas
        ],
        "evidence": {
            "close_id": close_id,
            "usage_sha256": content["usage"][partner.id],
            "catalog_sha256": content["catalog_sha256"],
            "code_version": content["code_version"],
            "events_version": content["versions"]["events"],
            "rollups_version": content["versions"]["rollups"],
        },
    }


def _money(amount: Decimal, currency: str) -> str:
    """An amount with exactly the decimals of its currency."""
    return f"{amount:.{MINOR_UNITS[currency]}f}"


def _line(catalog: Catalog, draft: Draft, line: Line, position: int) -> dict[str, Any]:
    meter = catalog.meter(line.rate.meter) if line.rate.meter else None
    zone = zones.zone(draft.partner.time_zone)
    return {
        "position": position,
        "description": line.rate.description or (meter.description if meter else "") or (meter.id if meter else "Fee"),
        "meter": meter.id if meter else None,
        "unit": meter.unit if meter else None,
        "plan": line.segment.plan.id,
        "rate_card": line.segment.plan.rate_card,
        "from": line.segment.start.astimezone(zone).isoformat(),
        "to": line.segment.end.astimezone(zone).isoformat(),
        **_days(line.segment.start, line.segment.end, draft.partner.time_zone),
        "usage": {"field": meter.field or "requests", "sum": plain(line.usage), "divide_by": plain(meter.divide_by)}
        if meter
        else None,
        "quantity": plain(line.quantity),
        "free_units": plain(line.rate.free_units),
        "billed_quantity": plain(line.charge.billed_quantity),
        "model": line.rate.price.model,
        "parts": [_part(meter, draft, line, part) for part in line.charge.parts],
        "exact_amount": plain(line.charge.exact),
        "amount": _money(line.charge.amount, draft.currency),
    }


def _days(start: datetime, end: datetime, zone: str) -> dict[str, str]:
    """The first and the last day, both included, as people write a period."""
    last = local_day(end - timedelta(microseconds=1), zone)
    return {"first_day": local_day(start, zone).isoformat(), "last_day": last.isoformat()}


def _part(meter: Meter | None, draft: Draft, line: Line, part: Part) -> dict[str, str | None]:
    return {
        "label": part.label,
        "explanation": _explanation(draft, line, part),
        "quantity": plain(part.quantity),
        "unit": _unit(meter, line, part),
        "unit_price": plain(part.unit_price),
        "amount": plain(part.amount),
    }


def _explanation(draft: Draft, line: Line, part: Part) -> str:
    """What a part is, for a reader of the invoice."""
    price = line.rate.price
    if isinstance(price, Flat):
        hours, all_hours = _hours(line.segment.start, line.segment.end), _hours(*draft.period)
        whole = hours == all_hours
        return "fixed fee" if whole else f"fixed fee of {_grouped(price.amount)} for {hours} of {all_hours} hours"
    if isinstance(price, Package):
        return _packages(price.package_size)
    found = _tier(line, part)
    if found is None:
        return "per unit"
    number, below, tier = found
    reach = [
        f"above {_grouped(below)}" if below is not None else "",
        f"up to {_grouped(tier.up_to)}" if tier.up_to is not None else "",
    ]
    said = [f"tier {number}: {' '.join(r for r in reach if r) or 'from the first unit'}"]
    if isinstance(price, Volume):
        said.append("whole quantity")
    if part.label.endswith("_flat"):
        said.append("fixed fee")
    elif tier.package_size is not None:
        said.append(_packages(tier.package_size))
    return ", ".join(said)


def _unit(meter: Meter | None, line: Line, part: Part) -> str | None:
    """What a part's quantity counts: the meter's unit, packages, or nothing for a fee."""
    if meter is None or part.label.endswith("flat"):
        return None
    found = _tier(line, part)
    packed = isinstance(line.rate.price, Package) or (found is not None and found[2].package_size is not None)
    return "packages" if packed else meter.unit


def _tier(line: Line, part: Part) -> tuple[int, Decimal | None, Tier] | None:
    """Number, lower bound and the tier itself that a part is of; None if its price has no tiers."""
    price = line.rate.price
    if not isinstance(price, Graduated | Volume):
        return None
    number = int(part.label.removeprefix("tier").partition("_")[0])
    return number, price.tiers[number - 2].up_to if number > 1 else None, price.tiers[number - 1]


def _packages(size: Decimal) -> str:
    return f"packages of {_grouped(size)}, begun packages count"


def _hours(start: datetime, end: datetime) -> str:
    return _grouped(Decimal((end - start) // timedelta(minutes=15)) / 4)  # bounds lie on quarters of an hour


def _grouped(number: Decimal) -> str:
    """A number with thin groups of three: 1 000 000.5 in people's eyes."""
    whole, point, fraction = plain(abs(number)).partition(".")
    return ("-" if number < 0 else "") + f"{int(whole):,}".replace(",", "\u202f") + point + fraction
