"""Issue: numbers for a close's invoices, in one transaction; their documents; and the proof that they come out again.

Numbers are gapless per legal entity and year: all invoices of a run enter table `invoices` in one commit, fenced on the
last number. Issuing again changes nothing. Documents on disk are renderings and are made again if missing.
"""

import hashlib
import json
import os
import uuid
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from billing import closing
from billing.closing import Close, Refused
from billing.document import invoice
from billing.periods import local_day, month
from billing.rating import Draft
from billing.render import Rendered, rendered
from billing.warehouse import Span, Warehouse
from schemas import lake
from schemas.catalog import LegalEntity
from schemas.tables import INVOICES

FOLDER = "documents"
_KINDS = ("json", "csv", "pdf")


class Issued(NamedTuple):
    """One issued invoice and where its documents are."""

    number: str
    partner_id: str
    period: str
    close_id: str
    currency: str
    total: Decimal
    document: Mapping[str, Any]
    files: tuple[Path, ...]


class Report(NamedTuple):
    """What `issue` did: `invoices` of the close, how many are new, and partners that have none, with the reason."""

    invoices: list[Issued]
    new: int
    without: list[str]


class Checked(NamedTuple):
    """What `verify` found of one invoice. `problems` is empty when every byte came out again."""

    number: str
    partner_id: str
    problems: list[str]


def issue(root: Path, made: Close, *, now: datetime) -> Report:
    """Issue all invoices of a close; a repeat is a no-op with the same bytes. Raises Refused, schemas.lake.Fenced."""
    stored = _rows(root, made.close_id)
    new = 0
    if not stored:
        drafts, problems = _drafts(root, made)
        if problems:
            raise Refused(problems)
        new = _number(root, made, drafts, now)
        stored = _rows(root, made.close_id)
    invoices = [_exported(root, row) for row in stored]
    billed = {i.partner_id for i in invoices}
    without = [f"{p.id}: nothing to bill in {made.period}" for p in made.partners() if p.id not in billed]
    return Report(invoices, new, without)


def listed(root: Path, period: str | None = None) -> list[Issued]:
    """All issued invoices, by number."""
    return [_issued(root, row) for row in _rows(root) if period is None or row["period"] == period]


def verify(root: Path) -> list[Checked]:
    """Rate every issued invoice again from its close, render it again, compare bytes with the table and the files."""
    checked = []
    rated: dict[str, tuple[Close, list[Draft]]] = {}
    for row in _rows(root):
        if row["close_id"] not in rated:
            made = closing.close_by_id(root, row["close_id"])
            rated[row["close_id"]] = made, _drafts(root, made)[0]
        made, drafts = rated[row["close_id"]]
        draft = next((d for d in drafts if d.partner.id == row["partner_id"]), None)
        checked.append(Checked(row["number"], row["partner_id"], _differences(root, row, made, draft)))
    return checked


def issue_day(entity: LegalEntity, now: datetime) -> date:
    """The date that an invoice bears which is issued at `now`: the one that people write where the legal entity is."""
    return local_day(now, entity.time_zone)


def late_usage(root: Path) -> list[dict[str, Any]]:
    """Usage that reached the lake after its month was invoiced: period, number, partner_id, requests. It is in no invoice yet.

    `number` is None for a partner that had nothing to bill when the month was closed.
    """
    newest = Warehouse(root, only=["rollups"])
    numbers = {(row["close_id"], row["partner_id"]): row["number"] for row in _rows(root)}
    found = []
    for close_id in dict.fromkeys(close_id for close_id, _ in numbers):
        made = closing.close_by_id(root, close_id)
        spans = [Span(p.id, "", *month(made.period, p.time_zone)) for p in made.partners()]
        invoiced = {row["partner_id"]: row["requests"] for row in closing.pinned(root, made).used(spans)}
        for row in newest.used(spans):
            partner_id = row["partner_id"]
            if late := row["requests"] - invoiced.get(partner_id, 0):
                number = numbers.get((close_id, partner_id))
                found.append({"period": made.period, "number": number, "partner_id": partner_id, "requests": late})
    return found


def _drafts(root: Path, made: Close) -> tuple[list[Draft], list[str]]:
    """Everything the close gives, rated at its own versions with its own catalog; and what is in the way."""
    return closing.drafts_of(closing.pinned(root, made), made.catalog(), made.partners(), made.period)


def _number(root: Path, made: Close, drafts: Sequence[Draft], now: datetime) -> int:
    """Give the drafts their numbers, in order of partner id, and commit them together. How many are new: 0 for a repeat.

    The numbers given so far, and whether the month is invoiced, are read from the version that the commit is fenced on: a
    fresh handle would let a second issue pass (docs/decisions/002-commit-protocol.md).
    """
    table = lake.open_table(root, INVOICES)
    stored = Warehouse(root, {INVOICES.name: table.version()}, only=[INVOICES.name]).query("invoices").to_pylist()
    if not drafts or any(row["close_id"] == made.close_id for row in stored):
        return 0
    _check_newest(root, made, stored)
    entity = made.catalog().legal_entity(made.legal_entity)
    issued_on = issue_day(entity, now)
    prefix = entity.invoice_prefix
    series = f"{made.legal_entity}/{issued_on.year}"
    last = table.transaction_version(f"issue/{series}") or 0
    rows = []
    for sequence, draft in enumerate(sorted(drafts, key=lambda d: d.partner.id), last + 1):
        number = f"{prefix}-{issued_on.year}-{sequence:06d}"
        document = invoice(made, draft, number=number, issued_on=issued_on)
        rows.append(
            {
                "number": number,
                "series": series,
                "sequence": sequence,
                "partner_id": draft.partner.id,
                "period": made.period,
                "close_id": made.close_id,
                "issued_at": now,
                "currency": draft.currency,
                "total": draft.total,
                "document": json.dumps(document, ensure_ascii=False),
                **_hashes(rendered(document)),
            }
        )
    if taken := {row["number"] for row in stored} & {row["number"] for row in rows}:
        raise Refused(
            [
                f"number {min(taken)} is taken by another legal entity; give {made.legal_entity} an invoice_prefix of its own"
            ]
        )
    part = lake.write_part(root, INVOICES, pa.Table.from_pylist(rows, INVOICES.schema))
    # Fenced on both: the last number of the series, and that this month was not invoiced before, from whichever close.
    versions = {f"issue/{series}": last + len(rows), f"issued/{made.legal_entity}/{made.period}": 1}
    lake.commit(table, INVOICES, [part], versions=versions, info={"close_id": made.close_id})
    return len(rows)


def _check_newest(root: Path, made: Close, stored: Sequence[Mapping[str, Any]]) -> None:
    """Refuse a close that does not count, and a month that was invoiced from another one."""
    same = [c for c in closing.all_closes(root) if (c.period, c.legal_entity) == (made.period, made.legal_entity)]
    closes = [c.close_id for c in same]
    if billed := {row["close_id"] for row in stored} & set(closes):
        raise Refused(
            [
                f"{made.period} of {made.legal_entity} was invoiced from close {min(billed)}; a second invoice would bill it twice: correct the first"
            ]
        )
    if made.close_id != closes[-1]:
        raise Refused([f"close {made.close_id} was superseded by {closes[-1]}; issue that one"])


def _differences(root: Path, row: Mapping[str, Any], made: Close, draft: Draft | None) -> list[str]:
    if draft is None:
        return [f"{row['number']}: the close no longer gives this invoice; restore the lake from a backup"]
    issued_on = date.fromisoformat(json.loads(row["document"])["issued_on"])
    again = rendered(invoice(made, draft, number=row["number"], issued_on=issued_on))
    problems = [
        f"{row['number']}: {kind} rendered again differs from what was issued (was Tollbook or a library upgraded since?)"
        for kind in _KINDS
        if _hashes(again)[f"{kind}_sha256"] != row[f"{kind}_sha256"]
    ]
    for kind in _KINDS:
        path = root / FOLDER / f"{row['number']}.{kind}"
        if not path.exists():
            problems.append(f"{path} is missing; `tollbook invoice issue` writes it again")
        elif hashlib.sha256(path.read_bytes()).hexdigest() != row[f"{kind}_sha256"]:
            problems.append(
                f"{path} was changed after it was issued; delete it, and `tollbook invoice issue` writes it again"
            )
    return problems


def _exported(root: Path, row: Mapping[str, Any]) -> Issued:
    """Write the documents that are missing; a file that is there stays as it is."""
    (root / FOLDER).mkdir(exist_ok=True)
    missing = [k for k in _KINDS if not (root / FOLDER / f"{row['number']}.{k}").exists()]
    if missing:
        again = rendered(json.loads(row["document"]))
        if changed := [k for k in missing if _hashes(again)[f"{k}_sha256"] != row[f"{k}_sha256"]]:
            raise Refused(
                [
                    f"{row['number']}.{kind} is missing, and this version of Tollbook and its libraries writes other bytes than were issued; "
                    f"restore it from a backup, or repeat the command with the version that issued it"
                    for kind in changed
                ]
            )
        for kind in missing:
            _write_whole(root / FOLDER / f"{row['number']}.{kind}", getattr(again, kind))
    return _issued(root, row)


def _issued(root: Path, row: Mapping[str, Any]) -> Issued:
    files = tuple(root / FOLDER / f"{row['number']}.{kind}" for kind in _KINDS)
    return Issued(
        row["number"],
        row["partner_id"],
        row["period"],
        row["close_id"],
        row["currency"],
        row["total"],
        json.loads(row["document"]),
        files,
    )


def _rows(root: Path, close_id: str | None = None) -> list[dict[str, Any]]:
    rows = Warehouse(root, only=[INVOICES.name]).query("invoices").to_pylist()
    return [row for row in rows if close_id is None or row["close_id"] == close_id]


def _hashes(documents: Rendered) -> dict[str, str]:
    return {f"{kind}_sha256": hashlib.sha256(getattr(documents, kind)).hexdigest() for kind in _KINDS}


def _write_whole(path: Path, content: bytes) -> None:
    """All of it or nothing: write beside it, fsync, rename."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(path)
    lake.sync_folder(path.parent)
