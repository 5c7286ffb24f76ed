"""A partner's own prices in place of those of its rate card: written from docs/contracts.md, without the product.

Where the page leaves a question open, the answer here is one of these choices:

1.  A day on which own prices begin or end cuts a version only if they are for the plan. The rates on both sides may be
    equal all the same; equal neighbours are one line.
2.  An own fee without a description replaces a fee without one.
"""

from datetime import date
from typing import Any

Record = dict[str, Any]


def beginnings(partner: Record, plan: str) -> set[date]:
    """The days on which own prices for a plan begin or end."""
    return {
        date.fromisoformat(one[key]) for one in _of(partner, plan) for key in ("valid_from", "valid_to") if key in one
    }


def with_own(partner: Record, plan: str, rates: list[Record], held: date | None) -> list[Record]:
    """The rates of a version with the partner's own in their place. `held` is the newest beginning that has passed.

    What replaces rates stands where the first of them stood, and what replaces none at the end.
    """
    if held is None:
        return rates
    day = held.isoformat()
    own = [
        rate
        for prices in _of(partner, plan)
        if prices["valid_from"] <= day < prices.get("valid_to", "9999-12-31")
        for rate in prices["rates"]
    ]
    found: list[Record] = []
    placed: list[Any] = []
    for rate in rates:
        name = _replaced(rate)
        mine = [other for other in own if _replaced(other) == name]
        if not mine:
            found.append(rate)
        elif name not in placed:
            placed.append(name)
            found += mine
    return found + [rate for rate in own if _replaced(rate) not in placed]


def _of(partner: Record, plan: str) -> list[Record]:
    return [prices for prices in partner.get("prices", []) if prices.get("plan", plan) == plan]


def _replaced(rate: Record) -> tuple[str, str]:
    """What an own rate replaces: all rates of its meter, or the fee of its description."""
    return ("meter", rate["meter"]) if rate.get("meter") else ("fee", rate.get("description", ""))
