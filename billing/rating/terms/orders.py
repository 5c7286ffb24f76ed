"""Purchase orders: which order of the partner pays for a bill. An order with an amount pays for no more than that."""

from collections.abc import Sequence
from decimal import Decimal, localcontext

from billing.periods import BillingPeriod
from billing.rating.issued import IssuedDocument
from schemas.catalog.terms import PurchaseOrder
from schemas.money import EXACT, with_currency

ZERO = Decimal(0)


def order_of(
    orders: Sequence[PurchaseOrder],
    period: BillingPeriod,
    currency: str,
    total: Decimal,
    before: Sequence[IssuedDocument],
) -> tuple[str | None, list[str]]:
    """The number of the order that pays for a bill, and why none does.

    It is the first order in the contract that holds on the last day of the month and has the total left. A partner
    whose first order has not begun yet needs none.
    """
    last_day = period.interval.last_day
    begun = [order for order in orders if order.valid_from <= last_day]
    held = [order for order in begun if order.holds_on(last_day)]
    if not begun:
        return None, []
    if not held:
        ended = ", ".join(f"{order.number} before {order.valid_to}" for order in begun)
        return None, [f"no purchase order holds on {last_day} ({ended}); add one, or correct its `valid_to`"]
    too_small = []
    for order in held:
        left = _left(order, before)
        if left is None or (order.currency == currency and total <= max(left, ZERO)):
            return order.number, []
        too_small.append(f"{order.number} has {with_currency(max(left, ZERO), order.currency or currency)} left")
    says = (
        f"the bill of {period.label} is {with_currency(total, currency)}, and purchase order {', '.join(too_small)}; add an order, or raise "
        f"its `amount`"
    )
    return None, [says]


def _left(order: PurchaseOrder, before: Sequence[IssuedDocument]) -> Decimal | None:
    """What is left of an order after the documents that name it; None without a limit. Credit notes give back."""
    if order.amount is None:
        return None
    with localcontext(EXACT):
        used = (
            document.total
            for document in before
            if document.content["buyer"].get("purchase_order") == order.number and document.currency == order.currency
        )
        return order.amount - sum(used, ZERO)
