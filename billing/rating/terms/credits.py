"""Prepaid credits: what they pay of a bill, and the ledger of a partner, in which every booking sums to zero.

The ledger is a pure function of the credits in the catalog and of the issued documents. Nothing else holds a balance.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from decimal import Decimal, localcontext
from typing import NamedTuple

from billing.periods import BillingPeriod
from billing.pricing.commitments import burn_down
from billing.rating.extras import Extra, ExtraKind
from billing.rating.issued import IssuedDocument, entries
from schemas.catalog.terms import Credit
from schemas.money import EXACT, MINOR_UNITS, rounded, with_currency
from schemas.texts.wording import ENGLISH, Wording

ZERO = Decimal(0)
# An account is `credit/ID` for each credit, or one of these.
PREPAID = "prepaid"  # what the partner paid in advance
BILLED = "billed"  # what its invoices were paid with
EXPIRED = "expired"  # what was left when a credit ended


class Booking(NamedTuple):
    """One entry of the ledger: `amount` moves from one account to another. `document` is the number of an invoice."""

    booked_on: date
    credit_id: str
    source: str
    target: str
    amount: Decimal
    currency: str
    document: str | None = None


def burn_downs(
    granted: Sequence[Credit],
    period: BillingPeriod,
    currency: str,
    due: Decimal,
    before: Sequence[IssuedDocument],
    say: Wording = ENGLISH,
) -> list[Extra]:
    """What the credits pay of `due`, as negative amounts, in the order in which they pay."""
    last_day = period.interval.last_day
    usable = in_order(credit for credit in granted if credit.currency == currency and credit.holds_on(last_day))
    used = _used(before)
    with localcontext(EXACT):
        balances = [_amount(credit) - used.get(credit.id, ZERO) for credit in usable]
        paid = burn_down(due, balances)
        return [
            Extra(
                ExtraKind.CREDIT,
                -amount,
                -amount,
                {
                    "description": say.unless_given(credit.description),
                    "credit": credit.id,
                    "balance_before": f"{balance:f}",
                    "balance_after": f"{balance - amount:f}",
                },
            )
            for credit, balance, amount in zip(usable, balances, paid, strict=True)
            if amount
        ]


def account(credit_id: str) -> str:
    """The account of a credit."""
    return f"credit/{credit_id}"


def in_order(granted: Iterable[Credit]) -> list[Credit]:
    """The credits in the order in which they pay: by priority, then by their end, their begin and their id."""
    return sorted(granted, key=lambda c: (c.priority, c.valid_to or date.max, c.valid_from, c.id))


def ledger(granted: Sequence[Credit], documents: Sequence[IssuedDocument], today: date) -> list[Booking]:
    """The bookings of a partner up to `today`, in the order of days.

    A credit is booked when it begins, its use on the last day of the month that it pays for, and the rest of it when it
    has ended. A credit note over what a credit paid gives it back.
    """
    found = [
        Booking(credit.valid_from, credit.id, PREPAID, account(credit.id), _amount(credit), credit.currency)
        for credit in granted
        if credit.valid_from <= today
    ]
    by_number = {issued.number: issued for issued in documents}
    for entry in entries(documents):
        issued = by_number[entry.number]
        paid_for = date.fromisoformat(issued.content["period"]["last_day"])
        if entry.kind is ExtraKind.CREDIT and entry.amount and paid_for <= today:
            credit_id = entry.facts["credit"]
            source, target = (account(credit_id), BILLED) if entry.amount < 0 else (BILLED, account(credit_id))
            found.append(Booking(paid_for, credit_id, source, target, abs(entry.amount), issued.currency, entry.number))
    return sorted([*found, *_expiries(granted, found, today)], key=lambda b: b.booked_on)


def _expiries(granted: Sequence[Credit], found: Sequence[Booking], today: date) -> Iterator[Booking]:
    """What is left of each credit that has ended."""
    left = balances(found)
    for credit in granted:
        rest = left.get((account(credit.id), credit.currency), ZERO)
        if credit.valid_to is not None and credit.valid_to <= today and rest > 0:
            yield Booking(credit.valid_to, credit.id, account(credit.id), EXPIRED, rest, credit.currency)


def overdrawn(granted: Sequence[Credit], documents: Sequence[IssuedDocument]) -> list[str]:
    """A problem for each credit of which issued invoices used more than the catalog says was paid."""
    amounts = {credit.id: _amount(credit) for credit in granted}
    by_number = {issued.number: issued.currency for issued in documents}
    currencies = {e.facts["credit"]: by_number[e.number] for e in entries(documents) if e.kind is ExtraKind.CREDIT}
    return [
        f"credit {name}: issued invoices used {with_currency(used, currencies[name])}, but the catalog has "
        f"{with_currency(amounts.get(name, ZERO), currencies[name])}; write the credit with the amount that was paid, because used credits "
        f"stay in the catalog"
        for name, used in sorted(_used(documents).items())
        if used > amounts.get(name, ZERO)
    ]


class CreditState(NamedTuple):
    """A credit with what became of it. `paid` is `used` + `expired` + `left`; 0 before it begins."""

    credit: Credit
    paid: Decimal
    used: Decimal
    expired: Decimal
    left: Decimal


def states(granted: Iterable[Credit], booked: Sequence[Booking]) -> list[CreditState]:
    """What became of each credit by the bookings."""
    found = []
    for credit in granted:
        mine = [booking for booking in booked if booking.credit_id == credit.id]
        held = balances(mine)
        accounts = (PREPAID, BILLED, EXPIRED, account(credit.id))
        sums = [held.get((name, credit.currency), ZERO) for name in accounts]
        found.append(CreditState(credit, EXACT.minus(sums[0]), *sums[1:]))
    return found


def balances(bookings: Iterable[Booking]) -> dict[tuple[str, str], Decimal]:
    """The balance of each account by account and currency. All balances of a currency sum to zero."""
    found: dict[tuple[str, str], Decimal] = {}
    with localcontext(EXACT):
        for booking in bookings:
            for name, sign in ((booking.source, -1), (booking.target, 1)):
                key = name, booking.currency
                found[key] = found.get(key, ZERO) + sign * booking.amount
    return found


def _used(documents: Sequence[IssuedDocument]) -> dict[str, Decimal]:
    """What issued documents used of each credit, by its id."""
    found: dict[str, Decimal] = {}
    for entry in entries(documents):
        if entry.kind is ExtraKind.CREDIT:
            credit_id = entry.facts["credit"]
            found[credit_id] = EXACT.subtract(found.get(credit_id, ZERO), entry.amount)
    return found


def _amount(credit: Credit) -> Decimal:
    return rounded(credit.amount, MINOR_UNITS[credit.currency])
