"""Credits and voids issued invoices: checks what is left, records the correction, and issues its credit note."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

import pyarrow as pa

from billing.invoicing import closing, render, stored
from billing.invoicing.closing import Close, Refused
from billing.invoicing.corrections import notes, records
from billing.invoicing.corrections.amounts import Left, entry
from billing.invoicing.corrections.records import Correction, CreditedLine
from billing.invoicing.corrections.repricing import LessUsage, credited_for
from billing.invoicing.stored import Staged
from billing.rating.extras import ExtraKind
from billing.receivables import audit
from lake.lake import Lake, Table
from schemas.money import EXACT, MINOR_UNITS, plain, with_currency
from schemas.tables import INVOICES

_SHOWN = 20


ZERO = Decimal(0)


class IssuedBooks(NamedTuple):
    """The issued documents at one version of table `invoices`, and the corrections among them."""

    table: Table
    rows: Sequence[Mapping[str, Any]]
    corrections: Sequence[Correction]
    closes: Mapping[str, Close]

    @property
    def left(self) -> Left:
        """What is left of each document."""
        return Left(self.corrections)

    def original(self, number: str) -> Mapping[str, Any]:
        """The row of an invoice that a person names. Raises Refused if it cannot be corrected."""
        found = {row["number"]: row for row in self.rows}
        if number not in found:
            known = ", ".join(list(found)[:_SHOWN]) or "none"
            raise Refused([f"no invoice {number!r} in this lake; issued documents: {known}"])
        row = found[number]
        if row["kind"] == "credit_note":
            raise Refused([f"{number} is a credit note, which cannot be corrected; correct {row['refers_to']} instead"])
        return row

    def still_valid(self, row: Mapping[str, Any]) -> None:
        """Raises Refused if the document was voided."""
        for each in self.rows:
            if each["voids"] and each["refers_to"] == row["number"]:
                raise Refused([f"{row['number']} was voided by credit note {each['number']}; nothing of it is left"])

    def answered(
        self, what: str, number: str, asked: Mapping[str, Any], reason: str, by: str
    ) -> Mapping[str, Any] | None:
        """The credit note with which the same command was answered before, or None."""
        wanted = {"what": what, "number": number, "asked": dict(asked), "reason": reason, "by": by}
        for made in self.corrections:
            content = made.content
            if all(content[name] == value for name, value in wanted.items()):
                return next(row for row in self.rows if row["correction_id"] == made.correction_id)
        return None


class CreditNote(NamedTuple):
    """An issued credit note. `is_new` is false if an equal command issued it before."""

    number: str
    document: Mapping[str, Any]
    is_new: bool


class CreditRequest(NamedTuple):
    """What is to be credited: `amount` or `quantity`, on the line at position `line` or on the whole invoice."""

    line: int | None = None
    amount: Decimal | None = None
    quantity: Decimal | None = None

    def as_json(self) -> dict[str, Any]:
        """The request as a correction stores it."""
        return {
            "line": self.line,
            "amount": None if self.amount is None else plain(self.amount),
            "quantity": None if self.quantity is None else plain(self.quantity),
        }


def books_of(lake: Lake) -> IssuedBooks:
    """The issued documents and their corrections, at the newest version of table `invoices`."""
    lake.widen(INVOICES)
    table = lake.open(INVOICES)
    rows = stored.rows(lake, table.version)
    return IssuedBooks(table, rows, records.effective(rows, records.recorded(lake)), closing.closes_by_id(lake))


def credit(lake: Lake, number: str, asked: CreditRequest, *, reason: str, by: str, now: datetime) -> CreditNote:
    """Issues a credit note over a part of an invoice. The same command again changes nothing.

    Raises Refused if less is left than is asked for, and lake.errors.Fenced if another process issues a document.
    """
    books = books_of(lake)
    row = books.original(number)
    if before := books.answered("credit", number, asked.as_json(), reason, by):
        record_in_trail(lake, before["correction_id"], now)
        return again(lake, before)
    books.still_valid(row)
    lines = _credited(lake, books, row, asked)
    made = records.correction("credit", row, lines, asked=asked.as_json(), reason=reason, by=by, now=now)
    return _issued(lake, books, made, row, now)


def void(lake: Lake, number: str, *, reason: str, by: str, now: datetime) -> CreditNote:
    """Issues a credit note over all that is left of an invoice, and opens its period for another close.

    The same command again changes nothing. Raises Refused if it is voided already, and lake.errors.Fenced.
    """
    books = books_of(lake)
    row = books.original(number)
    if before := books.answered("void", number, {}, reason, by):
        record_in_trail(lake, before["correction_id"], now)
        return again(lake, before)
    made = voiding(books, row, "void", asked={}, reason=reason, by=by, now=now)
    return _issued(lake, books, made, row, now)


def voiding(
    books: IssuedBooks,
    row: Mapping[str, Any],
    what: str,
    *,
    asked: Mapping[str, Any],
    reason: str,
    by: str,
    now: datetime,
) -> Correction:
    """The correction that credits whatever is left of a document. Raises Refused if it was voided.

    The period of an invoice is billed anew with all its usage. So what other documents adjusted of it is credited, too.
    """
    books.still_valid(row)
    lines = books.left.all_of(json.loads(row["document"]))
    if row["kind"] == "invoice":
        lines += [line for other in books.rows if other is not row for line in _adjusted(books, row, other)]
    return records.correction(what, row, lines, asked=asked, reason=reason, by=by, now=now)


def _adjusted(books: IssuedBooks, row: Mapping[str, Any], other: Mapping[str, Any]) -> list[CreditedLine]:
    """Lines that credit what is left of the adjustments of an invoice on another document."""
    if other["partner_id"] != row["partner_id"] or other["is_voided"] or other["correction_id"] is not None:
        return []
    document = json.loads(other["document"])
    some = [
        extra
        for extra in document.get("extras", ())
        if extra["kind"] == ExtraKind.ADJUSTMENT and extra["close_id"] == row["close_id"]
    ]
    lines = books.left.of_entries(document, some)
    # What was credited on the document as a whole is not credited again. Negative lines count before that is known.
    excess = EXACT.subtract(sum((line.amount for line in lines), ZERO), books.left.of_whole(document))
    found = []
    for line in lines:
        less = max(min(line.amount, excess), ZERO)
        excess = EXACT.subtract(excess, less)
        if amount := EXACT.subtract(line.amount, less):
            found.append(line._replace(amount=amount))
    return found


def _credited(lake: Lake, books: IssuedBooks, row: Mapping[str, Any], asked: CreditRequest) -> list[CreditedLine]:
    """The lines of a credit, checked against what is left. Raises Refused."""
    number, document, currency = row["number"], json.loads(row["document"]), row["currency"]
    if asked.line is not None:
        _line_of(document, asked.line)
    if asked.quantity is not None:
        if asked.line is None:
            raise Refused([f"{number}: a quantity is credited on one line; name it with --line"])
        lines = _by_quantity(lake, books, row, document, asked.line, asked.quantity)
    else:
        assert asked.amount is not None
        amount = asked.amount
        if amount <= 0 or amount != amount.quantize(Decimal(1).scaleb(-MINOR_UNITS[currency])):
            raise Refused([f"amount {plain(amount)} is not above 0 with at most {MINOR_UNITS[currency]} decimals, which {currency} has"])  # fmt: skip
        lines = [CreditedLine(number, asked.line, None, amount)]
    for line in lines:
        most = ZERO if line.position is None else books.left.of_line(document, line.position)
        if line.position is not None and (line.amount > most if most >= 0 else line.amount < most):
            asked_for, left = with_currency(line.amount, currency), with_currency(most, currency)
            raise Refused([f"{number}: {asked_for} is more than is left of line {line.position}: {left}"])
    total, most = sum((line.amount for line in lines), ZERO), books.left.of_whole(document)
    if asked.quantity is not None and total <= 0:
        raise Refused([f"{number}: without {plain(asked.quantity)} it costs the same, for example because of its minimum; credit an amount"])  # fmt: skip
    if total > most:
        raise Refused([f"{number}: {with_currency(total, currency)} is more than is left of the invoice: {with_currency(most, currency)}"])  # fmt: skip
    return lines


def _line_of(document: Mapping[str, Any], position: int) -> Mapping[str, Any]:
    try:
        return entry(document, position)
    except KeyError:
        last = len(document["lines"]) + len(document.get("extras", []))
        raise Refused([f"{document['number']} has no line {position}; its lines are 1 to {last}"]) from None


def _by_quantity(
    lake: Lake,
    books: IssuedBooks,
    row: Mapping[str, Any],
    document: Mapping[str, Any],
    position: int,
    quantity: Decimal,
) -> list[CreditedLine]:
    line = _line_of(document, position)
    if not line.get("meter") or "billed_quantity" not in line:
        raise Refused([f"{row['number']}: line {position} has no quantity; credit an amount of it"])
    credited = sum(
        (books.left.quantity_credited(row["number"], each["position"]) for each in document["lines"] if _is_same_usage(each, line)), ZERO
    )  # fmt: skip
    used = line.get("converted_from") or line  # in the unit of the meter, even if the rate converts it
    most = Decimal(used["quantity"]) - credited
    if not 0 < quantity <= most:
        raise Refused([f"{row['number']}: quantity {plain(quantity)} is not above 0, or more than is left of line {position}: {plain(most)} {used['unit']}"])  # fmt: skip
    made = books.closes[row["close_id"]]
    if "partners" not in made.content:
        raise Refused([f"{row['number']} was issued by rules 1, which cannot price a part of a line; credit an amount"])
    return credited_for(lake, made, document, LessUsage(position, credited, quantity))


def _is_same_usage(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two lines charge for the same usage, because their meter has several rates."""
    return all(one[name] == other[name] for name in ("plan", "meter", "from", "to"))


def again(lake: Lake, row: Mapping[str, Any]) -> CreditNote:
    """A document that was issued before. Writes its files if a killed command left them out."""
    document = json.loads(row["document"])
    if stored.file_problems(lake, row):
        with Staged(lake) as staged:
            staged.write(row["number"], render.rendered(document))
            staged.publish()
    return CreditNote(row["number"], document, is_new=False)


def _issued(lake: Lake, books: IssuedBooks, made: Correction, row: Mapping[str, Any], now: datetime) -> CreditNote:
    """Records a correction and issues its credit note in one commit, which is fenced on all that was checked."""
    records.record(lake, made)
    with Staged(lake) as staged:
        note = notes.numbered(books.table, made, books.closes[row["close_id"]], books.rows, staged, now=now)
        part = lake.write(INVOICES, pa.Table.from_pylist([note.row], INVOICES.schema))
        settled = (books.table.transaction_version(notes.SETTLED) or 0) + 1
        books.table.commit(
            [part], versions={notes.SETTLED: settled, **note.versions}, info={"correction_id": made.correction_id}
        )
        staged.publish()
    record_in_trail(lake, made.correction_id, now)
    return CreditNote(note.row["number"], json.loads(note.row["document"]), is_new=True)


def record_in_trail(lake: Lake, correction_id: str, now: datetime) -> None:
    """Record the credit note of a correction in the audit trail, unless it is there already."""
    made = records.recorded(lake)[correction_id]
    (row,) = (row for row in stored.rows(lake) if row["correction_id"] == correction_id)
    facts = {"correction_id": correction_id, "refers_to": made.number, "reason": made.content["reason"]}
    entry = audit.issued(row)
    what = "credit" if made.what == "credit" else "void"
    audit.record(lake, [entry._replace(what=what, facts={**entry.facts, **facts})], by=made.recorded_by, now=now)
