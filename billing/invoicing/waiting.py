"""Bills of closes that wait for issue, each a draft, or approved where the legal entity asks for approval."""

from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import NamedTuple

from billing.invoicing import closing, four_eyes, rules
from billing.invoicing.closing import Close
from billing.invoicing.corrections import carried
from billing.rating.settled import SettledPeriod
from billing.receivables.items import DocumentState
from billing.usage.warehouse import Warehouse
from lake.lake import Lake
from schemas.tables import INVOICES


class Waiting(NamedTuple):
    """A bill without a number."""

    partner_id: str
    legal_entity: str
    period: str
    currency: str
    total: Decimal
    state: DocumentState
    close_id: str


def waiting(lake: Lake) -> list[Waiting]:
    """The bills of the newest close of each period and legal entity, unless it is issued. Rates them."""
    return [bill for made in _unissued(lake) for bill in _bills(lake, made)]


def unfinished_rebill(made: Close, settled: Iterable[SettledPeriod]) -> list[str]:
    """A problem for each invoice that a close bills again although it stands: its rebill is not finished."""
    standing = {period.number for period in settled}
    return [
        f"close {made.close_id} belongs to an unfinished rebill of {number}; repeat `tollbook invoice rebill {number} …`, or leave {number} "
        f"as it is: `tollbook invoice issue --catalog …` does not need this close"
        for number in sorted(made.content.get("replaces", {}).values())
        if number in standing
    ]


def _unissued(lake: Lake) -> Iterator[Close]:
    done = {row["close_id"] for row in Warehouse(lake, only=[INVOICES.name]).query("settled").to_pylist()}
    newest = {(made.period, made.legal_entity): made for made in closing.all_closes(lake)}
    for made in newest.values():
        if made.close_id not in done and made.content.get("rules", 1) == rules.NEWEST:
            yield made


def _bills(lake: Lake, made: Close) -> list[Waiting]:
    asks = four_eyes.asked_for(made) is not None
    state = DocumentState.APPROVED if asks and not four_eyes.refusals(lake, made) else DocumentState.DRAFT
    late = carried.carried(lake, closing.closes_by_id(lake), made)
    drafts = made.rules.drafts(closing.pinned(lake, made), made.content, made.catalog(), late.lines)
    return [
        Waiting(draft.partner.id, made.legal_entity, made.period, draft.currency, draft.total, state, made.close_id)
        for draft in sorted(drafts, key=lambda d: d.partner.id)
    ]
