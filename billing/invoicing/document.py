"""The invoice document: a pure function of close, draft, number and date. JSON, CSV and PDF are renderings of it."""

import re
from collections.abc import Mapping
from datetime import UTC, date, timedelta
from typing import Any

from billing.periods import Interval
from billing.pricing.explaining import explanation
from billing.rating.appendices import LineUsage, UsageRow
from billing.rating.drafts import Draft, Line, description
from billing.usage.quota_statement import QuotaRow
from schemas.catalog.meters.meter import Meter
from schemas.catalog.prices.price import ChargePart
from schemas.catalog.records import Catalog, LegalEntity, Partner
from schemas.money import money, plain
from schemas.texts.wording import Wording, wording

# The layout of PDFs that a new close names. A close of an earlier version names none, and its PDFs keep their bytes.
LAYOUT = 2
_LATER = {"country", "contact"}
_UNUSUAL = re.compile(
    "[^ -\\[\\]-~\u00a1-\u00ac\u00ae-\u017f]"
)  # neither ASCII without the backslash nor Latin letters
_VALUE_MAX = 200  # characters of a value of an attribute


def invoice(
    close_id: str, content: Mapping[str, Any], catalog: Catalog, draft: Draft, *, number: str, issued_on: date
) -> dict[str, Any]:
    """The document with everything that an invoice shows, in document order.

    Amounts and quantities are decimal strings.
    """
    entity = catalog.legal_entity(content["legal_entity"])
    partner = draft.partner
    say = wording(partner.language)
    terms_days = entity.payment_terms_days if partner.payment_terms_days is None else partner.payment_terms_days
    return {
        **_language(partner),
        "number": number,
        "issued_on": issued_on.isoformat(),
        "due_on": (issued_on + timedelta(days=terms_days)).isoformat(),
        "seller": _party(entity, {"id", "name", "address", "vat_id", "email", "iban"}),
        "buyer": _party(partner, {"id", "name", "address", "vat_id", "reference"}) | _order(draft),
        "period": {
            "label": content["period"],
            "time_zone": partner.time_zone,
            "start": draft.period.start.astimezone(UTC).isoformat(),
            "end": draft.period.end.astimezone(UTC).isoformat(),
            **_days(draft.period.interval),
        },
        "currency": draft.currency,
        **_replaces(content, partner),
        "lines": [_line(catalog, draft, line, position) for position, line in enumerate(draft.lines, 1)],
        **_extras(draft),
        "total": money(draft.total, draft.currency),
        "tax_note": say.unless_given(entity.tax_note),
        "payment_terms_days": terms_days,
        "quotas": [
            {
                "meter": q.meter,
                "unit": catalog.meter(q.meter).unit,
                "plan": q.plan,
                **_days(q.interval),
                "used": plain(q.used),
                "limit": plain(q.limit),
                "over": q.over,
                **_granted(q),
            }
            for q in draft.quotas
        ],
        **_appendices(catalog, draft),
        "evidence": {
            "close_id": close_id,
            "usage_sha256": content["usage"][partner.id],
            "catalog_sha256": content["catalog_sha256"],
            "rules": content["rules"],
            **_layout(content),
            "code_version": content["code_version"],
            "events_version": content["versions"]["events"],
            "rollups_version": content["versions"]["rollups"],
        },
    }


def _language(partner: Partner) -> dict[str, str]:
    """The language of the texts. A document without it is in English, as in earlier versions."""
    return {} if partner.language == "en" else {"language": partner.language}


def _layout(content: Mapping[str, Any]) -> dict[str, int]:
    """The layout that the close names. A document without it has the first one."""
    return {"layout": content["layout"]} if "layout" in content else {}


def _party(party: LegalEntity | Partner, always: set[str]) -> dict[str, Any]:
    """The seller or the buyer. What was added to catalogs later is shown only if it is given."""
    shown = party.model_dump(mode="json", include=always)
    later = party.model_dump(mode="json", include=_LATER, exclude_defaults=True)
    return shown | later


def _order(draft: Draft) -> dict[str, str]:
    """The buyer's order, if one pays for the document."""
    return {} if draft.purchase_order is None else {"purchase_order": draft.purchase_order}


def _replaces(content: Mapping[str, Any], partner: Partner) -> dict[str, str]:
    """The number of the voided invoice whose period this one bills again. Nothing if there is none."""
    replaced = content.get("replaces", {})
    return {"replaces": replaced[partner.id]} if partner.id in replaced else {}


def _extras(draft: Draft) -> dict[str, Any]:
    """The amounts that are not usage at a rate, numbered on after the lines. Nothing if there are none."""
    if not draft.extras:
        return {}
    return {
        "extras": [
            {
                "position": position,
                "kind": extra.kind.value,
                **extra.facts,
                "exact_amount": plain(extra.exact),
                "amount": money(extra.amount, draft.currency),
            }
            for position, extra in enumerate(draft.extras, len(draft.lines) + 1)
        ]
    }


def _appendices(catalog: Catalog, draft: Draft) -> dict[str, Any]:
    """The usage of each metered line by day, by route and by attribute, in the unit of its meter.

    Nothing unless it is asked for.
    """
    found = {kind: getattr(draft.appendices, kind) for kind in (*draft.partner.appendices, "values")}
    shown = {kind: [_listed(catalog, draft, each, kind) for each in some] for kind, some in found.items() if some}
    return {"appendices": shown} if shown else {}


def _listed(catalog: Catalog, draft: Draft, found: LineUsage, kind: str) -> dict[str, Any]:
    line = draft.lines[found.position - 1]
    assert line.rate.meter is not None, "only metered lines are listed"
    named = {"days": "day", "routes": "route", "values": "value"}[kind]
    meter = catalog.meter(line.rate.meter)
    return {
        "position": found.position,
        "description": description(catalog, line.rate, wording(draft.partner.language)),
        "meter": meter.id,
        "unit": meter.unit,
        "quantity": plain(line.quantity),
        **({"attribute": meter.itemize_by} if kind == "values" else {}),
        "rows": [{named: _row_name(row, kind), "quantity": plain(row.quantity)} for row in found.rows],
        **_others(found),
    }


def _row_name(row: UsageRow, kind: str) -> str | None:
    if isinstance(row.name, date):
        return row.name.isoformat()
    return _legible(row.name) if kind == "values" and row.name is not None else row.name


def _legible(value: str) -> str:
    """A value that a client wrote, in characters that every font has: no client can prevent that a bill is drawn."""
    escaped = _UNUSUAL.sub(lambda found: f"\\u{{{ord(found[0]):x}}}", value)
    return escaped if len(escaped) <= _VALUE_MAX else escaped[: _VALUE_MAX - 1] + "…"


def _others(found: LineUsage) -> dict[str, Any]:
    """The values that are not listed, as one row. Nothing if all are."""
    if found.others is None:
        return {}
    return {"others": {"values": found.others.values, "quantity": plain(found.others.quantity)}}


def _granted(row: QuotaRow) -> dict[str, Any]:
    """What was granted beyond the limit in the month. Nothing if there were no grants, as in earlier versions."""
    if not row.grants:
        return {}
    return {
        "granted": plain(row.granted),
        "grants": [
            {
                "grant_id": grant.grant_id,
                "amount": plain(grant.amount),
                "from": grant.start.astimezone(UTC).isoformat(),
                "to": grant.end.astimezone(UTC).isoformat(),
            }
            for grant in row.grants
        ],
    }


def _line(catalog: Catalog, draft: Draft, line: Line, position: int) -> dict[str, Any]:
    meter = catalog.meter(line.rate.meter) if line.rate.meter else None
    say = wording(draft.partner.language)
    return {
        "position": position,
        "description": description(catalog, line.rate, say),
        "meter": meter.id if meter else None,
        "unit": _priced_unit(line, meter),
        "plan": line.plan.id,
        "rate_card": line.plan.rate_card,
        "from": line.start.isoformat(),
        "to": line.end.isoformat(),
        **_days(line.interval),
        "usage": _usage(line, meter),
        "quantity": plain(line.charge.converted),
        **_converted(line, meter),
        "counted_before": plain(line.charge.counted_before),
        "free_units": plain(line.charge.free_units),
        "included": plain(line.charge.converted - line.charge.billed_quantity) if meter else "0",
        "billed_quantity": plain(line.charge.billed_quantity),
        "model": line.rate.price.model,
        "parts": [_part(meter, line, part, say) for part in line.charge.parts],
        "exact_amount": plain(line.charge.exact),
        "amount": money(line.charge.amount, draft.currency),
    }


def _usage(line: Line, meter: Meter | None) -> dict[str, str] | None:
    """What was counted, before division. A line without `aggregate` is a count of requests or a sum of a field."""
    if meter is None:
        return None
    how = {"aggregate": meter.aggregate} if meter.is_measured else {}
    return {"field": meter.counted, **how, "sum": plain(line.usage), "divide_by": plain(meter.divide_by)}


def _days(interval: Interval) -> dict[str, str]:
    """The first and the last day of an interval, both inclusive."""
    return {"first_day": interval.first_day.isoformat(), "last_day": interval.last_day.isoformat()}


def _part(meter: Meter | None, line: Line, part: ChargePart, say: Wording) -> dict[str, str | None]:
    return {
        "label": part.label,
        "explanation": explanation(line.rate.price, line.rate.terms, part, line.share, say),
        "quantity": plain(part.quantity),
        "unit": _unit(line, meter, part, say),
        "unit_price": plain(part.unit_price),
        "amount": plain(part.amount),
    }


def _unit(line: Line, meter: Meter | None, part: ChargePart, say: Wording) -> str | None:
    """The unit of a part's quantity: the meter's unit, packages, or None for a fee."""
    if meter is None or part.counts == "fee":
        return None
    return say("packages") if part.counts == "packages" else _priced_unit(line, meter)


def _priced_unit(line: Line, meter: Meter | None) -> str | None:
    """The unit of a line's quantity: the meter's, unless the rate converts it to another."""
    conversion = line.rate.unit_conversion
    if conversion is not None and conversion.unit is not None:
        return conversion.unit
    return None if meter is None else meter.unit


def _converted(line: Line, meter: Meter | None) -> dict[str, Any]:
    """How the meter's quantity became the one that is priced. Nothing if the rate does not convert it."""
    conversion = line.rate.unit_conversion
    if conversion is None or meter is None:
        return {}
    return {
        "converted_from": {"quantity": plain(line.quantity), "unit": meter.unit},
        "conversion": conversion.model_dump(mode="json", include={"op", "factor", "round", "places"}),
    }
