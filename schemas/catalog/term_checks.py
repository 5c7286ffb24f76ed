"""Checks of the terms of a partner's contract against its plans and against each other.

Each check gives the path of the field below the partner, and a message that says what to do.
"""

from collections.abc import Iterator

from schemas.catalog.records import Catalog, OwnPrices, Partner
from schemas.catalog.terms import Dated

Steps = tuple[str | int, ...]
Found = tuple[Steps, str]
_ONE_AT_A_TIME = ("minimums", "maximums", "commitments")


def problems(catalog: Catalog, partner: Partner) -> Iterator[Found]:
    """All errors in the terms of one partner."""
    yield from _currencies(catalog, partner)
    yield from _twice_priced(partner)
    yield from _strange_plans(partner)
    yield from _strange_credits(catalog, partner)
    yield from _repeated_orders(partner)
    yield from _repeated_fees(partner)


def references(partner: Partner) -> Iterator[tuple[Steps, str, str]]:
    """Every reference of the terms as (path, section, id)."""
    for j, own in enumerate(partner.prices):
        if own.plan is not None:
            yield ("prices", j, "plan"), "plans", own.plan
        for k, rate in enumerate(own.rates):
            if rate.meter is not None:
                yield ("prices", j, "rates", k, "meter"), "meters", rate.meter
    for j, discount in enumerate(partner.discounts):
        if discount.meter is not None:
            yield ("discounts", j, "meter"), "meters", discount.meter


def overlap(one: Dated, other: Dated) -> bool:
    """Whether two terms hold at the same time."""
    return (one.valid_to is None or other.valid_from < one.valid_to) and (
        other.valid_to is None or one.valid_from < other.valid_to
    )


def _currencies(catalog: Catalog, partner: Partner) -> Iterator[Found]:
    """Amounts in another currency than the prices of a plan that the partner has at that time."""
    currencies = _currencies_of(catalog)
    for steps, term, currency, plan in _amounts(partner):
        for assigned in partner.plans:
            priced_in = currencies.get(assigned.plan)
            held = Dated(valid_from=assigned.valid_from, valid_to=assigned.valid_to)
            if priced_in in {None, currency} or plan not in {None, assigned.plan} or not overlap(term, held):
                continue
            says = (
                f"is {currency}, but plan {assigned.plan!r} is priced in {priced_in}; write the amounts in {priced_in}, or end the term "
                f"before the plan begins"
            )
            yield (*steps, "currency"), says
            break


def _amounts(partner: Partner) -> Iterator[tuple[Steps, Dated, str, str | None]]:
    """Every term with an amount: its path, the term, its currency, and the only plan to which it applies."""
    for j, own in enumerate(partner.prices):
        yield ("prices", j), own, own.currency, own.plan
    for j, discount in enumerate(partner.discounts):
        if discount.currency is not None:
            yield ("discounts", j), discount, discount.currency, None
    for j, order in enumerate(partner.purchase_orders):
        if order.currency is not None:
            yield ("purchase_orders", j), order, order.currency, None
    for name in ("fees", *_ONE_AT_A_TIME):
        for j, bound in enumerate(getattr(partner, name)):
            yield (name, j), bound, bound.currency, None


def _twice_priced(partner: Partner) -> Iterator[Found]:
    """Own prices, limits and commitments that hold at the same time as an earlier one of the same kind."""
    for j, own in enumerate(partner.prices):
        for earlier in partner.prices[:j]:
            if not overlap(earlier, own) or (None not in (own.plan, earlier.plan) and own.plan != earlier.plan):
                continue
            if both := _priced(own) & _priced(earlier):
                named = ", ".join(repr(name) for name in sorted(both))
                yield ("prices", j), f"{named} already has an own price at that time; end one before the other begins"
                break
    for name in _ONE_AT_A_TIME:
        terms = getattr(partner, name)
        for j, bound in enumerate(terms):
            if any(overlap(earlier, bound) for earlier in terms[:j]):
                yield (name, j), "overlaps an earlier one; end one before the other begins"


def _priced(own: OwnPrices) -> set[str]:
    return {rate.meter or rate.description for rate in own.rates}


def _strange_plans(partner: Partner) -> Iterator[Found]:
    """Own prices for a plan that the partner never has."""
    plans = {assigned.plan for assigned in partner.plans}
    for j, own in enumerate(partner.prices):
        if own.plan is not None and own.plan not in plans:
            yield (
                ("prices", j, "plan"),
                f"the partner does not have plan {own.plan!r}; name one of its plans ({', '.join(sorted(plans)) or 'none'}), or leave the field out",
            )


def _repeated_orders(partner: Partner) -> Iterator[Found]:
    """Orders with the same number, of which nobody could say which one an invoice names."""
    numbers = [order.number for order in partner.purchase_orders]
    for j, number in enumerate(numbers):
        if number in numbers[:j]:
            yield (
                ("purchase_orders", j, "number"),
                f"{number!r} is listed twice; list each order once, with its whole amount and validity",
            )


def _strange_credits(catalog: Catalog, partner: Partner) -> Iterator[Found]:
    """Credits with the same id, and credits in a currency in which the partner never pays."""
    paid_in = {_currencies_of(catalog).get(assigned.plan) for assigned in partner.plans}
    seen: set[str] = set()
    for j, credit in enumerate(partner.credits):
        if credit.id in seen:
            yield (
                ("credits", j, "id"),
                f"{credit.id!r} is defined twice; give each credit of the partner an id of its own",
            )
        seen.add(credit.id)
        if partner.plans and credit.currency not in paid_in and None not in paid_in:
            priced_in = " and ".join(sorted(filter(None, paid_in)))
            yield (
                ("credits", j, "currency"),
                f"is {credit.currency}, but the partner's plans are priced in {priced_in}, so it would never pay; write the amount in {priced_in}",
            )


def _repeated_fees(partner: Partner) -> Iterator[Found]:
    """Fees with the same id: what was billed in advance could not be told apart."""
    ids = [fee.id for fee in partner.fees]
    for j, name in enumerate(ids):
        if name in ids[:j]:
            yield ("fees", j, "id"), f"{name!r} is defined twice; give each fee of the partner an id of its own"


def _currencies_of(catalog: Catalog) -> dict[str, str]:
    """The currency of each plan whose rate card exists."""
    cards = {card.id: card.currency for card in catalog.rate_cards}
    return {plan.id: cards[plan.rate_card] for plan in catalog.plans if plan.rate_card in cards}
