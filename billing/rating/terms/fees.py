"""Fixed fees of a contract, in arrears or in advance.

In arrears, the bill of a month has the fee of that month. In advance, it has the fee of the next month, and the
difference between the fee of its own month and what earlier bills charged for it. So the first bill has two months, and
a fee that ends or begins inside a month that is already paid corrects itself.
"""

from collections.abc import Iterator, Sequence
from datetime import date
from decimal import Decimal

from billing.periods import month_after
from billing.pricing.proration import day_share, time_share
from billing.rating.extras import Extra, ExtraKind
from billing.rating.issued import IssuedDocument, entries
from schemas.catalog.prices.price import prorated
from schemas.catalog.records import Partner
from schemas.catalog.terms import Fee
from schemas.money import EXACT, MINOR_UNITS, plain, rounded
from schemas.texts.wording import wording
from schemas.zones import midnight

ZERO = Decimal(0)


def fees(partner: Partner, label: str, currency: str, before: Sequence[IssuedDocument]) -> list[Extra]:
    """The fees on the bill of the month `label`, in the order of the contract, without those of 0."""
    billed = _billed([issued for issued in before if issued.currency == currency])
    return [
        extra
        for fee in partner.fees
        if fee.currency == currency
        for month in _months(fee, label)
        for extra in _of_month(fee, month, partner, billed.get((fee.id, month), ZERO))
    ]


def _months(fee: Fee, label: str) -> tuple[str, ...]:
    return (label,) if fee.due == "arrears" else (label, month_after(label))


def _billed(documents: Sequence[IssuedDocument]) -> dict[tuple[str, str], Decimal]:
    """What was billed by fee and month, less what was credited."""
    found: dict[tuple[str, str], Decimal] = {}
    for entry in entries(documents):
        if entry.kind is ExtraKind.FEE:
            key = entry.facts["fee"], entry.facts["month"]
            found[key] = EXACT.add(found.get(key, ZERO), entry.amount)
    return found


def _of_month(fee: Fee, month: str, partner: Partner, billed: Decimal) -> Iterator[Extra]:
    """What is still to be billed for a month. In arrears nothing of it was billed by an invoice that still holds."""
    exact = _due(fee, month, partner.time_zone)
    earlier = billed if fee.due == "advance" else ZERO
    amount = EXACT.subtract(rounded(exact, MINOR_UNITS[fee.currency]), earlier)
    if amount:
        say = wording(partner.language)
        facts = {
            "description": f"{say.unless_given(fee.description)}, {month}",
            "fee": fee.id,
            "month": month,
            "monthly": plain(fee.amount),
        }
        yield Extra(ExtraKind.FEE, amount, EXACT.subtract(exact, earlier), facts)


def _due(fee: Fee, month: str, zone: str) -> Decimal:
    """The share of a month that the fee asks for: by time, or by local days."""
    first, end = date.fromisoformat(f"{month}-01"), date.fromisoformat(f"{month_after(month)}-01")
    begins, ends = max(first, fee.valid_from), end if fee.valid_to is None else min(end, fee.valid_to)
    if begins >= ends:
        return ZERO
    if fee.proration == "day":
        return prorated(fee.amount, day_share((begins, ends), (first, end)))
    part, whole = (tuple(midnight(day, zone) for day in days) for days in ((begins, ends), (first, end)))
    return prorated(fee.amount, time_share((part[0], part[1]), (whole[0], whole[1])))
