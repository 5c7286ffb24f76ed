"""Applies the terms of a contract to a draft, in the order of docs/contracts.md."""

from collections.abc import Sequence
from decimal import Decimal

from billing.rating.drafts import Draft
from billing.rating.extras import Extra
from billing.rating.issued import IssuedDocument
from billing.rating.priced import Amounts
from billing.rating.terms.commitments import true_ups
from billing.rating.terms.credits import burn_downs, overdrawn
from billing.rating.terms.fees import fees
from billing.rating.terms.monthly import monthly
from billing.rating.terms.orders import order_of
from schemas.money import EXACT
from schemas.texts.wording import wording

ZERO = Decimal(0)
_TERMS = ("fees", "discounts", "maximums", "minimums", "commitments", "credits", "purchase_orders")


def with_terms(
    draft: Draft, before: Sequence[IssuedDocument] = (), adjustments: Sequence[Extra] = ()
) -> tuple[Draft, list[str]]:
    """The draft with the amounts that its partner's contract adds, and the problems that forbid to issue it.

    `before` are the documents that were issued to the partner before, as far as the bill rests on them. `adjustments`
    are those of earlier periods: they count towards commitments, and prepaid credits pay them.
    """
    if not adjustments and not any(getattr(draft.partner, name) for name in _TERMS):
        return draft, []
    partner, label, say = draft.partner, draft.period.label, wording(draft.partner.language)
    found = draft.with_extras(fees(partner, label, draft.currency, before))
    found = found.with_extras(monthly(partner, draft.period, _amounts(found)))
    if partner.commitments:
        found = found.with_extras(
            true_ups(partner.commitments, label, found.currency, found.total, before, adjustments, say)
        )
    found = found.with_extras(adjustments)
    if partner.credits:
        found = found.with_extras(burn_downs(partner.credits, draft.period, found.currency, found.total, before, say))
    order, problems = order_of(partner.purchase_orders, draft.period, found.currency, found.total, before)
    problems += overdrawn(partner.credits, before)
    return found._replace(purchase_order=order), [f"partner {partner.id}, {problem}" for problem in problems]


def _amounts(draft: Draft) -> Amounts:
    by_meter: dict[str, Decimal] = {}
    for line in draft.lines:
        if line.rate.meter:
            by_meter[line.rate.meter] = EXACT.add(by_meter.get(line.rate.meter, ZERO), line.charge.amount)
    for rate in draft.limited:
        by_meter[rate.meter] = EXACT.subtract(by_meter.get(rate.meter, ZERO), rate.cost().amount)
    return Amounts(draft.currency, draft.total, by_meter, draft.limited)
