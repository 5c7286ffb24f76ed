"""Commitments and prepaid credits over histories, against a second reckoning in fractions from docs/contracts.md."""

import json
import math
from collections import defaultdict
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.periods import billing_period
from billing.rating import bills
from billing.rating.extras import Extra, ExtraKind
from billing.rating.issued import IssuedDocument
from billing.rating.terms.commitments import true_ups
from billing.rating.terms.credits import BILLED, EXPIRED, PREPAID, balances, burn_downs, ledger
from billing.usage.warehouse import Span
from schemas.catalog import checks
from schemas.catalog.terms import Commitment, Credit
from schemas.money import plain
from tests.billing.test_terms import catalog

CENTS = st.integers(0, 10**6).map(lambda cents: Decimal(cents).scaleb(-2))
AMOUNTS = st.integers(1, 2 * 10**6).map(lambda cents: Decimal(cents).scaleb(-2))
MONTHS = [f"{year}-{month:02d}" for year in (2026, 2027) for month in range(1, 13)]


def issued(number: int, label: str, lines: list[Decimal], extras: list[Extra] | None = None) -> IssuedDocument:
    """An invoice with these amounts."""
    positions = [{"position": n, "amount": str(amount)} for n, amount in enumerate(lines, 1)]
    more = [
        {"position": n, "kind": extra.kind.value, **extra.facts, "amount": str(extra.amount)}
        for n, extra in enumerate(extras or [], len(lines) + 1)
    ]
    last_day = max(day for day in range(28, 32) if _is_day(f"{label}-{day}"))
    document = {
        "lines": positions,
        "extras": more,
        "issued_on": f"{label}-28",
        "period": {"last_day": f"{label}-{last_day}"},
    }
    total = sum(lines, Decimal(0)) + sum((extra.amount for extra in extras or []), Decimal(0))
    return IssuedDocument(f"N-{number}", "invoice", "acme", label, "EUR", total, "", json.dumps(document))


def credited(number: int, of: IssuedDocument) -> IssuedDocument:
    """The credit note of a whole invoice, as corrections make it."""
    content = of.content
    lines = [
        {
            "position": n,
            "amount": str(-Decimal(x["amount"])),
            "credits": {"number": of.number, "position": x["position"]},
        }
        for n, x in enumerate([*content["lines"], *content["extras"]], 1)
    ]
    document = {"lines": lines, "issued_on": content["issued_on"], "period": content["period"]}
    return IssuedDocument(f"C-{number}", "credit_note", "acme", of.period, "EUR", -of.total, "", json.dumps(document))


def _is_day(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def to_cents(amount: Fraction) -> Fraction:
    """Half away from zero."""
    cents = math.floor(abs(amount) * 100 + Fraction(1, 2))
    return Fraction(cents if amount >= 0 else -cents, 100)


@given(
    used=st.lists(CENTS, min_size=1, max_size=24),
    amount=AMOUNTS,
    months=st.sampled_from([("month", 1), ("quarter", 3), ("year", 12)]),
    factor=st.integers(0, 300).map(lambda n: Decimal(n).scaleb(-2)),
    elsewhere=st.just(Decimal(0)) | CENTS,
    voided=st.sets(st.integers(0, 23), max_size=3),
)
def test_a_term_costs_what_the_commitment_says(
    used: list[Decimal],
    amount: Decimal,
    months: tuple[str, int],
    factor: Decimal,
    elsewhere: Decimal,
    voided: set[int],
) -> None:
    """Whatever is billed month by month: the sum over a term that is over is what the term costs when priced once.

    Some invoices are voided and billed again with other usage, right after they were issued.
    """
    commitment = Commitment.model_validate(
        {"valid_from": "2026-01-01", "currency": "EUR", "term": months[0], "amount": amount, "overage_factor": factor, "billed_elsewhere": elsewhere}
    )  # fmt: skip
    documents: list[IssuedDocument] = []
    for number, (label, total) in enumerate(zip(MONTHS, used, strict=False)):
        bills = [total, total + 1] if number in voided else [total]
        for again, billed in enumerate(bills):
            extras = true_ups([commitment], label, "EUR", billed, documents)
            made = issued(100 * number + again, label, [billed], extras)
            documents += [made, credited(number, made)] if billed is not bills[-1] else [made]
    whole: dict[int, Fraction] = defaultdict(Fraction)
    for document in documents:
        whole[MONTHS.index(document.period) // months[1]] += Fraction(document.total)
    for term in range(len(used) // months[1]):
        span = range(term * months[1], (term + 1) * months[1])
        priced = sum((Fraction(used[n]) + (n in voided) for n in span), Fraction(0))
        priced += Fraction(elsewhere) if term == 0 else 0
        over = max(priced - Fraction(amount), Fraction(0))
        costs = max(priced, Fraction(amount)) + to_cents(over * (Fraction(factor) - 1))
        assert whole[term] + (Fraction(elsewhere) if term == 0 else 0) == costs


def test_a_credit_note_after_the_end_of_a_term_is_trued_up_by_the_next_bill() -> None:
    """What was credited no longer counts, so more lacks to the commitment."""
    terms = {"valid_from": "2026-01-01", "currency": "EUR", "term": "month", "amount": "100"}
    commitment = Commitment.model_validate(terms)
    january = issued(1, "2026-01", [Decimal(120)], true_ups([commitment], "2026-01", "EUR", Decimal(120), []))
    before = [january, credited(1, january)]
    (of_january,) = true_ups([commitment], "2026-02", "EUR", Decimal(130), before)
    assert (of_january.amount, of_january.facts["first_month"]) == (Decimal(100), "2026-01")


def test_terms_before_the_first_bill_are_not_trued_up() -> None:
    """They were billed elsewhere, if at all."""
    commitment = Commitment.model_validate(
        {"valid_from": "2020-01-01", "currency": "EUR", "term": "month", "amount": "100"}
    )
    (extra,) = true_ups([commitment], "2026-02", "EUR", Decimal(30), [])
    assert (extra.amount, extra.facts["first_month"]) == (Decimal(70), "2026-02")


def test_a_month_that_is_billed_again_after_its_term_corrects_the_true_up() -> None:
    """A term that was trued up stays trued up, whichever of its months is voided and billed again."""
    terms = {"valid_from": "2026-01-01", "currency": "EUR", "term": "quarter", "amount": "100"}
    commitment = Commitment.model_validate(terms)
    documents: list[IssuedDocument] = []
    for number, label in enumerate(MONTHS[:3]):
        extras = true_ups([commitment], label, "EUR", Decimal(20), documents)
        documents.append(issued(number, label, [Decimal(20)], extras))
    assert documents[-1].total == Decimal(60)
    documents.append(credited(0, documents[0]))
    (extra,) = true_ups([commitment], "2026-01", "EUR", Decimal(25), documents)
    assert extra.amount == Decimal(-5)


def test_a_credit_has_expired_on_the_first_day_after_it() -> None:
    """On its last day it still pays."""
    term = {"id": "a", "amount": "5", "currency": "EUR", "valid_from": "2026-01-01", "valid_to": "2026-02-01"}
    credit = Credit.model_validate(term)
    assert [booking.target for booking in ledger([credit], [], date(2026, 1, 31))] == ["credit/a"]
    assert [booking.target for booking in ledger([credit], [], date(2026, 2, 1))] == ["credit/a", EXPIRED]


def test_late_usage_counts_in_its_month_and_not_twice() -> None:
    """An adjustment on the bill of January counts in December, and what it changes of the commitment counts as such."""
    terms = {"valid_from": "2026-12-01", "currency": "EUR", "term": "month", "amount": "100", "overage_factor": "0.5"}
    commitment = Commitment.model_validate(terms)
    december = issued(1, "2026-12", [Decimal(120)], true_ups([commitment], "2026-12", "EUR", Decimal(120)))
    assert december.total == Decimal(110)
    facts = {"period": "2026-12"}
    usage = Extra(ExtraKind.ADJUSTMENT, Decimal(30), Decimal(30), facts)
    months = {"first_month": "2026-12", "last_month": "2026-12"}
    less = Extra(ExtraKind.ADJUSTMENT, Decimal(-15), Decimal(-15), facts | months)
    january = ([commitment], "2027-01", "EUR", Decimal(100), [december])
    (corrected,) = true_ups(*january, [usage])
    assert (corrected.amount, corrected.facts["last_month"]) == (Decimal(-15), "2026-12")
    assert true_ups(*january, [usage, less]) == []
    booked = issued(2, "2027-01", [Decimal(100)], [usage, less])
    assert true_ups([commitment], "2027-02", "EUR", Decimal(100), [december, booked]) == []


@given(
    due=st.lists(CENTS, min_size=1, max_size=6),
    granted=st.lists(st.tuples(AMOUNTS, st.integers(0, 2), st.integers(0, 5), st.none() | st.integers(1, 6)), max_size=4),
    voided=st.none() | st.integers(0, 5),
)  # fmt: skip
def test_credits_pay_what_is_due_and_their_ledger_sums_to_zero(
    due: list[Decimal], granted: list[tuple[Decimal, int, int, int | None]], voided: int | None
) -> None:
    """By a reckoning that keeps balances month by month. The ledger sums to zero after every booking."""
    ids = ["billed", "expired", "prepaid", "z"]  # accounts of the same names are others
    found = [
        {
            "id": ids[n],
            "amount": str(amount),
            "currency": "EUR",
            "priority": priority,
            "valid_from": f"{MONTHS[begins]}-01",
            "valid_to": None if lasts is None else f"{MONTHS[begins + lasts]}-01",
        }
        for n, (amount, priority, begins, lasts) in enumerate(granted)
    ]
    prepaid = [Credit.model_validate(each) for each in found]
    left = [Fraction(amount) for amount, *_ in granted]
    order = sorted(
        range(len(granted)), key=lambda n: (granted[n][1], found[n]["valid_to"] or "9", found[n]["valid_from"], n)
    )
    documents: list[IssuedDocument] = []
    book = catalog()
    for number, (label, total) in enumerate(zip(MONTHS, due, strict=False)):
        period = billing_period(book, book.partners[0], label, None)
        assert period is not None
        for again in (True, False) if number == voided else (False,):
            extras = burn_downs(prepaid, period, "EUR", total, documents)
            made = issued(10 * number + again, label, [total], extras)
            documents += [made, credited(number, made)] if again else [made]
        open_amount = Fraction(total)
        for n in order:
            _, _, begins, lasts = granted[n]
            if begins <= number and (lasts is None or number < begins + lasts):
                paid = min(left[n], open_amount)
                left[n], open_amount = left[n] - paid, open_amount - paid
        assert Fraction(made.total) == open_amount
    today = date(2027, 12, 31)
    booked = ledger(prepaid, documents, today)
    assert all(sum(balances(booked[:n]).values()) == 0 for n in range(len(booked) + 1))
    whole = balances(booked)
    for n, (_, _, _, lasts) in enumerate(granted):
        assert whole[f"credit/{ids[n]}", "EUR"] == (left[n] if lasts is None else 0)
    assert Fraction(whole.get((EXPIRED, "EUR"), Decimal(0))) == sum(
        (rest for rest, (*_, lasts) in zip(left, granted, strict=True) if lasts is not None), Fraction(0)
    )
    spent = sum(
        (Decimal(x["amount"]) for d in documents if d.kind == "invoice" for x in d.content["extras"]), Decimal(0)
    )
    back = sum(
        (Decimal(x["amount"]) for d in documents if d.kind != "invoice" for x in d.content["lines"][1:]), Decimal(0)
    )
    assert whole.get((BILLED, "EUR"), Decimal(0)) == -(spent + back)
    assert -whole.get((PREPAID, "EUR"), Decimal(0)) == sum((amount for amount, *_ in granted), Decimal(0))


@pytest.mark.parametrize(
    ("fields", "where", "says"),
    [
        (
            {"commitments": [{"amount": "1", "currency": "USD", "term": "year", "valid_from": "2026-01-01"}]},
            ("commitments", 0, "currency"),
            "is USD, but plan 'plan-a' is priced in EUR",
        ),
        (
            {"commitments": [{"amount": "1", "currency": "EUR", "term": "year", "valid_from": "2026-01-01"}] * 2},
            ("commitments", 1),
            "overlaps an earlier one",
        ),
        (
            {"credits": [{"id": "a", "amount": "1", "currency": "USD", "valid_from": "2026-01-01"}]},
            ("credits", 0, "currency"),
            "is USD, but the partner's plans are priced in EUR, so it would never pay",
        ),
        (
            {"credits": [{"id": "a", "amount": "1", "currency": "EUR", "valid_from": "2026-01-01"}] * 2},
            ("credits", 1, "id"),
            "'a' is defined twice",
        ),
    ],
)
def test_terms_that_contradict_the_catalog_are_refused(
    fields: dict[str, Any], where: tuple[str | int, ...], says: str
) -> None:
    """Each problem names the field and the remedy."""
    (problem,) = checks.problems(catalog(**fields))
    assert problem.where == ("partners", 0, *where)
    assert says in problem.message


def test_a_commitment_has_whole_terms() -> None:
    """A part of a term would need a rule of its own."""
    with pytest.raises(ValueError, match="no whole number of terms of a quarter, which has 3 months"):
        Commitment.model_validate(
            {"valid_from": "2026-01-01", "valid_to": "2026-05-01", "currency": "EUR", "term": "quarter", "amount": "1"}
        )


def test_a_commitment_is_due_at_its_end_without_a_plan() -> None:
    """A partner that left in its last term still owes what lacks."""
    terms = {"amount": "100", "currency": "EUR", "term": "month", "valid_from": "2026-10-01"}
    book = catalog(commitments=[terms], plans=[])
    period = billing_period(book, book.partners[0], "2026-10", None)
    assert period is not None
    (draft,), problems = bills.drafts_of(book, [period], NoUsage())
    assert problems == {}
    assert [(extra.kind, plain(extra.amount)) for extra in draft.extras] == [(ExtraKind.COMMITMENT, "100")]
    assert plain(draft.total) == "100"


class NoUsage:
    """Nothing was used."""

    def of_spans(self, spans: Sequence[Span]) -> list[Decimal]:
        return [Decimal(0) for _ in spans]
