"""Payments from a CSV file: read, matched with documents by number, and recorded in the audit trail once each."""

import csv
import io
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import NamedTuple

from billing.receivables import audit
from billing.receivables.audit import AuditEntry
from billing.receivables.items import DocumentState, Item
from lake.lake import Lake
from schemas.money import MINOR_UNITS, plain, with_currency

COLUMNS = ("transaction_id", "date", "amount", "currency", "number")
_SHOWN = 20


class BadPayments(ValueError):
    """The file cannot be read. `problems` has every line with its remedy; nothing of the file is recorded."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(self.problems))


class Payment(NamedTuple):
    """A payment of a document. A negative amount is one that the bank took back."""

    transaction_id: str
    paid_on: date
    amount: Decimal
    currency: str
    number: str

    @property
    def entry(self) -> AuditEntry:
        """The payment as the audit trail has it."""
        facts = {"number": self.number, "amount": plain(self.amount), "currency": self.currency}
        return AuditEntry("payment", self.transaction_id, {**facts, "date": self.paid_on.isoformat()})


class Matched(NamedTuple):
    """What an import records. `unmatched` has a problem with its remedy for each payment that pays no document."""

    payments: Sequence[Payment]
    unmatched: Sequence[str]


def read(text: str) -> list[Payment]:
    """The payments of a CSV with a header and COLUMNS, in any order. Other columns are ignored. Raises BadPayments."""
    reader = csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline=""), strict=True)
    problems: list[str] = []
    found: dict[str, Payment] = {}
    try:
        if missing := [name for name in COLUMNS if name not in (reader.fieldnames or ())]:
            raise BadPayments([f"the header lacks {', '.join(missing)}; it must have {', '.join(COLUMNS)}"])
        for row in reader:
            where = f"line {reader.line_num}"
            payment, wrong = _payment(row)
            problems += [f"{where}: {problem}" for problem in wrong]
            if payment is None:
                continue
            if found.setdefault(payment.transaction_id, payment) != payment:
                problems.append(f"{where}: transaction {payment.transaction_id} is there twice with different values")
    except csv.Error as exc:
        problems.append(f"line {reader.line_num}: {exc}")
    if problems:
        raise BadPayments(problems[:_SHOWN])
    return list(found.values())


def matched(payments: Sequence[Payment], documents: Sequence[Item], trail: Sequence[audit.AuditRow]) -> Matched:
    """Match payments with documents. A payment that is recorded already is matched again, and changes nothing."""
    by_number = {item.number: item for item in documents}
    recorded = {row.subject: row for row in trail if row.what == "payment"}
    good, unmatched = [], []
    for payment in payments:
        known = recorded.get(payment.transaction_id)
        if known is not None and known.content != dict(payment.entry.facts):
            problem: str | None = (
                f"it was recorded as {with_currency(Decimal(known.content['amount']), known.content['currency'])} of {known.content['date']} for "
                f"{known.content['number']}, and the trail is never changed; give another payment another transaction_id"
            )
        else:
            problem = _problem(payment, by_number.get(payment.number))
        if problem is not None:
            unmatched.append(f"transaction {payment.transaction_id}: {problem}")
        else:
            good.append(payment)
    return Matched(good, unmatched)


def record(lake: Lake, found: Matched, *, by: str, now: datetime) -> list[str]:
    """Record matched payments, each once. Returns the transaction ids of those that are new."""
    return [row.subject for row in audit.record(lake, [payment.entry for payment in found.payments], by=by, now=now)]


def _problem(payment: Payment, item: Item | None) -> str | None:
    if item is None:
        return f"no document {payment.number!r}; correct `number`, then import the file again"
    if item.currency != payment.currency:
        return f"{item.number} is in {item.currency}, and the payment in {payment.currency}; book it by hand"
    if item.kind == "credit_note":
        return f"{item.number} is a credit note, which nobody pays; name the invoice"
    if item.state is DocumentState.VOID and payment.amount > 0:
        return f"{item.number} is void; name the invoice that replaces it, or pay the amount back"
    return None


def _payment(row: Mapping[str, str | None]) -> tuple[Payment | None, list[str]]:
    values = {name: (row.get(name) or "").strip() for name in COLUMNS}
    problems = [f"`{name}` is empty" for name, value in values.items() if not value]
    if problems:
        return None, problems
    paid_on, amount = _day(values["date"]), _amount(values["amount"])
    places = MINOR_UNITS.get(values["currency"])
    if paid_on is None:
        problems.append(f"date {values['date']!r} is not a day, such as 2026-11-20")
    if amount is None or not amount:
        problems.append(f"amount {values['amount']!r} is not an amount, such as 36.33 or -5.00")
    if places is None:
        problems.append(f"currency {values['currency']!r} is unknown; write its three letters, such as EUR")
    elif amount and amount != amount.quantize(Decimal(1).scaleb(-places)):
        problems.append(f"amount {values['amount']} has more than the {places} decimals of {values['currency']}")
    if paid_on is None or amount is None or problems:
        return None, problems
    return Payment(values["transaction_id"], paid_on, amount, values["currency"], values["number"]), []


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _amount(text: str) -> Decimal | None:
    """Digits with a point. A comma is refused, since it may separate decimals or thousands."""
    if not text.isascii() or set(text) - set("0123456789.-+") or len(text) > _SHOWN:
        return None
    try:
        return Decimal(text)
    except InvalidOperation:
        return None
