"""The rates that apply to a partner: those of the rate card, and its own in their place."""

from collections.abc import Sequence
from datetime import date

from schemas.catalog.rates import Rate
from schemas.catalog.records import Partner, RateCardVersion


def rates(partner: Partner, plan_id: str, version: RateCardVersion, day: date) -> Sequence[Rate]:
    """The rates of a partner under a plan on a local day.

    An own rate replaces all rates of its meter, or the fees of its description; it stands where the first of them
    stood. Own rates that replace nothing follow.
    """
    own = [rate for prices in partner.own_prices(plan_id) if prices.holds_on(day) for rate in prices.rates]
    if not own:
        return version.rates
    left = list(own)
    found: list[Rate] = []
    for rate in version.rates:
        instead = [mine for mine in own if _replaces(mine, rate)]
        if not instead:
            found.append(rate)
        found += [mine for mine in instead if mine in left]
        left = [mine for mine in left if mine not in instead]
    return [*found, *left]


def _replaces(mine: Rate, rate: Rate) -> bool:
    if mine.meter is None and rate.meter is None:
        return mine.description == rate.description
    return mine.meter == rate.meter
