"""Random histories of corrections: whatever happens, the documents of a month sum up to the month, priced once.

The month is reckoned beside the product, in fractions, from what docs/pricing.md and docs/corrections.md say.
"""

import json
import random
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from aggregate.landing.settlement import settle
from billing.invoicing import closing, issuing, stored
from billing.invoicing.comparing.accruals import accruals
from billing.invoicing.corrections import crediting, rebilling
from billing.invoicing.corrections.crediting import CreditRequest
from billing.invoicing.corrections.rebilling import Person
from billing.invoicing.unbilled import unbilled
from lake.lake import Lake
from schemas.catalog.records import Catalog
from tests.billing.catalogs import book, document
from tests.billing.lakes import land, request
from tests.long import LONG

pytestmark = [pytest.mark.integration, pytest.mark.slow]

MONTHS = ("2026-10", "2026-11", "2026-12")
NOW = datetime(2027, 1, 5, tzinfo=UTC)
PRICES = ("0.5", "0.25", "0.333")
CENT = Fraction(1, 100)


def reckoned(count: int, price: str) -> Fraction:
    """What a month costs: the fee of 31.00, and ten requests at `price`, further ones at 0.125, rounded as one line."""
    exact = min(count, 10) * Fraction(price) + max(count - 10, 0) * Fraction(1, 8)
    cents, rest = divmod(exact, CENT)
    return 31 + (cents + (1 if rest * 2 >= CENT else 0)) * CENT


def priced(price: str) -> Catalog:
    """One partner, and a price of the first ten requests."""
    parts = document()
    card = parts["rate_cards"][0]
    card["versions"][0]["rates"][1]["price"]["tiers"][0]["unit_price"] = price
    return book(partners=parts["partners"][:1], rate_cards=[card])


class History:
    """A lake, and what a person with paper and pencil knows about it."""

    def __init__(self, root: Path, seed: int) -> None:
        self.lake, self.root = Lake(root), root
        self.random = random.Random(seed)
        self.landed = 0
        self.counted: dict[str, int] = defaultdict(int)
        self.twice: dict[str, int] = defaultdict(int)  # far duplicates that no settlement has taken out
        self.times: list[tuple[str, str]] = []  # the identities that were landed: name and instant
        self.prices: dict[str, str] = {}  # of issued months
        self.price = PRICES[0]
        land(root, [])

    def usage(self) -> None:
        """Requests of any month, early or late."""
        label = self.random.choice(MONTHS)
        self.landed += 1
        count = self.random.randint(1, 9)
        at = f"{label}-{self.random.randint(2, 9):02}T{self.random.randint(0, 23):02}:00Z"
        names = [f"{self.landed}-{n}" for n in range(count)]
        land(self.root, [request(at, name=name, response_bytes=0) for name in names], f"usage{self.landed}")
        self.counted[label] += count
        self.times += [(name, at) for name in names]

    def far_duplicate(self) -> None:
        """An identity once more, days later: it is counted until the next settlement."""
        if not self.times:
            return
        name, at = self.times.pop(self.random.randrange(len(self.times)))
        self.landed += 1
        again = request(at, name=name, response_bytes=0)
        later = request(f"{at[:8]}2{at[9:]}", name=name, response_bytes=0)
        land(self.root, [later | {"event_id": again["event_id"]}], f"usage{self.landed}")
        self.twice[at[:7]] += 1

    def settlement(self) -> None:
        """What was counted twice is taken out, also of months that are issued."""
        settle(self.lake, now=lambda: NOW)
        self.twice.clear()

    def issue(self) -> None:
        """The next month, after all that were opened again."""
        opened = {period.label for period in closing.reopened_periods(self.lake)}
        for label in sorted(opened) or [next((m for m in MONTHS if m not in self.prices), "")]:
            if label:
                made = closing.close(self.lake, priced(self.price), label, "north", prove=lambda *_: [], now=NOW)
                issuing.issue(self.lake, made, now=NOW)
                self.prices[label] = self.price

    def adjust(self) -> None:
        """Late usage as documents of their own."""
        for label in self.valid_months():
            made = closing.close_late_usage(self.lake, label, "north", prove=lambda *_: [], now=NOW)
            if made is not None:
                issuing.issue(self.lake, made, now=NOW)

    def credit(self) -> None:
        """A part of a line of some document."""
        for row in self.valid("invoice"):
            shown = json.loads(row["document"])
            books = crediting.books_of(self.lake)
            position = self.random.choice([each["position"] for each in shown["lines"]])
            most = min(books.left.of_line(shown, position), books.left.of_whole(shown))
            if most > 0:
                amount = (most * self.random.randint(1, 100) / 100).quantize(Decimal("0.01")) or most
                asked = CreditRequest(line=position, amount=amount)
                crediting.credit(self.lake, row["number"], asked, reason=f"r{self.landed}", by="ana", now=NOW)
                return

    def void(self) -> None:
        """Any document that can be voided."""
        for row in self.valid("invoice", "adjustment"):
            crediting.void(self.lake, row["number"], reason="wrong", by="ana", now=NOW)
            return

    def rebill(self) -> None:
        """An invoice by another price, which later months have, too."""
        for row in self.valid("invoice"):
            self.price = self.random.choice(PRICES)
            person = Person("ana", f"r{self.landed}")
            catalog = priced(self.price)
            rebilling.rebill(self.lake, row["number"], catalog, person, prove=lambda *_: [], now=NOW)
            self.prices[row["period"]] = self.price
            return

    def valid(self, *kinds: str) -> list[dict[str, Any]]:
        """The documents of these kinds that are not voided, in random order."""
        rows = [row for row in stored.rows(self.lake) if row["kind"] in kinds and not row["is_voided"]]
        self.random.shuffle(rows)
        return rows

    def valid_months(self) -> list[str]:
        """The months that are issued and not open."""
        return sorted({row["period"] for row in self.valid("invoice")})

    def worth(self, label: str) -> Fraction:
        """What a month costs with all its usage: at the price of its invoice, or at that of today if it is open."""
        price = self.prices[label] if label in self.valid_months() else self.price
        return reckoned(self.counted[label] + self.twice[label], price)

    def billed_and_accrued(self) -> dict[str, Fraction]:
        """What stands on documents of each month, and what is used and stands on none."""
        sums: dict[str, Fraction] = defaultdict(Fraction)
        for label, amount in self.amounts():
            sums[label] += amount
        for row in accruals(self.lake, priced(self.price), date(2026, 12, 31)).rows:
            sums[row.period] += Fraction(row.amount)
        return {label: sums[label] for label in MONTHS}

    def amounts(self) -> Iterator[tuple[str, Fraction]]:
        """Each amount on each document, with the month that it is about, without credits of documents that are valid.

        A credit of a document that was voided since is a part of its void.
        """
        rows = {row["number"]: row for row in stored.rows(self.lake)}
        shown = {number: json.loads(row["document"]) for number, row in rows.items()}
        for number, row in rows.items():
            if row["correction_id"] is None:
                yield from (about(row["period"], each) for each in entries(shown[number]))
            elif row["voids"] or rows[row["refers_to"]]["is_voided"]:
                for line in shown[number]["lines"]:
                    credited = shown[line["credits"]["number"]]
                    (entry,) = (e for e in entries(credited) if e["position"] == line["credits"]["position"])
                    yield about(credited["period"]["label"], entry)[0], Fraction(line["amount"])


def entries(shown: dict[str, Any]) -> list[dict[str, Any]]:
    return [*shown["lines"], *shown.get("extras", [])]


def about(label: str, entry: dict[str, Any]) -> tuple[str, Fraction]:
    """The month that an amount is about: an adjustment names its own."""
    return (entry["period"] if entry.get("kind") == "adjustment" else label), Fraction(entry["amount"])


@pytest.mark.parametrize("seed", range(60 if LONG else 3))
def test_the_documents_of_a_month_sum_up_to_the_month(tmp_path: Path, seed: int) -> None:
    """After a dozen steps in any order, and once everything that is due is issued: to the cent, month by month."""
    made = History(tmp_path / "lake", seed)
    made.usage()
    made.issue()
    steps = [made.usage, made.usage, made.usage, made.far_duplicate, made.settlement, made.issue, made.adjust]
    for _ in range(12):
        made.random.choice([*steps, made.credit, made.void, made.rebill])()
    assert made.billed_and_accrued() == {m: made.worth(m) for m in MONTHS}
    made.issue()
    made.adjust()
    assert made.billed_and_accrued() == {m: made.worth(m) for m in MONTHS}
    expected = {m: reckoned(made.counted[m] + made.twice[m], made.prices[m]) for m in made.valid_months()}
    sums: dict[str, Fraction] = defaultdict(Fraction)
    for label, amount in made.amounts():
        sums[label] += amount
    assert {label: amount for label, amount in sums.items() if amount} == expected
    assert [row for row in unbilled(made.lake) if row.kind == "late"] == []
    assert [problem for checked in issuing.verify(made.lake) for problem in checked.problems] == []
