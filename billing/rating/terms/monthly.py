"""Discounts, the greatest and the least amount of a month, in this order. Each is rounded once.

Discounts of a meter come before those of the whole. Each is taken off what the ones before it left, and takes no more
than there is.
"""

from collections.abc import Iterator, Sequence
from decimal import Decimal, localcontext

from billing.periods import BillingPeriod
from billing.pricing.discounts import taken
from billing.rating.extras import Extra, ExtraKind
from billing.rating.priced import Amounts
from billing.rating.terms.meter_discounts import DiscountedMeter, DiscountTaken
from schemas.catalog.prices.price import Share, prorated
from schemas.catalog.records import Partner
from schemas.catalog.terms import Bound, Discount
from schemas.money import EXACT, MINOR_UNITS, plain, rounded
from schemas.texts.wording import Wording, wording
from schemas.windows import to_us

ZERO = Decimal(0)


def monthly(partner: Partner, period: BillingPeriod, priced: Amounts) -> list[Extra]:
    """The discounts, the maximum and the minimum of a month, as far as they change its amount."""
    label, places, say = period.label, MINOR_UNITS[priced.currency], wording(partner.language)
    with localcontext(EXACT):
        found = [*_discounts([d for d in partner.discounts if d.holds_in(label)], priced, places, say)]
        left = priced.total + sum((extra.amount for extra in found), ZERO)
        for bounds, kind in ((partner.maximums, ExtraKind.MAXIMUM), (partner.minimums, ExtraKind.MINIMUM)):
            for bound in (b for b in bounds if b.holds_in(label)):
                limit = _of_period(bound, period)
                lacks = rounded(limit, places) - left
                if kind is ExtraKind.MINIMUM and not period.stays:
                    continue  # without any plan there is nothing that costs at least so much
                if (kind is ExtraKind.MINIMUM and lacks > 0) or (kind is ExtraKind.MAXIMUM and lacks < 0):
                    facts = {"description": say(_TEXTS[kind]), "limit": f"{rounded(limit, places):f}"}
                    found.append(Extra(kind, lacks, limit - left, facts))
                    left += lacks
    return found


_TEXTS = {ExtraKind.MAXIMUM: "maximum_of_month", ExtraKind.MINIMUM: "minimum_of_month"}


def _discounts(discounts: Sequence[Discount], priced: Amounts, places: int, say: Wording) -> Iterator[Extra]:
    """What each discount takes, as negative amounts. Those of meters come first."""
    meters = {
        meter: DiscountedMeter(
            priced.by_meter.get(meter, ZERO), [rate for rate in priced.limited if rate.meter == meter], places
        )
        for meter in dict.fromkeys(discount.meter for discount in discounts if discount.meter is not None)
    }
    whole = priced.total
    for discount in sorted(discounts, key=lambda d: d.meter is None):  # sorted() keeps the order of the contract
        took = meters[discount.meter].take(discount) if discount.meter is not None else _off(whole, discount, places)
        took = took.at_most(max(whole, ZERO))  # lines of other meters may be negative
        if not took.amount:
            continue
        whole -= took.amount
        yield Extra(ExtraKind.DISCOUNT, -took.amount, -took.exact, _facts(discount, took, places, say))


def _off(whole: Decimal, discount: Discount, places: int) -> DiscountTaken:
    (exact,) = taken(whole, [discount])
    return DiscountTaken(rounded(exact, places), exact, whole, limited=False)


def _facts(discount: Discount, took: DiscountTaken, places: int, say: Wording) -> dict[str, str]:
    base = "base_before_limits" if took.limited else "base"
    facts = {"description": say.unless_given(discount.description), base: f"{took.base:.{places}f}"}
    if discount.meter is not None:
        facts["meter"] = discount.meter
    if discount.percent is not None:
        facts["percent"] = plain(discount.percent)
    return facts


def _of_period(bound: Bound, period: BillingPeriod) -> Decimal:
    """The amount of a bound for a period: its share of the time with a plan if it is prorated."""
    if not bound.prorated:
        return bound.amount
    planned = sum(to_us(stay.interval.end) - to_us(stay.interval.start) for stay in period.stays)
    return prorated(bound.amount, Share(planned, to_us(period.end) - to_us(period.start)))
