"""What partners owe for several months together: what `reckon` computes, less what was given back."""

from collections.abc import Mapping, Sequence
from typing import Any

from tests.reckoning.balance import Run, issued
from tests.reckoning.reckoning import Event

Record = dict[str, Any]


def owed(
    catalog: Record, labels: Sequence[str], events: Sequence[Event], credited: Mapping[str, int]
) -> dict[str, int]:
    """What each partner owes for consecutive months, in minor units. `credited` is what credit notes gave back.

    No credit note is over a month of a commitment, which it would raise.
    """
    outcomes, _ = issued([Run(label, catalog) for label in labels], events)
    return {
        partner["id"]: sum(bill.total for outcome in outcomes if (bill := outcome[partner["id"]].bill))
        - credited.get(partner["id"], 0)
        for partner in catalog["partners"]
    }
