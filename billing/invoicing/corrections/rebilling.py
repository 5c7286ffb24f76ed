"""Bills an issued invoice again by a corrected catalog: one commit voids it and issues the new invoice."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Any, NamedTuple

from billing.invoicing import closing, four_eyes, issuing, stored
from billing.invoicing.closing import Close, Prove, Refused
from billing.invoicing.corrections import crediting, records
from billing.invoicing.corrections.crediting import CreditNote
from billing.invoicing.issuing import Voiding
from billing.rating.differences import LineDifference, line_differences, of_document
from lake.lake import Lake
from schemas.catalog.records import Catalog
from schemas.money import money


class Rebilled(NamedTuple):
    """The credit note, and the new invoice with what differs. `invoice` is None if there is nothing to pay any more."""

    note: CreditNote
    invoice: Mapping[str, Any] | None
    differences: Sequence[LineDifference]


class Person(NamedTuple):
    """Who decides on a correction, and why."""

    by: str
    reason: str


def rebill(lake: Lake, number: str, catalog: Catalog, person: Person, *, prove: Prove, now: datetime) -> Rebilled:
    """Voids an invoice and bills its period again by another catalog. The same command again changes nothing.

    The close is recorded first, so that others can approve it, and then the correction. They take effect together, in
    the commit of the new invoice. Raises Refused, for the same reasons as a close, an issue and a void, and
    lake.errors.Fenced.
    """
    books = crediting.books_of(lake)
    row = books.original(number)
    asked = {"catalog_sha256": sha256(catalog.canonical_json().encode()).hexdigest()}
    if before := books.answered("rebill", number, asked, person.reason, person.by):
        crediting.record_in_trail(lake, before["correction_id"], now)
        return _rebilled(lake, crediting.again(lake, before), row)
    if row["kind"] != "invoice":
        raise Refused([f"{number} is no invoice of a month; void it, and the next invoice has its late usage"])
    correction = crediting.voiding(books, row, "rebill", asked=asked, reason=person.reason, by=person.by, now=now)
    partner = catalog.partner(row["partner_id"])
    if partner is None or partner.legal_entity is None:
        raise Refused(
            [f"partner {row['partner_id']} of {number} is not invoiced by the catalog; void {number} instead"]
        )
    made = closing.close(lake, catalog, row["period"], partner.legal_entity, prove=prove, now=now, voiding=number)
    four_eyes.require(lake, made, f"repeat `tollbook invoice rebill {number} …`")
    records.record(lake, correction)
    issuing.issue(
        lake, made, now=now, by=correction.recorded_by, voiding=Voiding(correction, books.closes[row["close_id"]])
    )
    crediting.record_in_trail(lake, correction.correction_id, now)
    new = next(each for each in stored.rows(lake) if each["correction_id"] == correction.correction_id)
    return _rebilled(lake, CreditNote(new["number"], json.loads(new["document"]), is_new=True), row)


def _rebilled(lake: Lake, note: CreditNote, row: Mapping[str, Any]) -> Rebilled:
    closes = closing.closes_by_id(lake)
    for each in stored.rows(lake):
        if each["kind"] == "invoice" and _replaced(closes[each["close_id"]], each["partner_id"]) == row["number"]:
            invoice = crediting.again(lake, each).document
            return Rebilled(note, invoice, _differences(json.loads(row["document"]), invoice))
    return Rebilled(note, None, _differences(json.loads(row["document"]), None))


def _replaced(made: Close, partner_id: str) -> str | None:
    return made.content.get("replaces", {}).get(partner_id)  # type: ignore[no-any-return]


def _differences(before: Mapping[str, Any], after: Mapping[str, Any] | None) -> list[LineDifference]:
    return line_differences(of_document(before), () if after is None else of_document(after))


def as_json(found: LineDifference, currency: str) -> dict[str, str | None]:
    """A difference as the command prints it."""
    amounts = {"before": found.before, "after": found.after}
    shown = {name: None if side is None else money(side.amount, currency) for name, side in amounts.items()}
    return {"description": found.description, "meter": found.meter, **shown}
