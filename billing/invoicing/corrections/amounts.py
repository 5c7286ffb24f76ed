"""What is left of issued documents after credits: of each line, and of a document as a whole. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from billing.invoicing.corrections.records import Correction, CreditedLine
from schemas.money import EXACT

ZERO = Decimal(0)


class Left:
    """What is left of the documents of a lake, given the corrections that have an effect."""

    def __init__(self, corrections: Iterable[Correction]) -> None:
        self._credited: dict[tuple[str, int | None], Decimal] = {}
        self._quantities: dict[tuple[str, int], Decimal] = {}
        for line in (line for each in corrections for line in each.lines):
            key = (line.number, line.position)
            self._credited[key] = EXACT.add(self._credited.get(key, ZERO), line.amount)
            if line.position is not None and line.quantity is not None:
                self._quantities[line.number, line.position] = EXACT.add(
                    self.quantity_credited(line.number, line.position), line.quantity
                )

    def quantity_credited(self, number: str, position: int) -> Decimal:
        """The quantity that was credited on a line, in its unit."""
        return self._quantities.get((number, position), ZERO)

    def of_line(self, document: Mapping[str, Any], position: int) -> Decimal:
        """What is left of the amount of one line."""
        amount = Decimal(entry(document, position)["amount"])
        return EXACT.subtract(amount, self._credited.get((document["number"], position), ZERO))

    def of_whole(self, document: Mapping[str, Any]) -> Decimal:
        """What is left of the total of a document."""
        credited = (amount for (number, _), amount in self._credited.items() if number == document["number"])
        left = Decimal(document["total"])
        for amount in credited:
            left = EXACT.subtract(left, amount)
        return left

    def all_of(self, document: Mapping[str, Any]) -> list[CreditedLine]:
        """Lines that credit whatever is left of a document: they sum to `of_whole`."""
        return [*self.of_entries(document, entries(document)), *self._less_credits_of_the_whole(document)]

    def of_entries(self, document: Mapping[str, Any], some: Sequence[Mapping[str, Any]]) -> list[CreditedLine]:
        """Lines that credit whatever is left of some lines of a document. A line of which nothing is left is none."""
        number = document["number"]
        found = []
        for each in some:
            position = each["position"]
            quantity = None
            if each.get("meter") and "billed_quantity" in each:
                used = each.get("converted_from") or each  # in the unit of the meter, as credits are
                quantity = EXACT.subtract(Decimal(used["quantity"]), self.quantity_credited(number, position))
            left = self.of_line(document, position)
            if left:
                found.append(CreditedLine(number, position, quantity, left))
        return found

    def _less_credits_of_the_whole(self, document: Mapping[str, Any]) -> list[CreditedLine]:
        """What was credited on the document without naming a line was credited already, so it is taken off."""
        credited = self._credited.get((document["number"], None), ZERO)
        return [CreditedLine(document["number"], None, None, EXACT.minus(credited))] if credited else []


def entries(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """All positions of a document: its lines, and the amounts that are not usage at a rate."""
    return [*document["lines"], *document.get("extras", [])]


def entry(document: Mapping[str, Any], position: int) -> Mapping[str, Any]:
    """One position of a document. Raises KeyError."""
    for each in entries(document):
        if each["position"] == position:
            return each
    raise KeyError(position)
