"""Issues the invoices of a close: numbers them in one transaction, writes their documents, and verifies them later.

Numbers are gapless per legal entity and year. One commit to the table `invoices` holds all invoices of a run and the
months of partners with nothing to pay, and settles them. Issuing a close again changes nothing. Documents on disk are
renderings; a missing one is written again.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from billing.invoicing import closing, four_eyes, history, proofs, render, rules, stored, waiting
from billing.invoicing.closing import Close, Refused
from billing.invoicing.corrections import carried, notes, records
from billing.invoicing.corrections.carried import Carried
from billing.invoicing.corrections.records import Correction
from billing.invoicing.corrections.standing import StandingUsage
from billing.invoicing.render.cores import on_all_cores
from billing.invoicing.rules import Drafted
from billing.invoicing.stored import Staged
from billing.periods import BillingPeriod, local_day
from billing.rating import settled
from billing.rating.settled import SettledPeriod
from billing.receivables import audit
from billing.usage.warehouse import Span, Warehouse
from lake import atomic_file
from lake.lake import Lake
from schemas.catalog.records import LegalEntity
from schemas.tables import INVOICES, ROLLUPS

Progress = Callable[[int, int], None]


def _silent(_done: int, _of: int) -> None:
    """Ignores the progress."""


class Issued(NamedTuple):
    """An issued invoice, credit note or adjustment, and the paths of its documents."""

    number: str
    partner_id: str
    period: str
    close_id: str
    currency: str
    total: Decimal
    document: Mapping[str, Any]
    files: tuple[Path, ...]
    kind: str = "invoice"  # or credit_note, adjustment
    refers_to: str | None = None  # the number of the document that it corrects
    is_voided: bool = False
    by_close: bool = True  # and not by a correction that a person decided


class IssueReport(NamedTuple):
    """The result of `issue`. `invoices` has all invoices of the period, `new` is the number of new ones.

    `without` lists partners without one.
    """

    invoices: list[Issued]
    new: int
    without: list[str]


class Checked(NamedTuple):
    """The result of `verify` for one invoice. `problems` is empty if every byte was reproduced."""

    number: str
    partner_id: str
    problems: list[str]


class Voiding(NamedTuple):
    """A void that takes effect in the commit of an issue. `original` is the close of the voided invoice."""

    correction: Correction
    original: Close


def issue(
    lake: Lake, made: Close, *,
    now: datetime, by: str = audit.UNNAMED, progress: Progress = _silent, voiding: Voiding | None = None,
) -> IssueReport:  # fmt: skip
    """Issues all invoices of a close and settles the months of its partners. A repeated call changes nothing.

    The same commit holds the credit note of `voiding`, which voids the invoice that the close bills anew. `progress`
    receives the number of rendered invoices and their total number. `by` is who issues, for the audit trail. Raises
    Refused, also if an approval is missing, and lake.errors.Fenced.
    """
    with Staged(lake) as staged:
        new = _number(lake, made, staged, now, progress, voiding)
    _recorded(lake, made, by, now)
    billed = {
        c.close_id for c in closing.all_closes(lake) if (c.period, c.legal_entity) == (made.period, made.legal_entity)
    }
    documents = _exported(lake, [row for row in stored.rows(lake) if row["close_id"] in billed])
    invoices = [document for document in documents if not document.is_voided and document.by_close]
    paying = {i.partner_id for i in invoices}
    without = [f"{p.id}: nothing to bill in {made.period}" for p in made.partners() if p.id not in paying]
    return IssueReport(invoices, new, without)


def _recorded(lake: Lake, made: Close, by: str, now: datetime) -> None:
    """Records in the audit trail what was issued from a close."""
    rows = [row for row in stored.rows(lake) if row["close_id"] == made.close_id and row["correction_id"] is None]
    audit.record(lake, [audit.issued(row) for row in rows], by=by, now=now)


def listed(lake: Lake, period: str | None = None) -> list[Issued]:
    """All issued documents, ordered by series and number."""
    return [_issued(lake, row) for row in stored.rows(lake) if period is None or row["period"] == period]


def verify(lake: Lake, progress: Progress = _silent) -> list[Checked]:
    """Rates and renders every issued invoice again by the rules of its close, and every credit note by its correction.

    Compares the bytes with the table and the files.
    """
    checked: list[Checked] = []
    closes = closing.closes_by_id(lake)
    rows = stored.rows(lake)
    corrections = records.recorded(lake)

    def comparisons() -> Iterator[tuple[list[str], Callable[[], list[str]]]]:
        """For each document, the problems of what it rests on, and what renders it again and compares.

        Each close is rated once.
        """
        rated: dict[str, dict[str, Drafted]] = {}
        late = Carried({}, [])
        damaged: list[str] = []
        for row in rows:
            made = closes[row["close_id"]]
            if row["correction_id"] is not None:
                yield [], partial(notes.problems, lake, row, made.content, corrections, rows)
                continue
            if row["close_id"] not in rated:
                late = carried.carried(lake, closes, made)
                rated = {row["close_id"]: {d.partner.id: d for d in _drafts(lake, made, late)}}
                damaged = proofs.pinned_files(lake, made.content)
            draft = rated[row["close_id"]].get(row["partner_id"])
            found = [*damaged, *proofs.invoice(row, made.content, made.rules.as_json)]
            if row["kind"] == "invoice":
                yield found, partial(_differences, lake, row, made, draft)
            else:
                yield found, partial(carried.problems, lake, row, made, closes, late)

    for row, problems in zip(rows, on_all_cores(_problems, comparisons()), strict=True):
        progress(len(checked), len(rows))
        checked.append(Checked(row["number"], row["partner_id"], problems))
    progress(len(rows), len(rows))
    return checked


def issue_day(entity: LegalEntity, now: datetime) -> date:
    """The date on an invoice issued at `now`: the local date in the legal entity's time zone."""
    return local_day(now, entity.time_zone)


def late_usage(lake: Lake) -> list[dict[str, Any]]:
    """Late usage: rows of period, number, partner_id and requests that reached the lake after their month was settled.

    No invoice contains this usage. `number` is None for a partner that had nothing to bill when the month was settled.
    """
    newest = Warehouse(lake, only=[ROLLUPS.name])
    found = []
    periods = closing.settled_periods(lake)
    closes = closing.closes_by_id(lake)
    for (_, gap), mine in StandingUsage(closes, periods, stored.rows(lake)).due(periods).items():
        spans = [Span(s.partner_id, "", s.start, s.end) for s in mine]
        states = [newest if at is None else closing.pinned(lake, closes[at]) for at in (gap.since, gap.until)]
        then, now = ({row["partner_id"]: row["requests"] for row in state.used(spans)} for state in states)
        found += [
            {"period": s.label, "number": s.number, "partner_id": s.partner_id, "requests": late}
            for s in sorted(mine)
            if (late := now.get(s.partner_id, 0) - then.get(s.partner_id, 0))
        ]
    return found


def _drafts(lake: Lake, made: Close, late: Carried) -> Sequence[Drafted]:
    """The drafts of a close, rated by its rules with its table versions and its catalog."""
    return made.rules.drafts(closing.pinned(lake, made), made.content, made.catalog(), late.lines)


def _number(lake: Lake, made: Close, staged: Staged, now: datetime, progress: Progress, voiding: Voiding | None) -> int:
    """Numbers the drafts in the order of partner ids and settles the close's periods in one commit.

    Returns the number of new invoices.

    Existing numbers and settled periods are read from the table version on which the commit is fenced. A fresh handle
    would let a second issue pass (docs/decisions/002-commit-protocol.md). The fence covers all legal entities, because
    a partner may move from one to another.
    """
    lake.widen(INVOICES)
    table = lake.open(INVOICES)
    then = Warehouse(lake, {INVOICES.name: table.version}, only=[INVOICES.name])
    issued = [row for name in ("settled", "invoices") for row in then.query(name).to_pylist()]
    if any(row["close_id"] == made.close_id for row in issued):  # even if the invoices were voided since
        return 0
    voided = None if voiding is None else voiding.correction.number
    books = closing.carried_books(lake, voided)
    periods = _still_open(lake, made, books.periods, voided)
    if missing := four_eyes.refusals(lake, made):
        raise Refused(missing)
    carried.still_due(books, made)
    adjustments = carried.carried(lake, books.closes, made)
    drafts = _proved_drafts(lake, made, periods, adjustments)
    entity = made.catalog().legal_entity(made.legal_entity)
    issued_on = issue_day(entity, now)
    prefix = entity.invoice_prefix
    series = f"{made.legal_entity}/{issued_on.year}"
    last = table.transaction_version(f"issue/{series}") or 0
    rows: list[dict[str, Any]] = []
    numbered = [
        (draft, {"number": f"{prefix}-{issued_on.year}-{sequence:06d}", "series": series, "sequence": sequence})
        for sequence, draft in enumerate(drafts, last + 1)
    ]
    for row in on_all_cores(lambda each: _row(made, *each, staged, issued_on), numbered):
        progress(len(rows), len(drafts))
        rows.append(row)
    reached = {series: last + len(drafts)} if drafts else {}
    alone = carried.numbered(table, made, books.closes, adjustments.documents, staged, reached, now=now)
    versions = {f"issue/{name}": number for name, number in reached.items()}
    if voiding is not None:
        note = notes.numbered(table, voiding.correction, voiding.original, books.rows, staged, now=now)
        alone.append(note.row)
        versions |= note.versions
    progress(len(drafts), len(drafts))
    if taken := {row["number"] for row in issued} & {row["number"] for row in (*rows, *alone)}:
        raise Refused(
            [
                f"number {min(taken)} is taken by another legal entity; give {made.legal_entity} an invoice_prefix of its own"
            ]
        )
    billed = {draft.partner.id for draft in drafts}
    rows += [{"partner_id": period.partner_id} for period in periods if period.partner_id not in billed]
    bounds = {period.partner_id: period for period in periods}
    common = {"period": made.period, "close_id": made.close_id, "issued_at": now, "legal_entity": made.legal_entity}
    for row in rows:
        period = bounds[row["partner_id"]]
        row.update(common, period_start=period.start, period_end=period.end)
    part = lake.write(INVOICES, pa.Table.from_pylist([*rows, *alone], INVOICES.schema))
    versions[notes.SETTLED] = (table.transaction_version(notes.SETTLED) or 0) + 1
    table.commit([part], versions=versions, info={"close_id": made.close_id})
    staged.publish()
    return len(drafts) + len(alone)


def _row(made: Close, draft: Drafted, place: Mapping[str, Any], staged: Staged, issued_on: date) -> dict[str, Any]:
    """The row of a new invoice, with its documents written to `staged`."""
    document = made.rules.invoice(
        made.close_id, made.content, made.catalog(), draft, number=place["number"], issued_on=issued_on
    )
    return {
        **place,
        "partner_id": draft.partner.id,
        "currency": draft.currency,
        "total": draft.total,
        "document": json.dumps(document, ensure_ascii=False),
        **stored.hashes(staged.write(place["number"], made.rules.rendered(document))),
    }


def _proved_drafts(lake: Lake, made: Close, periods: Sequence[BillingPeriod], late: Carried) -> list[Drafted]:
    """The drafts of a close, ordered by partner id. Raises Refused if the lake differs from what the close pinned."""
    warehouse = closing.pinned(lake, made)
    usage = made.content["usage"]
    spans = [(p.partner_id, p.start, p.end) for p in periods if p.partner_id in usage]
    hashed = made.rules.usage_sha256(warehouse, spans, made.catalog())
    if problems := proofs.pinned_files(lake, made.content) + proofs.usage(made.content, hashed):
        raise Refused(problems)
    return sorted(made.rules.drafts(warehouse, made.content, made.catalog(), late.lines), key=lambda d: d.partner.id)


def _still_open(lake: Lake, made: Close, before: Sequence[SettledPeriod], voided: str | None) -> list[BillingPeriod]:
    """The unsettled periods of a close. `before` are the settled ones, without that of the invoice `voided`.

    Raises Refused if one is settled, or if the close is superseded or of earlier rules.
    """
    same = [c for c in closing.all_closes(lake) if (c.period, c.legal_entity) == (made.period, made.legal_entity)]
    ends = settled.last_ends(before)
    again = made.content.get("replaces", {})
    if made.content.get("rules", 1) != rules.NEWEST:
        raise Refused(
            [
                f"close {made.close_id} was made by earlier rules, and nothing was issued from it; close {made.period} again with --catalog"
            ]
        )
    periods = rules.periods(made.content)
    bounds = {p.partner_id: p for p in periods}
    overlapping = {s.partner_id for s in before if s.partner_id in bounds and _overlap(s, bounds[s.partner_id])}
    later = {p.partner_id for p in periods if p.partner_id in ends and ends[p.partner_id] > p.start} - set(again)
    if unfinished := waiting.unfinished_rebill(made, before):
        raise Refused(unfinished)
    since = f"is settled since close {made.close_id} was made; a second invoice would bill it twice: close {made.period} again"
    if twice := sorted(overlapping | later):
        raise Refused([f"{made.period} of {partner_id} {since}" for partner_id in twice])
    if made.close_id != same[-1].close_id:
        raise Refused([f"close {made.close_id} was superseded by {same[-1].close_id}; issue that one"])
    if changed := history.outdated(lake, made.content, made.catalog(), voided):
        raise Refused(changed)
    return periods


def _overlap(one: SettledPeriod, other: BillingPeriod) -> bool:
    return one.start < other.end and other.start < one.end


def _problems(comparison: tuple[list[str], Callable[[], list[str]]]) -> list[str]:
    found, compare = comparison
    return found + compare()


def _differences(lake: Lake, row: Mapping[str, Any], made: Close, draft: Drafted | None) -> list[str]:
    if draft is None:
        return [f"{row['number']}: the close no longer gives this invoice; restore the lake from a backup"]
    issued_on = date.fromisoformat(json.loads(row["document"])["issued_on"])
    document = made.rules.invoice(
        made.close_id, made.content, made.catalog(), draft, number=row["number"], issued_on=issued_on
    )
    again = made.rules.rendered(document)
    return stored.rendering_problems(row, again) + stored.file_problems(lake, row)


def _exported(lake: Lake, rows: Sequence[Mapping[str, Any]]) -> list[Issued]:
    """Writes missing documents. Existing files stay unchanged."""
    lake.documents.mkdir(exist_ok=True)
    there = {path.name for path in lake.documents.iterdir()}
    closes = closing.closes_by_id(lake)
    written = False
    for row in rows:
        missing = [k for k in stored.KINDS if f"{row['number']}.{k}" not in there]
        if not missing:
            continue
        rendered = closes[row["close_id"]].rules.rendered if row["kind"] == "invoice" else render.rendered
        again = rendered(json.loads(row["document"]))
        if changed := [k for k in missing if stored.hashes(again)[f"{k}_sha256"] != row[f"{k}_sha256"]]:
            raise Refused(
                [
                    f"{row['number']}.{kind} is missing, and this version of Tollbook and its libraries writes other bytes than were issued; "
                    f"restore it from a backup, or repeat the command with the version that issued it"
                    for kind in changed
                ]
            )
        for kind in missing:
            atomic_file.replace(lake.documents / f"{row['number']}.{kind}", getattr(again, kind), sync_name=False)
        written = True
    if written:
        atomic_file.sync(lake.documents)
    return [_issued(lake, row) for row in rows]


def _issued(lake: Lake, row: Mapping[str, Any]) -> Issued:
    files = tuple(lake.documents / f"{row['number']}.{kind}" for kind in stored.KINDS)
    return Issued(
        row["number"],
        row["partner_id"],
        row["period"],
        row["close_id"],
        row["currency"],
        row["total"],
        json.loads(row["document"]),
        files,
        row["kind"],
        row["refers_to"],
        row["is_voided"],
        row["correction_id"] is None,
    )
