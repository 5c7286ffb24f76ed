"""Commitments: the least amount of a term, trued up in its last month, and the price of what exceeds it.

What a commitment costs is computed for the whole term each month, less what was billed for it before. So a credit note
or late usage within a term corrects itself with the next bill, even after the end of the term.
"""

from collections.abc import Iterator, Sequence
from decimal import Decimal, localcontext

from billing.pricing.commitments import committed
from billing.rating.extras import Extra, ExtraKind
from billing.rating.issued import IssuedAmount, IssuedDocument, entries
from schemas.catalog.terms import Commitment, Term
from schemas.money import EXACT, MINOR_UNITS, plain, rounded
from schemas.texts.wording import ENGLISH, Wording

ZERO = Decimal(0)
TERM_FACTS = ("first_month", "last_month")  # of an amount that a commitment added, and of its adjustment


def true_ups(
    commitments: Sequence[Commitment],
    label: str,
    currency: str,
    total: Decimal,
    before: Sequence[IssuedDocument] = (),
    adjustments: Sequence[Extra] = (),
    say: Wording = ENGLISH,
) -> list[Extra]:
    """What the commitments add to the bill of the month `label`, whose total without them is `total`.

    `adjustments` are those of the same bill. They count in the months that they adjust.
    """
    issued = [document for document in before if document.currency == currency]
    booked = [
        *entries(issued),
        *(IssuedAmount("", extra.facts["period"], extra.kind, extra.facts, extra.amount) for extra in adjustments),
    ]
    months = {document.period for document in issued} | {label}
    with localcontext(EXACT):
        return [
            extra
            for commitment in commitments
            if commitment.currency == currency
            for place, term in enumerate(commitment.terms(label))
            if any(map(term.holds, months))
            for extra in _of_term(commitment, place, term, (label, total), booked, max(months), say)
        ]


def _of_term(
    commitment: Commitment,
    place: int,
    term: Term,
    bill: tuple[str, Decimal],
    booked: Sequence[IssuedAmount],
    newest: str,
    say: Wording,
) -> Iterator[Extra]:
    """What is still to be billed for one term. `newest` is the newest month with a bill, this one among them."""
    label, total = bill
    counted = sum((e.amount for e in booked if _counts(e) and term.holds(_month(e))), ZERO)
    counted += commitment.billed_elsewhere if place == 0 else ZERO
    counted += total if term.holds(label) else ZERO
    ends = newest >= term.last
    asked = committed(counted, commitment.amount, overage_factor=commitment.overage_factor, trues_up=ends)
    exact = asked.top_up + asked.surcharge
    billed = sum((e.amount for e in booked if _term(e) == term), ZERO)
    places = MINOR_UNITS[commitment.currency]
    amount = rounded(exact, places) - billed
    if amount:
        facts = {
            "description": say(
                "commitment",
                amount=say.ungrouped(commitment.amount),
                currency=commitment.currency,
                first=term.first,
                last=term.last,
            ),
            "first_month": term.first,
            "last_month": term.last,
            "committed": f"{rounded(commitment.amount, places):f}",
            "counted": f"{rounded(counted, places):f}",
            "overage_factor": plain(commitment.overage_factor),
        }
        yield Extra(ExtraKind.COMMITMENT, amount, exact - billed, facts)


def _counts(entry: IssuedAmount) -> bool:
    """Whether an amount counts towards a commitment."""
    return entry.kind is not ExtraKind.CREDIT and _term(entry) is None


def _term(entry: IssuedAmount) -> tuple[str, ...] | None:
    """The term for which a commitment added an amount, or for which that was adjusted. None for other amounts."""
    if entry.kind is ExtraKind.COMMITMENT or (
        entry.kind is ExtraKind.ADJUSTMENT and entry.facts.keys() >= set(TERM_FACTS)
    ):
        return tuple(entry.facts[name] for name in TERM_FACTS)
    return None


def _month(entry: IssuedAmount) -> str:
    """The month for which an amount was billed: that of the document, or the month that an adjustment names."""
    return str(entry.facts.get("period", entry.period)) if entry.kind is ExtraKind.ADJUSTMENT else entry.period
