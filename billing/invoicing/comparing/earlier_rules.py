"""Invoices that were issued by earlier rules, compared with what the current rules would bill."""

from decimal import Decimal
from typing import NamedTuple

from billing.invoicing import closing, rules, stored
from billing.rating import settled
from billing.rating.bills import bills
from lake.lake import Lake


class Explained(NamedTuple):
    """An invoice issued by earlier rules, and the total by the current rules.

    `would_be` is None if these block the invoice.
    """

    number: str
    partner_id: str
    period: str
    currency: str
    issued: Decimal
    would_be: Decimal | None
    blocked: list[str]


def explained(lake: Lake) -> list[Explained]:
    """The total by the current rules for each invoice of earlier rules, by the versions and prices of its close."""
    found = []
    periods = closing.settled_periods(lake)
    issued = stored.rows(lake)
    for made in closing.all_closes(lake):
        rows = [row for row in issued if row["close_id"] == made.close_id and row["kind"] == "invoice"]
        if not rows or made.content.get("rules", 1) == rules.NEWEST:
            continue
        before = settled.last_ends(s for s in periods if s.label < made.period)
        warehouse = closing.pinned(lake, made)
        outcome = bills(made.catalog(), made.period, warehouse.usage_of(made.catalog()), before, made.partners())
        again = {draft.partner.id: draft for draft in outcome.drafts}
        for row in rows:
            draft = again.get(row["partner_id"])
            why = outcome.blocked.get(row["partner_id"], [])
            would = None if why else draft.total if draft is not None else Decimal(0)
            found.append(
                Explained(row["number"], row["partner_id"], row["period"], row["currency"], row["total"], would, why)
            )
    return found
