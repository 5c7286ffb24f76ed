"""The product's bills against the reckoning: every invoice, who gets none, who is blocked, and what is settled, to the
last unit.

A failure names the seed: `python -m tests.reckoning SEED` prints the history and both sides.
"""

import json
from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pytest

from billing.invoicing import document
from billing.rating import bills
from billing.rating.drafts import Draft
from billing.rating.issued import IssuedDocument
from schemas.catalog.records import Catalog
from schemas.windows import from_us, to_us
from tests.long import LONG
from tests.reckoning import reckoning
from tests.reckoning.agreed import Document
from tests.reckoning.balance import Run, issue
from tests.reckoning.histories import History, history
from tests.reckoning.reckoning import PLACES, Outcome, Settled

pytestmark = pytest.mark.integration

SEEDS = 10_000 if LONG else 300
CHUNK = 500 if LONG else 30


class Memory:
    """Usage in memory, filtered as the reckoning filters: the product prices it, and asks for whatever spans it
    likes.
    """

    def __init__(self, catalog: dict[str, Any], made: History) -> None:
        self._usage = reckoning.Usage(catalog, made.events)

    def of_spans(self, spans: Sequence[Any]) -> list[Decimal]:
        return [Decimal(self._usage.raw(s.partner_id, s.meter, to_us(s.start), to_us(s.end))) for s in spans]


@pytest.mark.sampled(keep=2)
@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_bills_are_what_the_pages_say(first: int) -> None:
    for seed in range(first, first + CHUNK):
        found = differences(history(seed))
        assert not found, "\n".join([f"seed {seed}", *found])


def differences(made: History) -> list[str]:
    """How the product differs, run after run. Each side is told what it settled itself."""
    theirs: list[Settled] = []
    their_documents: list[Document] = []
    ours: dict[str, datetime] = {}
    our_documents: dict[str, list[IssuedDocument]] = {}
    found = []
    for n, run in enumerate(made.runs):
        expected = issue(run, made.events, theirs, their_documents)
        catalog = Catalog.model_validate(run.catalog)
        made_bills = bills.bills(catalog, run.label, Memory(run.catalog, made), ours, before=our_documents)
        for draft in made_bills.drafts:
            our_documents.setdefault(draft.partner.id, []).append(as_issued(catalog, run.label, draft))
        ours |= {partner: end for partner, (_, end) in made_bills.settled.items()}
        found += [f"run {n}, {run.label}, {problem}" for problem in _differing(run, expected, made_bills)]
    return found


def as_issued(catalog: Catalog, label: str, draft: Draft) -> IssuedDocument:
    """The document of a draft, as later bills see it."""
    content = {
        "legal_entity": draft.partner.legal_entity, "period": label, "usage": {draft.partner.id: ""}, "catalog_sha256": "",
        "rules": 2, "code_version": "", "versions": {"events": 0, "rollups": 0},
    }  # fmt: skip
    number = f"{draft.partner.id}-{label}"
    shown = document.invoice("", content, catalog, draft, number=number, issued_on=date(2030, 1, 1))
    return IssuedDocument(
        number, "invoice", draft.partner.id, label, draft.currency, draft.total, "", json.dumps(shown)
    )


def _differing(run: Run, expected: dict[str, Outcome], made: Any) -> list[str]:
    drafts = {draft.partner.id: draft for draft in made.drafts}
    assert len(drafts) == len(made.drafts), "one bill for each partner"
    found = []
    for partner, outcome in expected.items():
        wanted = as_wanted(outcome)
        got = as_made(partner, drafts.get(partner), made)
        found += [
            f"{partner}: {key}: {wanted[key]} by the pages, {got[key]} by the product"
            for key in wanted
            if wanted[key] != got[key]
        ]
    unknown = {*drafts, *made.settled, *made.blocked} - set(expected)
    return [*found, *(f"{partner} is not in the catalog" for partner in unknown)]


def as_wanted(outcome: Outcome) -> dict[str, Any]:
    bill = outcome.bill
    return {
        "is blocked": bool(outcome.problems),
        "settles": outcome.settled and (from_us(outcome.settled.start_us), from_us(outcome.settled.end_us)),
        "currency": bill and bill.currency,
        "total": bill and _money(bill.total, bill.currency),
        "by contract": bill and [(one.kind, _money(one.units, bill.currency)) for one in bill.amounts],
        "lines": bill
        and [
            (line.plan, line.meter, from_us(line.start_us), from_us(line.end_us), _money(line.amount, bill.currency))
            for line in bill.lines
        ],
    }


def as_made(partner: str, draft: Any, made: Any) -> dict[str, Any]:
    return {
        "is blocked": partner in made.blocked and bool(made.blocked[partner]),
        "settles": made.settled.get(partner),
        "currency": draft and draft.currency,
        "total": draft and draft.total,
        "by contract": draft and [(extra.kind.value, extra.amount) for extra in draft.extras],
        "lines": draft
        and [(line.plan.id, line.rate.meter, line.start, line.end, line.charge.amount) for line in draft.lines],
    }


def _money(minor_units: int, currency: str) -> Decimal:
    return Decimal(minor_units).scaleb(-PLACES[currency])
