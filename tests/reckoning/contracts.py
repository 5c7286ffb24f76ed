"""What contracts make of the bills of months, computed a second time: written from docs/contracts.md, without the
product.

Amounts are integers of minor units, as in `reckoning.py`. A bill is what `reckon` computes for a month. It knows
discounts of the whole in percent, commitments of a year, and prepaid credits, each for all months that are asked for.
"""

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Any

from tests.reckoning.balance import Run, issued
from tests.reckoning.reckoning import PLACES, Event
from tests.reckoning.terms import to_units

Record = dict[str, Any]


def owed(
    catalog: Record, labels: Sequence[str], events: Sequence[Event], credited: Mapping[str, int]
) -> dict[str, int]:
    """What each partner owes for consecutive months together. `credited` is what credit notes gave back, by partner.

    No credit note is over a month of a commitment, which it would raise.
    """
    outcomes, _ = issued([Run(label, catalog) for label in labels], events)
    found = {}
    for partner in catalog["partners"]:
        name = partner["id"]
        bills = [outcome[name].bill for outcome in outcomes]
        currency = next(bill.currency for bill in bills if bill)
        months = [_discounted(partner, bill.total if bill else 0) for bill in bills]
        months[-1] += sum(_lacking(one, labels, months, PLACES[currency]) for one in partner.get("commitments", []))
        paid = _prepaid(partner.get("credits", []), sum(months), PLACES[currency])
        found[name] = sum(months) - paid - credited.get(name, 0)
    return found


def _discounted(partner: Record, total: int) -> int:
    for discount in partner.get("discounts", []):
        total -= to_units(Fraction(total) * Fraction(discount["percent"]) / 100, "half_up")
    return total


def _lacking(commitment: Record, labels: Sequence[str], months: Iterable[int], places: int) -> int:
    """What the bill of December adds, the last month of a calendar year."""
    assert (commitment["term"], commitment["valid_from"][5:], labels[-1][5:]) == ("year", "01-01", "12")
    counted = _units(commitment.get("billed_elsewhere", "0"), places) + sum(months)
    return max(_units(commitment["amount"], places) - counted, 0)


def _prepaid(granted: Iterable[Record], due: int, places: int) -> int:
    """What credits pay that hold in all months."""
    return min(due, sum(_units(credit["amount"], places) for credit in granted))


def _units(amount: str, places: int) -> int:
    return to_units(Fraction(amount) * 10**places, "half_up")
