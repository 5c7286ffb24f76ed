"""A history as a story with corrections in it: credits by amount and by quantity, voids, rebills, late lines between.

A lake is on one side, and what a person with paper and pencil knows of its documents on the other. What rests on other
documents is left out of the contracts: commitments, prepaid credits and fees in advance.
"""

import copy
import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import ROUND_FLOOR, Decimal
from fractions import Fraction
from pathlib import Path
from random import Random
from typing import Any

from billing.invoicing import closing, issuing, stored
from billing.invoicing.closing import Refused
from billing.invoicing.corrections import crediting, rebilling
from billing.invoicing.corrections.crediting import CreditRequest
from billing.invoicing.corrections.rebilling import Person
from lake.lake import Lake
from schemas.catalog.records import Catalog
from schemas.windows import to_us
from tests.aggregate.fixtures import event as row_of
from tests.billing.lakes import land
from tests.reckoning import reckoning
from tests.reckoning.agreed import Document
from tests.reckoning.balance import Run, issue
from tests.reckoning.histories import History
from tests.reckoning.reckoning import PLACES, Event, Outcome, Record, Settled, number

NOW = datetime(2030, 1, 1, tzinfo=UTC)
Month = tuple[str, str]  # a partner and a label


def alone(made: History) -> History:
    """The history without terms that rest on other documents."""
    runs = [Run(run.label, copy.deepcopy(run.catalog)) for run in made.runs]
    for partner in (partner for run in runs for partner in run.catalog["partners"]):
        for name in ("commitments", "credits"):
            partner.pop(name, None)
        partner["fees"] = [fee for fee in partner.get("fees", []) if fee.get("due") != "advance"]
    return made._replace(runs=runs)


def is_usable(made: History) -> bool:
    """Whether each month is issued once and none is blocked, so that all usage is on documents in the end."""
    settled: list[Settled] = []
    documents: list[Document] = []
    outcomes = [issue(run, made.events, settled, documents) for run in made.runs]
    months = [(period.partner, period.start_us) for period in settled]
    return len({run.label for run in made.runs}) == len(made.runs) and not any(
        one.problems for outcome in outcomes for one in outcome.values()
    ) and len(months) == len(set(months))  # fmt: skip


class Less:
    """Usage of which some is taken off one span."""

    def __init__(self, usage: reckoning.Usage, meter: str, span: tuple[int, int], raw: Fraction) -> None:
        self._usage, self._meter, self._span, self._raw = usage, meter, span, raw

    def counted(self, partner: str, meter: str, start_us: int, end_us: int) -> Fraction:
        found = self._usage.counted(partner, meter, start_us, end_us)
        return found - self._raw if (meter, (start_us, end_us)) == (self._meter, self._span) else found

    def __getattr__(self, name: str) -> Any:
        """Everything else is that of the usage."""
        return getattr(self._usage, name)


class Story:
    """A lake, and beside it what a person with paper and pencil knows of its documents."""

    def __init__(self, root: Path, made: History) -> None:
        self.lake, self.root, self.made = Lake(root), root, made
        self.random = Random(made.seed)
        self.landed: list[Event] = []
        self.waiting = list(made.events)
        self.catalog: Record = made.runs[0].catalog
        self.spans: dict[Month, tuple[int, int]] = {}
        self.priced_by: dict[Month, Record] = {}  # the catalog that holds for a month
        self.seen: dict[str, int] = {}  # of an invoice, how many events had landed when it was closed
        self.credited: dict[tuple[str, int], Fraction] = defaultdict(Fraction)  # quantities, by invoice and line
        self.done: Counter[str] = Counter()
        self.wrong: list[str] = []  # what was refused, or came to another amount than by the pages
        land(root, [])

    def play(self) -> None:
        settled: list[Settled] = []
        documents: list[Document] = []
        for run in self.made.runs:
            expected = issue(run, self.made.events, settled, documents)
            self.catalog = run.catalog
            last = max(
                reckoning.month_bounds(partner["time_zone"], run.label)[1] for partner in run.catalog["partners"]
            )
            self._land(
                lambda event, last=last: event.at_us < last + 2 * reckoning.DAY_US and self.random.random() < 0.7
            )  # type: ignore[misc]
            self._open_again()
            for name, one in expected.items():
                if one.settled:
                    self.spans[name, run.label] = one.settled.start_us, one.settled.end_us
                    self.priced_by[name, run.label] = run.catalog
            self._issue(run.label, self._entities())
            for _ in range(self.random.randint(1, 4)):
                self.random.choice(
                    [self.credit, self.credit_quantity, self.credit_quantity, self.void, self.rebill, self.late]
                )()
        self._land(lambda _: True)
        self._open_again()
        self.adjust()

    # What happens

    def late(self) -> None:
        """Usage that comes late, and sometimes documents of its own for it."""
        self._land(lambda event: self.random.random() < 0.3)
        if self.random.random() < 0.5:
            self._open_again()
            self.adjust()

    def adjust(self) -> None:
        for label, entity in sorted({(close.period, close.legal_entity) for close in closing.all_closes(self.lake)}):
            try:
                made = closing.close_late_usage(self.lake, label, entity, prove=lambda *_: [], now=NOW)
            except Refused:
                continue  # nothing of it is settled any more
            if made is not None:
                issuing.issue(self.lake, made, now=NOW)
                self.done["adjusted"] += 1

    def credit(self) -> None:
        """A part of a line, by an amount: at most the half, so that other documents can always be credited."""
        for row, shown in self._invoices():
            left = crediting.books_of(self.lake).left
            for line in shown["lines"]:
                most = min(left.of_line(shown, line["position"]), left.of_whole(shown)) / 2
                amount = most.quantize(Decimal(1).scaleb(-PLACES[row["currency"]]), rounding=ROUND_FLOOR)
                if amount > 0 and not any(extra["kind"] == "adjustment" for extra in shown.get("extras", [])):
                    asked = CreditRequest(line=line["position"], amount=amount)
                    crediting.credit(self.lake, row["number"], asked, reason=self._reason(), by="ana", now=NOW)
                    self.done["credited"] += 1
                    return

    def credit_quantity(self) -> None:
        """A part of a line's usage: what the month costs less by the pages, or a refusal if that is nothing."""
        for row, shown in self._invoices():
            metered = [line for line in shown["lines"] if line["meter"]]
            if not metered or any(extra["kind"] == "adjustment" for extra in shown.get("extras", [])):
                continue
            line = self.random.choice(metered)
            used = number((line.get("converted_from") or line)["quantity"])
            same = [other["position"] for other in metered if _usage_of(other) == _usage_of(line)]
            before = sum((self.credited[row["number"], position] for position in same), Fraction(0))
            quantity = min(used - before, Fraction(self.random.randint(1, 9), self.random.choice([1, 1, 4])))
            if quantity <= 0:
                continue
            expected = self._costs(row, shown, line, before) - self._costs(row, shown, line, before + quantity)
            asked = CreditRequest(line=line["position"], quantity=Decimal(quantity.numerator) / quantity.denominator)
            untouched = not any(other["refers_to"] == row["number"] for other in stored.rows(self.lake))
            try:
                note = crediting.credit(self.lake, row["number"], asked, reason=self._reason(), by="ana", now=NOW)
            except Refused as refused:
                if 0 < expected <= Fraction(shown["total"]) and untouched and not _has_rebates(shown):
                    self.wrong.append(
                        f"{shown} less {quantity} at line {line['position']}: {refused.problems}, not {expected}"
                    )
                continue
            if -Fraction(note.document["total"]) != expected:
                self.wrong.append(
                    f"{shown} less {quantity} at line {line['position']}: {note.document}, not {expected}"
                )
            self.credited[row["number"], line["position"]] += quantity
            self.done["credited by quantity"] += 1
            return

    def void(self) -> None:
        for row, _ in self._invoices():
            if self._can_be_billed(row):
                crediting.void(self.lake, row["number"], reason="wrong", by="ana", now=NOW)
                self.done["voided"] += 1
                if self.random.random() < 0.5:
                    self._land(lambda event: self.random.random() < 0.3)
                return

    def rebill(self) -> None:
        self._open_again()
        for row, _ in self._invoices():
            if self._can_be_billed(row):
                person, catalog = Person("ana", self._reason()), Catalog.model_validate(self.catalog)
                rebilling.rebill(self.lake, row["number"], catalog, person, prove=lambda *_: [], now=NOW)
                self.priced_by[row["partner_id"], row["period"]] = self.catalog
                self._note_what_landed()
                self.done["rebilled"] += 1
                return

    def _open_again(self) -> None:
        """Months of voided invoices are billed again, by the catalog of today."""
        for period in closing.reopened_periods(self.lake):
            partner = self._partner(period.partner_id)
            self._issue(period.label, [partner["legal_entity"]])
            self.priced_by[period.partner_id, period.label] = self.catalog

    def _issue(self, label: str, entities: list[str]) -> None:
        for entity in entities:
            try:
                made = closing.close(
                    self.lake, Catalog.model_validate(self.catalog), label, entity, prove=lambda *_: [], now=NOW
                )
            except Refused as refused:
                self.wrong += refused.problems
                continue
            issuing.issue(self.lake, made, now=NOW)
        self._note_what_landed()

    def _land(self, wanted: Any) -> None:
        known = {partner["id"] for partner in self.catalog["partners"]}
        chosen = [event.partner in known and wanted(event) for event in self.waiting]
        come = [event for event, is_chosen in zip(self.waiting, chosen, strict=True) if is_chosen]
        if not come:
            return
        rows = [
            row_of(
                f"e{len(self.landed) + n}", event.at_us, partner_id=event.partner, method=event.method, route=event.route,
                status=event.status, request_bytes=event.request_bytes, response_bytes=event.response_bytes, latency_us=event.latency_us,
            )
            for n, event in enumerate(come)
        ]  # fmt: skip
        land(self.root, rows, f"g{len(self.landed)}")
        self.waiting = [event for event, is_chosen in zip(self.waiting, chosen, strict=True) if not is_chosen]
        self.landed += come

    # What a person knows

    def _entities(self) -> list[str]:
        return sorted({partner["legal_entity"] for partner in self.catalog["partners"] if "legal_entity" in partner})

    def _partner(self, name: str) -> Record:
        return next(partner for partner in self.catalog["partners"] if partner["id"] == name)

    def _reason(self) -> str:
        return f"reason {sum(self.done.values())}"

    def _invoices(self) -> list[tuple[dict[str, Any], dict[str, Any]]]:
        """The valid invoices with their documents, in random order."""
        rows = [row for row in stored.rows(self.lake) if row["kind"] == "invoice" and not row["is_voided"]]
        self.random.shuffle(rows)
        return [(row, json.loads(row["document"])) for row in rows]

    def _note_what_landed(self) -> None:
        for row in stored.rows(self.lake):
            self.seen.setdefault(row["number"], len(self.landed))

    def _can_be_billed(self, row: dict[str, Any]) -> bool:
        """Whether the month can be billed by the catalog of today, with whatever comes late."""
        return not self._priced(self.catalog, (row["partner_id"], row["period"]), self.made.events).problems

    def _priced(self, catalog: Record, month: Month, events: list[Event], less: Any = None) -> Outcome:
        partner = next(partner for partner in catalog["partners"] if partner["id"] == month[0])
        usage = reckoning.Usage(catalog, events)
        return reckoning.priced(catalog, partner, month[1], less(usage) if less else usage, self.spans[month])

    def _costs(self, row: dict[str, Any], shown: dict[str, Any], line: dict[str, Any], quantity: Fraction) -> Fraction:
        """What an invoice costs by the pages, with a quantity less on the span of a line."""
        span = tuple(to_us(datetime.fromisoformat(line[bound])) for bound in ("from", "to"))
        month = shown["buyer"]["id"], shown["period"]["label"]
        outcome = self._priced(
            self.priced_by[month], month, self.landed[: self.seen[row["number"]]],
            lambda usage: Less(usage, line["meter"], span, quantity),  # type: ignore[arg-type]
        )  # fmt: skip
        assert not outcome.problems
        return _total(outcome)

    def worth(self) -> dict[tuple[str, str, str], Fraction]:
        """Each month, priced once with everything, by the catalog that holds for it."""
        found = {}
        for month, catalog in self.priced_by.items():
            outcome = self._priced(catalog, month, self.made.events)
            assert not outcome.problems, outcome.problems
            if outcome.bill:
                found[(*month, outcome.bill.currency)] = _total(outcome)
        return {key: amount for key, amount in found.items() if amount}

    def billed(self) -> dict[tuple[str, str, str], Fraction]:
        """What all documents about a month come to, without credits that a person gave and that still hold."""
        rows = {row["number"]: row for row in stored.rows(self.lake)}
        sums: dict[tuple[str, str, str], Fraction] = defaultdict(Fraction)
        for row in rows.values():
            for label, amount in _about(row, rows):
                sums[row["partner_id"], label, row["currency"]] += amount
        return {key: amount for key, amount in sums.items() if amount}

    def by_hand(self) -> Fraction:
        """What a person credited on invoices that were not voided later."""
        rows = {row["number"]: row for row in stored.rows(self.lake)}
        return -sum(
            (Fraction(row["total"]) for row in rows.values() if _is_by_hand(row, rows)),
            Fraction(0),
        )


def _usage_of(line: dict[str, Any]) -> tuple[str, ...]:
    return line["plan"], line["meter"], line["from"]


def _has_rebates(shown: dict[str, Any]) -> bool:
    """Whether a line is negative, of which nothing can be credited."""
    return any(Fraction(line["amount"]) < 0 for line in shown["lines"])


def _total(outcome: Outcome) -> Fraction:
    return Fraction(outcome.bill.total, 10 ** PLACES[outcome.bill.currency]) if outcome.bill else Fraction(0)


def _is_by_hand(row: dict[str, Any], rows: dict[str, dict[str, Any]]) -> bool:
    return row["correction_id"] is not None and not row["voids"] and not rows[row["refers_to"]]["is_voided"]


def _about(row: dict[str, Any], rows: dict[str, dict[str, Any]]) -> Iterator[tuple[str, Fraction]]:
    """Each amount of a document, with the month that it is about: an adjustment names its own."""
    shown = json.loads(row["document"])
    if row["correction_id"] is None:
        for one in _entries(shown):
            yield _label(shown, one), Fraction(one["amount"])
    elif not _is_by_hand(row, rows):
        for line in shown["lines"]:
            credited = json.loads(rows[line["credits"]["number"]]["document"])
            named = [one for one in _entries(credited) if one["position"] == line["credits"]["position"]]
            yield _label(credited, named[0] if named else {}), Fraction(line["amount"])


def _entries(shown: dict[str, Any]) -> list[dict[str, Any]]:
    return [*shown["lines"], *shown.get("extras", [])]


def _label(shown: dict[str, Any], one: dict[str, Any]) -> str:
    return str(one["period"] if one.get("kind") == "adjustment" else shown["period"]["label"])
