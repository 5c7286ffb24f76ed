"""What partners whose budget blocks owe for the present month: the amount that `tollbook invoice rate` shows."""

from datetime import datetime

from billing.invoicing import closing, history
from billing.periods import month_of
from billing.rating import bills
from billing.usage.warehouse import Warehouse
from lake.lake import Lake
from schemas.catalog.records import Catalog
from tollbook.deciding.accounts import Amount


def amounts(lake: Lake, catalog: Catalog, now: datetime) -> dict[tuple[str, str], Amount]:
    """The amounts by partner id and month (YYYY-MM). A month in which there is nothing to pay is left out."""
    months = [
        (partner, month_of(now, partner.time_zone))
        for partner in catalog.payers()
        if partner.budget is not None and partner.budget.enforce == "block"
    ]
    if not months:
        return {}
    house = Warehouse(lake)
    before = history.looked_back(lake, [partner for partner, _ in months])
    drafts = bills.running(catalog, months, house.usage_of(catalog), closing.settled_ends(lake), before)
    return {key: Amount(draft.total, draft.currency) for key, draft in drafts.items() if draft is not None}
