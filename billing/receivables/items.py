"""Issued documents with their states and what is open of them: a pure function of rows, and of a day.

As of a day counts what was issued, sent and paid up to and including it; without a day, everything. A credit note
reduces what is open of the document that it refers to. Days of records are those of UTC.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date
from decimal import Decimal
from enum import StrEnum
from typing import Any, NamedTuple

from billing.receivables.audit import AuditRow

# The last day of each age since issue; what is older comes after.
AGES = ((30, "0-30"), (60, "31-60"), (90, "61-90"))
OLDER = "90+"
_CREDIT_NOTE = "credit_note"


class DocumentState(StrEnum):
    """The state of a document. Only bills of a close that is not issued are drafts or approved."""

    DRAFT = "draft"
    APPROVED = "approved"
    ISSUED = "issued"
    SENT = "sent"
    PAID = "paid"
    VOID = "void"


class Item(NamedTuple):
    """An issued document. `open` = `total` + `credited` (not positive) - `paid`; negative if too much was paid."""

    number: str
    kind: str
    partner_id: str
    legal_entity: str
    period: str
    currency: str
    total: Decimal
    issued_on: date
    due_on: date
    state: DocumentState
    credited: Decimal
    paid: Decimal
    open: Decimal

    def is_overdue(self, on: date) -> bool:
        """Whether something is open after the day on which it was due."""
        return self.open > 0 and self.due_on < on

    def age(self, on: date) -> str:
        """How long ago it was issued, as one of the ages."""
        days = (on - self.issued_on).days
        return next((name for last, name in AGES if days <= last), OLDER)


class Aged(NamedTuple):
    """What is open of one partner in one currency, by age."""

    partner_id: str
    currency: str
    by_age: Mapping[str, Decimal]

    @property
    def total(self) -> Decimal:
        """The sum over all ages."""
        return sum(self.by_age.values(), Decimal(0))


def items(rows: Sequence[Mapping[str, Any]], trail: Sequence[AuditRow], on: date | None = None) -> list[Item]:
    """The documents of `rows` (billing/sql/invoices.sql), as of a day, in the order of the rows."""
    on = on or date.max
    there = [(row, json.loads(row["document"])) for row in rows]
    there = [(row, document) for row, document in there if _day(document["issued_on"]) <= on]
    numbers = {row["number"] for row, _ in there}
    voided = {row["refers_to"] for row, _ in there if row["voids"]}
    credited: dict[str, Decimal] = {}
    for row, _ in there:
        if _settles_another(row, numbers):
            credited[row["refers_to"]] = credited.get(row["refers_to"], Decimal(0)) + row["total"]
    sent = {row.subject for row in trail if row.what == "sent" and row.recorded_at.astimezone(UTC).date() <= on}
    paid = payments(trail, on)
    found = []
    for row, document in there:
        number = row["number"]
        mine, credits_ = paid.get(number, Decimal(0)), credited.get(number, Decimal(0))
        nets = _settles_another(row, numbers)
        left = (Decimal(0) if nets else row["total"] + credits_) - mine
        is_paid = left <= 0 and row["kind"] != _CREDIT_NOTE
        state = DocumentState.PAID if is_paid else DocumentState.SENT if number in sent else DocumentState.ISSUED
        state = DocumentState.VOID if number in voided else state
        issued_on = _day(document["issued_on"])
        due_on = _day(document["due_on"]) if document.get("due_on") else issued_on
        entity = row["legal_entity"] or document["seller"]["id"]
        found.append(
            Item(
                number, row["kind"], row["partner_id"], entity, row["period"], row["currency"], row["total"], issued_on, due_on, state,
                credits_, mine, left,
            )
        )  # fmt: skip
    return found


def payments(trail: Iterable[AuditRow], on: date = date.max) -> dict[str, Decimal]:
    """What was paid of each document as of a day, by number."""
    paid: dict[str, Decimal] = {}
    for row in trail:
        if row.what == "payment":
            facts = row.content
            if _day(facts["date"]) <= on:
                paid[facts["number"]] = paid.get(facts["number"], Decimal(0)) + Decimal(facts["amount"])
    return paid


def aged(found: Iterable[Item], on: date) -> list[Aged]:
    """What is open, by partner and currency. Partners of whom nothing is open are left out."""
    sums: dict[tuple[str, str], dict[str, Decimal]] = {}
    for item in found:
        if item.open:
            by_age = sums.setdefault(
                (item.partner_id, item.currency), dict.fromkeys([n for _, n in AGES] + [OLDER], Decimal(0))
            )
            by_age[item.age(on)] += item.open
    return [Aged(partner_id, currency, by_age) for (partner_id, currency), by_age in sorted(sums.items())]


def _settles_another(row: Mapping[str, Any], numbers: set[str]) -> bool:
    """Whether this is a credit note that reduces another document, so that nothing is open of it alone."""
    return row["kind"] == _CREDIT_NOTE and row["refers_to"] in numbers


def _day(text: str) -> date:
    return date.fromisoformat(text)
