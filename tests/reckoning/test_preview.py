"""A preview at the end of a month is the bill that the close then makes: every amount, not the total alone.

Contracts are whole: what rests on earlier documents is the same on both sides.
"""

from typing import Any

import pytest

from billing.rating import bills
from billing.rating.issued import IssuedDocument
from billing.usage.warehouse import UsageUntil
from schemas.catalog.records import Catalog
from schemas.windows import from_us
from tests.long import LONG
from tests.reckoning.histories import history
from tests.reckoning.reckoning import month_bounds
from tests.reckoning.test_bills import Memory, as_issued

pytestmark = pytest.mark.integration

SEEDS = 2_000 if LONG else 40


class Known(Memory):
    """Usage in memory that also knows what comes after the end of the month."""

    def until(self, catalog: Catalog, label: str) -> Any:
        ends = {p.id: from_us(month_bounds(p.time_zone, label)[1]) for p in catalog.payers()}
        return UsageUntil(self, ends)  # type: ignore[arg-type]


def test_a_preview_at_the_end_of_a_month_is_the_bill_of_its_close() -> None:
    compared = 0
    for seed in range(SEEDS):
        made = history(seed)
        settled: dict[str, Any] = {}
        before: dict[str, list[IssuedDocument]] = {}
        for run in made.runs:
            catalog, usage = Catalog.model_validate(run.catalog), Known(run.catalog, made)
            months = [(partner, run.label) for partner in catalog.payers()]
            previewed = bills.running(catalog, months, usage.until(catalog, run.label), settled, before)
            closed = bills.bills(catalog, run.label, usage, settled, before=before)
            drafts = {draft.partner.id: draft for draft in closed.drafts}
            for partner_id in closed.periods:
                assert previewed[partner_id, run.label] == drafts.get(partner_id), (seed, run.label, partner_id)
                compared += 1
            for draft in closed.drafts:
                before.setdefault(draft.partner.id, []).append(as_issued(catalog, run.label, draft))
            settled |= {partner: end for partner, (_, end) in closed.settled.items()}
    assert compared > 2 * SEEDS, "histories of blocked months alone would prove nothing"
