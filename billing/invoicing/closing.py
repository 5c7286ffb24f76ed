"""Closes a month.

A close pins the input of the month's invoices: table versions, offsets, completeness, billing periods and the catalog.

A close is refused while the books have unexplained entries. A problem of one partner blocks only the invoice of that
partner: the close names it, and a later close bills it. Equal input gives the same close. Other input gives a new
close, which supersedes the earlier one unless invoices were issued from that one.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import Any

import pyarrow as pa

from billing.invoicing import close_checks, history, proofs, rules, stored
from billing.invoicing.closes import (
    Close,
    Refused,
    all_closes,
    close_by_id,
    closes_by_id,
    newest_close,
    newest_in,
    pinned,
    pinned_versions,
)
from billing.invoicing.corrections import carried
from billing.invoicing.document import LAYOUT
from billing.periods import Period, is_settled, month
from billing.rating import refused, settled
from billing.rating.bills import Bills, bills
from billing.rating.itemizing import itemized
from billing.rating.settled import SettledPeriod
from billing.usage.warehouse import Warehouse
from lake import duck
from lake.lake import Lake
from schemas.catalog.records import Catalog, Partner
from schemas.tables import (
    CLOSES,
    DUPLICATES,
    EVENTS,
    GRANTS,
    INGESTED,
    INVOICES,
    LETTERS,
    READS,
    REDRIVEN,
    ROLLUPS,
    TOPICS,
    WITHDRAWN,
)

__all__ = [
    "Close",
    "Refused",
    "all_closes",
    "bills_of",
    "close",
    "close_by_id",
    "closes_by_id",
    "due",
    "newest_close",
    "pinned",
    "pinned_versions",
    "reopened_periods",
    "settled_ends",
    "settled_periods",
]

CODE_VERSION = "0.1.0"
_PINNED = (EVENTS, WITHDRAWN, ROLLUPS, DUPLICATES, LETTERS, REDRIVEN, READS, INGESTED, TOPICS)
_OFFSET = ("source", "generation", "next_offset")
_SHOWN = 20

Prove = Callable[[Mapping[str, int], datetime, datetime], list[str]]


def close(
    lake: Lake,
    catalog: Catalog,
    label: str,
    legal_entity: str,
    *,
    prove: Prove,
    now: datetime,
    accept_refused: str | None = None,
    voiding: str | None = None,
) -> Close:
    """Pins the input of the invoices of `legal_entity` for the month `label`, for all partners not settled yet.

    `prove(versions, start, end)` returns the problems of the books at those table versions. Any problem forbids the
    close. `accept_refused` is the reason for leaving entries of unknown credentials refused. Without it such entries
    forbid the close, unless the newest close of the period accepted them.

    `voiding` is the number of an invoice that the issue of this close voids: the close bills only its period.

    Raises Refused with every reason if the books have problems or no partner can be billed. Otherwise `blocked` of the
    close names the partners that cannot be billed. Nothing is written if the newest close of the period already pins
    the same input.
    """
    partners = due(catalog, label, legal_entity, now)
    books = carried_books(lake, voiding)
    before = books.periods
    ends = settled.last_ends(before)
    reopened = _reopened(lake, before, label, voiding)
    unsettled = [
        p
        for p in partners
        if p.id in reopened
        or (voiding is None and (p.id not in ends or not is_settled(label, p.time_zone, ends[p.id])))
    ]
    if voiding is not None and not unsettled:
        raise Refused([f"the partner of {voiding} is not invoiced by legal entity {legal_entity} in this catalog"])
    if not unsettled:
        return _closed_before(lake, catalog, label, partners, before)
    warehouse = Warehouse(lake, lake.consistent_cut())
    reach = _reach(unsettled, label, ends, reopened.values())
    earlier = newest_in(warehouse, label, legal_entity)
    unknown = refused.accepted(warehouse, *reach, accept_refused, None if earlier is None else earlier.content)
    wrong = prove(warehouse.versions, *reach)[:_SHOWN] + close_checks.unexplained(warehouse) + unknown.problems(label)
    rests_on = history.looked_back(lake, unsettled, voiding)
    outcome = bills(
        catalog,
        label,
        warehouse.usage_of(catalog),
        ends,
        unsettled,
        grants=warehouse.grants(),
        reopened=_spans(reopened),
        before=rests_on,
    )
    blocked = close_checks.combined(
        outcome.blocked,
        close_checks.running(unsettled, label, now),
        close_checks.unknown_partners(warehouse, catalog, label, reach),
        close_checks.anomalies(warehouse, catalog, outcome.periods),
        close_checks.missing_glyphs(
            catalog, legal_entity, itemized(catalog, warehouse.usage_of(catalog), outcome.drafts)
        ),
    )
    ready = Bills(
        tuple(d for d in outcome.drafts if d.partner.id not in blocked),
        {partner_id: period for partner_id, period in outcome.periods.items() if partner_id not in blocked},
        blocked,
    )
    if wrong or not ready.periods:
        raise Refused([*wrong, *(problem for problems in blocked.values() for problem in problems)])
    content = _content(lake, warehouse, catalog, label, legal_entity, ready) | unknown.content()
    late = carried.of_close(lake, books, ready, warehouse.versions, legal_entity)
    parts = (_replaces(reopened, ready), history.pins(rests_on, ready.periods.keys()), carried.stored_adjustments(late))
    for part in parts:
        content |= part
    document = _canonical(content)
    return _record(lake, Close(proofs.close_id_of(document), label, legal_entity, document, now))


def close_late_usage(lake: Lake, label: str, legal_entity: str, *, prove: Prove, now: datetime) -> Close | None:
    """Pins the late usage of a settled month, which is then issued as documents of its own. None: there is none.

    Raises Refused if nothing of the month is settled, or if the books have problems.
    """
    books = carried_books(lake)
    newest = newest_close(lake, label, legal_entity)
    settled_here = [
        s for s in books.periods if s.label == label and books.closes[s.close_id].legal_entity == legal_entity
    ]
    if newest is None or not settled_here:
        raise Refused([f"{label} of {legal_entity} is not issued, so nothing of it can be adjusted"])
    warehouse = Warehouse(lake, lake.consistent_cut())
    reach = Period(min(s.start for s in settled_here), max(s.end for s in settled_here))
    if wrong := prove(warehouse.versions, *reach)[:_SHOWN] + close_checks.unexplained(warehouse):
        raise Refused(wrong)
    late = carried.of_period(lake, books, label, legal_entity, warehouse.versions)
    if not late:
        return None
    content = _content(lake, warehouse, newest.catalog(), label, legal_entity, Bills((), {}, {}))
    kept = {name: newest.content[name] for name in ("accepted_refused",) if name in newest.content}
    document = _canonical(content | kept | carried.stored_adjustments(late))
    return _record(lake, Close(proofs.close_id_of(document), label, legal_entity, document, now))


def carried_books(lake: Lake, voiding: str | None = None) -> carried.EarlierBooks:
    """What was closed, settled and issued, for adjustments: as if the invoice `voiding` was voided already."""
    rows = [row | {"is_voided": row["is_voided"] or row["number"] == voiding} for row in stored.rows(lake)]
    periods = [s for s in settled_periods(lake) if voiding is None or s.number != voiding]
    return carried.EarlierBooks(closes_by_id(lake), periods, rows)


def due(catalog: Catalog, label: str, legal_entity: str, now: datetime) -> tuple[Partner, ...]:
    """The partners that a legal entity invoices.

    Raises BadPeriod, and Refused if there is none or if all their months are not over.
    """
    partners = catalog.payers(legal_entity)
    if not partners:
        known = ", ".join(e.id for e in catalog.legal_entities) or "none"
        raise Refused([f"no partner belongs to legal entity {legal_entity!r}; the catalog has: {known}"])
    running = close_checks.running(partners, label, now)
    if len(running) == len(partners):
        raise Refused([problem for problems in running.values() for problem in problems])
    return partners


def bills_of(warehouse: Warehouse, catalog: Catalog, partners: Sequence[Partner], label: str, lake: Lake) -> Bills:
    """The bills of a month from the current lake, even if the month is not over. Nothing is written."""
    before = settled_periods(lake)
    usage = warehouse.usage_of(catalog)
    reopened = _spans(_reopened(lake, before, label))
    ends = settled.last_ends(before)
    rests_on = history.looked_back(lake, partners)
    return bills(catalog, label, usage, ends, partners, grants=warehouse.grants(), reopened=reopened, before=rests_on)


def settled_periods(lake: Lake) -> list[SettledPeriod]:
    """Every settled billing period, of all legal entities."""
    closes = closes_by_id(lake)

    def partners_of(close_id: str) -> list[Partner]:
        return closes[close_id].partners()

    return settled.settled(Warehouse(lake, only=[INVOICES.name]), partners_of)


def settled_ends(lake: Lake) -> Mapping[str, datetime]:
    """The end of each partner's last settled period, by partner id. Reads closes only for invoices of earlier versions.

    The proofs of closes are left to whoever bills from them.
    """

    @cache
    def closes() -> Mapping[str, Close]:
        return closes_by_id(lake)

    def partners_of(close_id: str) -> list[Partner]:
        return closes()[close_id].partners()

    return settled.last_ends(settled.settled(Warehouse(lake, only=[INVOICES.name]), partners_of))


def _closed_before(
    lake: Lake, catalog: Catalog, label: str, partners: Sequence[Partner], before: Sequence[SettledPeriod]
) -> Close:
    """The newest close of a month that is settled for all partners. Raises Refused if its input has changed since."""
    ids = {p.id for p in partners}
    settling = {s.close_id for s in before if s.label == label and s.partner_id in ids}
    closes = [c for c in all_closes(lake) if c.close_id in settling]
    if not closes:
        message = (
            f"{label} lies before the first month that is settled for {', '.join(sorted(ids)[:_SHOWN])}; months are issued in order, and "
            f"an earlier one cannot follow a later one: bill it by a correction"
        )
        raise Refused([message])
    warehouse = Warehouse(lake, only=[ROLLUPS.name])
    same_catalog = closes[-1].catalog().canonical_json() == catalog.canonical_json()
    for made in closes:
        if not same_catalog or not _same_usage(warehouse, made, before):
            message = (
                f"{made.period} of {made.legal_entity} was closed as {made.close_id} and invoiced; what changed since (usage or catalog) "
                f"is not in those invoices and needs a correction (late usage: the next invoice bills it, or `tollbook invoice adjust` now; "
                f"prices: `tollbook invoice rebill`). `tollbook invoice issue` without --catalog gives the invoices again"
            )
            raise Refused([message])
    return closes[-1]


def _same_usage(warehouse: Warehouse, made: Close, before: Sequence[SettledPeriod]) -> bool:
    """Whether the usage that a close billed is unchanged, whatever version of Tollbook made the close."""
    usage = made.content["usage"]
    spans = [(s.partner_id, s.start, s.end) for s in before if s.close_id == made.close_id and s.partner_id in usage]
    return bool(made.rules.usage_sha256(warehouse, spans, made.catalog()) == usage)


def reopened_periods(lake: Lake) -> list[SettledPeriod]:
    """The periods of voided invoices that are open again, each with the number of the voided invoice."""
    return settled.reopened(Warehouse(lake, only=[INVOICES.name]), settled_periods(lake))


def _reopened(
    lake: Lake, before: Sequence[SettledPeriod], label: str, voiding: str | None = None
) -> dict[str, SettledPeriod]:
    """The periods of a month that are open again, by partner id. With `voiding`, only that of this invoice."""
    if voiding is not None:
        return {s.partner_id: s for s in settled_periods(lake) if s.number == voiding}
    found = settled.reopened(Warehouse(lake, only=[INVOICES.name]), before)
    return {period.partner_id: period for period in found if period.label == label}


def _spans(reopened: Mapping[str, SettledPeriod]) -> dict[str, Period]:
    return {partner_id: Period(period.start, period.end) for partner_id, period in reopened.items()}


def _replaces(reopened: Mapping[str, SettledPeriod], ready: Bills) -> dict[str, Any]:
    """What the close stores of voided invoices whose periods it bills again: their numbers, by partner id."""
    replaced = {p: reopened[p].number for p in sorted(reopened) if p in ready.periods}
    return {"replaces": replaced} if replaced else {}


def _reach(
    partners: Sequence[Partner], label: str, ends: Mapping[str, datetime], reopened: Iterable[SettledPeriod]
) -> Period:
    """The shortest period that contains the billing periods of all the partners."""
    periods = [month(label, p.time_zone) for p in partners]
    starts = [min(ends.get(p.id, period.start), period.start) for p, period in zip(partners, periods, strict=True)]
    bounds = list(reopened)
    return Period(
        min([*starts, *(period.start for period in bounds)]),
        max([*(period.end for period in periods), *(period.end for period in bounds)]),
    )


def _content(
    lake: Lake, warehouse: Warehouse, catalog: Catalog, label: str, legal_entity: str, ready: Bills
) -> dict[str, Any]:
    refusals = warehouse.query("refusals").to_pylist()
    canonical = catalog.canonical_json()
    billed = [(d.partner.id, d.period.start, d.period.end) for d in ready.drafts]
    versions = {shape.name: warehouse.versions[shape.name] for shape in _PINNED if shape.name in warehouse.versions}
    if granted := warehouse.versions.get(
        GRANTS.name
    ):  # a lake without any has equal closes to those of earlier versions
        versions[GRANTS.name] = granted
    return {
        "rules": rules.NEWEST,
        "layout": LAYOUT,
        "period": label,
        "legal_entity": legal_entity,
        "code_version": CODE_VERSION,
        "catalog_sha256": hashlib.sha256(canonical.encode()).hexdigest(),
        "catalog": json.loads(canonical),
        "versions": versions,
        # Without `reads`, which holds the names of log files, so that equal logs in another folder are equal input.
        # The close itself holds the values that it uses of that table.
        "files_sha256": proofs.files_sha256(lake, {name: n for name, n in versions.items() if name != READS.name}),
        "partners": {partner_id: period.as_json() for partner_id, period in ready.periods.items()},
        "blocked": ready.blocked,
        # Without file names, so that the same logs in another folder are the same input.
        "offsets": [{k: row[k] for k in _OFFSET} for row in warehouse.query("offsets").to_pylist()],
        "completeness": [
            {
                **{
                    k: row[k]
                    for k in ("source", "entries", "counted", "duplicates", "conflicts", "refused", "unexplained")
                },
                "last_event_at": row["last_event_at"].isoformat() if row["last_event_at"] else None,
                "refused_by_reason": {r["reason"]: r["entries"] for r in refusals if r["source"] == row["source"]},
            }
            for row in duck.rows(warehouse.query("completeness"))
        ],
        "usage": warehouse.usage_of(catalog).sha256(billed),
    }


def _record(lake: Lake, made: Close) -> Close:
    table = lake.open(CLOSES)
    then = Warehouse(lake, {CLOSES.name: table.version}, only=[CLOSES.name])
    earlier = newest_in(then, made.period, made.legal_entity)
    if earlier is not None and earlier.close_id == made.close_id:
        return earlier
    app = f"close/{made.legal_entity}/{made.period}"
    # The newest close has the latest `closed_at`. A clock that went back must not put this one before an older one.
    if earlier is not None:
        made = made._replace(closed_at=max(made.closed_at, earlier.closed_at + timedelta(microseconds=1)))
    lake.pin(made.content["versions"])
    part = lake.write(CLOSES, pa.Table.from_pylist([made._asdict()], CLOSES.schema))
    table.commit(
        [part],
        versions={app: (table.transaction_version(app) or 0) + 1},
        info={"close_id": made.close_id},
    )
    return made


def _canonical(content: dict[str, Any]) -> str:
    return json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
