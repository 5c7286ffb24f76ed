"""What decisions say about the API keys of a catalog."""

from collections.abc import Iterator
from datetime import datetime
from decimal import ROUND_FLOOR, Decimal

from aggregate.decisions.credentials import name_of
from aggregate.decisions.rule import Decision, DecisionPolicy, DenialReason, LimitStanding
from schemas.catalog.records import Catalog
from schemas.money import EXACT
from schemas.quotas import WHOLE, level
from tollbook.aws.plan import WantedKey
from tollbook.deciding.accounts import Accounts


def wanted(accounts: Accounts, *, as_of: datetime, now: datetime, policy: DecisionPolicy) -> list[WantedKey]:
    """A decision for each API key that is valid at `now`, by key."""
    found: dict[str, WantedKey] = {}
    for partner in accounts.catalog.partners:
        for credential in partner.credentials:
            name = name_of(credential)
            if name.kind == "api_key" and accounts.owners.partner_id(name, now) == partner.id:
                decided = accounts.decide(name, as_of=as_of, now=now, policy=policy)
                found[name.value] = _wanted(accounts.catalog, name.value, decided)
    return [found[key] for key in sorted(found)]


def _wanted(catalog: Catalog, key_id: str, decided: Decision) -> WantedKey:
    is_limit = decided.reason in {DenialReason.QUOTA, DenialReason.BUDGET}
    until = decided.shown.resets_at if is_limit and decided.shown is not None else None
    remaining: dict[str, int] = {}
    for period, left in _remaining(catalog, decided):
        remaining[period] = min(left, remaining.get(period, left))
    return WantedKey(key_id, decided.partner_id or "", decided.reason, until, decided.is_stale, remaining)


def _remaining(catalog: Catalog, decided: Decision) -> Iterator[tuple[str, int]]:
    """The requests that are left of each quota that blocks. AWS counts requests, so quotas of others are left out."""
    for standing in decided.standings:
        if standing.meter is None or not standing.blocks:
            continue
        meter = catalog.meter(standing.meter)
        if meter.aggregate == "count" and not meter.is_measured and meter.divide_by == 1:
            yield standing.period, _left(standing)


def _left(standing: LimitStanding) -> int:
    top = level(standing.limit, WHOLE + standing.grace_percent)
    return int(max(Decimal(0), EXACT.subtract(top, standing.used)).to_integral_value(ROUND_FLOOR))
