"""Table `corrections`: what a person decided about an issued invoice, why, and exactly which amounts it credits.

A recorded correction has an effect only if table `invoices` has the credit note that names it, as a close has only if
an invoice names it. So a killed command leaves nothing half done: its repetition, or another correction, follows.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

import pyarrow as pa

from billing.usage.warehouse import Warehouse
from lake.errors import Damaged
from lake.lake import Lake
from schemas.tables import CORRECTIONS

_APP = "corrections"


class CreditedLine(NamedTuple):
    """An amount that is credited on a document: `number` and the position on it, or None for the document as a whole.

    `amount` is what the customer gets back. It is negative if a line of a negative amount is voided. `quantity` is in
    the unit of the line, or None if an amount was credited without one.
    """

    number: str
    position: int | None
    quantity: Decimal | None
    amount: Decimal

    def as_json(self) -> dict[str, Any]:
        """The line as a correction stores it."""
        quantity = None if self.quantity is None else f"{self.quantity:f}"
        return {"number": self.number, "position": self.position, "quantity": quantity, "amount": f"{self.amount:f}"}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "CreditedLine":
        """The line that a correction stored."""
        quantity = None if stored["quantity"] is None else Decimal(stored["quantity"])
        return cls(stored["number"], stored["position"], quantity, Decimal(stored["amount"]))


class Correction(NamedTuple):
    """A row of the table. `document` is canonical JSON, and `correction_id` is its hash."""

    correction_id: str
    what: str  # credit | void | rebill
    number: str
    partner_id: str
    legal_entity: str
    document: str
    recorded_by: str
    recorded_at: datetime

    @property
    def content(self) -> dict[str, Any]:
        """The parsed document."""
        return json.loads(self.document)  # type: ignore[no-any-return]

    @property
    def lines(self) -> list[CreditedLine]:
        """What it credits."""
        return [CreditedLine.from_json(line) for line in self.content["lines"]]


def correction(
    what: str,
    original: Mapping[str, Any],
    lines: Iterable[CreditedLine],
    *,
    asked: Mapping[str, Any],
    reason: str,
    by: str,
    now: datetime,
) -> Correction:
    """The correction of an issued invoice. `original` is its row, and `asked` is what the command was given.

    Its id does not depend on `now`.
    """
    content = {
        "what": what,
        "number": original["number"],
        "json_sha256": original["json_sha256"],
        "asked": dict(asked),
        "lines": [line.as_json() for line in lines],
        "reason": reason,
        "by": by,
    }
    document = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    entity = json.loads(original["document"])["seller"]["id"]
    return Correction(_id_of(document), what, original["number"], original["partner_id"], entity, document, by, now)


def recorded(lake: Lake) -> dict[str, Correction]:
    """Every recorded correction by its id, in the order of records. Raises Damaged if one was changed since."""
    if lake.lacks(CORRECTIONS):
        return {}
    return _read(Warehouse(lake, only=[CORRECTIONS.name]))


def record(lake: Lake, made: Correction) -> None:
    """Appends a correction, unless it is recorded already. Raises Fenced if another one is appended meanwhile."""
    if lake.lacks(CORRECTIONS):
        lake.add_table(CORRECTIONS)
    table = lake.open(CORRECTIONS)
    before = _read(Warehouse(lake, {CORRECTIONS.name: table.version}, only=[CORRECTIONS.name]))
    if made.correction_id in before:
        return
    # Later than every earlier row, as clocks may go back.
    latest = max((each.recorded_at for each in before.values()), default=None)
    if latest is not None:
        made = made._replace(recorded_at=max(made.recorded_at, latest + timedelta(microseconds=1)))
    part = lake.write(CORRECTIONS, pa.Table.from_pylist([made._asdict()], CORRECTIONS.schema))
    table.commit(
        [part],
        versions={_APP: (table.transaction_version(_APP) or 0) + 1},
        info={"correction_id": made.correction_id},
    )


def effective(rows: Sequence[Mapping[str, Any]], known: Mapping[str, Correction]) -> list[Correction]:
    """The corrections behind the credit notes among the issued documents `rows`. Raises Damaged if one is missing."""
    found = []
    for row in rows:
        if (correction_id := row["correction_id"]) is None:
            continue
        if correction_id not in known:
            raise Damaged(
                f"correction {correction_id}, which {row['number']} names, is missing; restore table corrections from a backup"
            )
        found.append(known[correction_id])
    return found


def _read(warehouse: Warehouse) -> dict[str, Correction]:
    found = {row["correction_id"]: Correction(**row) for row in warehouse.query("corrections").to_pylist()}
    if changed := [each.correction_id for each in found.values() if _id_of(each.document) != each.correction_id]:
        raise Damaged(
            f"correction {changed[0]}: its document in table corrections was changed after it was recorded; "
            f"restore table corrections from a backup"
        )
    return found


def _id_of(document: str) -> str:
    return hashlib.sha256(document.encode()).hexdigest()[:24]
