"""Credit notes in table `invoices`: their rows, gapless numbers, and the proof that they can be made again."""

import json
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any, NamedTuple

from billing.invoicing import proofs, render, stored
from billing.invoicing.closing import Close, Refused
from billing.invoicing.corrections.credit_note import credit_note
from billing.invoicing.corrections.records import Correction
from billing.invoicing.stored import Staged
from billing.periods import local_day
from lake.lake import Lake, Table
from schemas.catalog.records import LegalEntity

SETTLED = "settled"  # every commit to table `invoices` increments this version, so that concurrent ones conflict


class NumberedNote(NamedTuple):
    """The row of a credit note that is not committed yet, and the transaction version that its number moves."""

    row: dict[str, Any]
    versions: Mapping[str, int]


def numbered(
    table: Table,
    made: Correction,
    close: Close,
    rows: Sequence[Mapping[str, Any]],
    staged: Staged,
    *,
    now: datetime,
) -> NumberedNote:
    """Numbers the credit note of a correction and writes its documents to `staged`.

    `close` is that of the original, and `rows` are all documents of `table`. Raises Refused.
    """
    entity = close.catalog().legal_entity(made.legal_entity)
    issued_on = local_day(now, entity.time_zone)
    series = f"{entity.id}/{issued_on.year}/credit"
    sequence = (table.transaction_version(f"issue/{series}") or 0) + 1
    number = note_number(entity, issued_on, sequence)
    if number in {row["number"] for row in rows}:
        raise Refused(
            [f"number {number} is taken by another legal entity; give {entity.id} an invoice_prefix of its own"]
        )
    documents = {row["number"]: json.loads(row["document"]) for row in rows}
    document = credit_note(made, documents, number=number, issued_on=issued_on)
    row = {
        "number": number,
        "series": series,
        "sequence": sequence,
        "partner_id": made.partner_id,
        "period": document["period"]["label"],
        "close_id": close.close_id,
        "issued_at": now,
        "currency": document["currency"],
        "total": Decimal(document["total"]),
        "document": json.dumps(document, ensure_ascii=False),
        "legal_entity": made.legal_entity,
        "kind": "credit_note",
        "refers_to": made.number,
        "correction_id": made.correction_id,
        "voids": made.what != "credit",
        **stored.hashes(staged.write(number, render.rendered(document))),
    }
    return NumberedNote(row, {f"issue/{series}": sequence})


def note_number(entity: LegalEntity, issued_on: date, sequence: int) -> str:
    """The number of a credit note. Credit notes of a legal entity and year have a gapless series of their own."""
    return f"{entity.invoice_prefix}-CN-{issued_on.year}-{sequence:06d}"


def problems(
    lake: Lake,
    row: Mapping[str, Any],
    content: Mapping[str, Any],
    known: Mapping[str, Correction],
    rows: Sequence[Mapping[str, Any]],
) -> list[str]:
    """Problems of the credit note of a correction. `content` is the close of its original.

    Renders it again from the correction and the credited documents, and compares the bytes.
    """
    found = proofs.invoice(row, content)
    made = known.get(row["correction_id"])
    if made is None:
        remedy = "restore table corrections from a backup"
        return [*found, f"{row['number']}: correction {row['correction_id']} is missing; {remedy}"]
    originals = {each["number"]: each for each in rows}
    missing = sorted({made.number, *(line.number for line in made.lines)} - set(originals))
    if missing:
        return [*found, f"{row['number']}: {missing[0]}, which it credits, is missing; restore table invoices from a backup"]  # fmt: skip
    if originals[made.number]["json_sha256"] != made.content["json_sha256"]:
        found.append(f"{row['number']}: {made.number} is not the document that was credited (its SHA-256 differs); restore table invoices from a backup")  # fmt: skip
    documents = {number: json.loads(each["document"]) for number, each in originals.items()}
    issued_on = date.fromisoformat(json.loads(row["document"])["issued_on"])
    again = render.rendered(credit_note(made, documents, number=row["number"], issued_on=issued_on))
    return found + stored.rendering_problems(row, again) + stored.file_problems(lake, row)
