"""The invoice as data: a pure function of close, draft, number and date. JSON, CSV and PDF are renderings of it."""

from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from billing.closing import Close
from billing.periods import local_day
from billing.pricing import Part
from billing.rating import Draft, Line
from schemas.catalog import Catalog, Flat, Graduated, Package, Volume
from schemas.money import MINOR_UNITS, plain


def invoice(made: Close, draft: Draft, *, number: str, issued_on: date) -> dict[str, Any]:
    """Everything that stands on the invoice; amounts and quantities as decimal strings, in document order."""
    content, catalog = made.content, made.catalog()
    entity = catalog.legal_entity(made.legal_entity)
    partner = draft.partner
    return {
        "number": number,
        "issued_on": issued_on.isoformat(),
        "due_on": (issued_on + timedelta(days=entity.payment_terms_days)).isoformat(),
        "seller": entity.model_dump(mode="json", include={"id", "name", "address", "vat_id", "email", "iban"}),
        "buyer": partner.model_dump(mode="json", include={"id", "name", "address", "vat_id", "reference"}),
        "period": {
            "label": made.period,
            "time_zone": partner.time_zone,
            "start": draft.period.start.isoformat(),
            "end": draft.period.end.isoformat(),
            "first_day": local_day(draft.period.start, partner.time_zone).isoformat(),
            "last_day": local_day(draft.period.end - timedelta(seconds=1), partner.time_zone).isoformat(),
        },
        "currency": draft.currency,
        "lines": [_line(catalog, draft, line, position) for position, line in enumerate(draft.lines, 1)],
        "total": money(draft.total, draft.currency),
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
            "close_id": made.close_id,
            "usage_sha256": content["usage"][partner.id],
            "catalog_sha256": content["catalog_sha256"],
            "code_version": content["code_version"],
            "events_version": content["versions"]["events"],
            "rollups_version": content["versions"]["rollups"],
        },
    }


def money(amount: Decimal, currency: str) -> str:
    """An amount with exactly the decimals of its currency."""
    return f"{amount:.{MINOR_UNITS[currency]}f}"


def _line(catalog: Catalog, draft: Draft, line: Line, position: int) -> dict[str, Any]:
    meter = catalog.meter(line.rate.meter) if line.rate.meter else None
    zone = ZoneInfo(draft.partner.time_zone)
    return {
        "position": position,
        "description": line.rate.description or (meter.description if meter else "") or (meter.id if meter else "Fee"),
        "meter": meter.id if meter else None,
        "unit": meter.unit if meter else None,
        "plan": line.segment.plan.id,
        "rate_card": line.segment.plan.rate_card,
        "from": line.segment.start.astimezone(zone).isoformat(),
        "to": line.segment.end.astimezone(zone).isoformat(),
        "usage": {"field": meter.field or "requests", "sum": plain(line.usage), "divide_by": plain(meter.divide_by)}
        if meter
        else None,
        "quantity": plain(line.quantity),
        "free_units": plain(line.rate.free_units),
        "billed_quantity": plain(line.charge.billed_quantity),
        "model": line.rate.price.model,
        "parts": [_part(line, part) for part in line.charge.parts],
        "exact_amount": plain(line.charge.exact),
        "amount": money(line.charge.amount, draft.currency),
    }


def _part(line: Line, part: Part) -> dict[str, str]:
    return {
        "label": part.label,
        "explanation": _explanation(line, part),
        "quantity": plain(part.quantity),
        "unit_price": plain(part.unit_price),
        "amount": plain(part.amount),
    }


def _explanation(line: Line, part: Part) -> str:
    """What a part is, for a reader of the invoice."""
    price = line.rate.price
    if isinstance(price, Flat):
        return "fixed fee"
    if isinstance(price, Package):
        return f"packages of {grouped(price.package_size)}, begun packages count"
    if not isinstance(price, Graduated | Volume):
        return "per unit"
    number = int(part.label.removeprefix("tier").partition("_")[0])
    below = price.tiers[number - 2].up_to if number > 1 else None
    up_to = price.tiers[number - 1].up_to
    start = f"above {grouped(below)}" if below is not None else "from the first unit"
    reach = (
        start
        if up_to is None
        else f"{start} up to {grouped(up_to)}"
        if below is not None
        else f"up to {grouped(up_to)}"
    )
    whole = ", whole quantity" if isinstance(price, Volume) else ""
    return f"tier {number}: {reach}{whole}" + (", fixed fee" if part.label.endswith("_flat") else "")


def grouped(number: Decimal) -> str:
    """A number with thin groups of three: 1 000 000.5 in people's eyes."""
    whole, point, fraction = plain(number).partition(".")
    return f"{int(whole):,}".replace(",", "\u202f") + point + fraction
