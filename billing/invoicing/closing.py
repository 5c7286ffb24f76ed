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
from functools import cache, lru_cache
from typing import Any, NamedTuple

import pyarrow as pa

from billing.catalog import loading as catalogs
from billing.invoicing import close_checks, history, proofs, rules
from billing.periods import Period, is_settled, month
from billing.rating import refused, settled
from billing.rating.bills import Bills, bills
from billing.rating.settled import SettledPeriod
from billing.usage.warehouse import Warehouse
from lake import duck
from lake.errors import Damaged, LakeError
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

CODE_VERSION = "0.1.0"
_PINNED = (EVENTS, WITHDRAWN, ROLLUPS, DUPLICATES, LETTERS, REDRIVEN, READS, INGESTED, TOPICS)
_OFFSET = ("source", "generation", "next_offset")
_SHOWN = 20

Prove = Callable[[Mapping[str, int], datetime, datetime], list[str]]


class Refused(Exception):
    """A business rule forbids the action. `problems` holds every reason with its remedy."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(self.problems))


class Close(NamedTuple):
    """A close. `document` is canonical JSON and `close_id` is its hash, so the id does not depend on `closed_at`."""

    close_id: str
    period: str
    legal_entity: str
    document: str
    closed_at: datetime

    @property
    def content(self) -> dict[str, Any]:
        """The parsed document. It is shared between callers; do not modify it."""
        return _read(self.document)

    @property
    def rules(self) -> rules.Rules:
        """The rules by which the close is billed and verified."""
        try:
            return rules.of(self.content)
        except KeyError as exc:
            raise LakeError(f"close {self.close_id} uses rules {exc} of a later version; upgrade tollbook") from exc

    def catalog(self) -> Catalog:
        """The catalog at the time of the close."""
        return catalogs.of_close(self.document)

    def partners(self) -> list[Partner]:
        """The partners whose month the close settles, without blocked partners."""
        return self.rules.partners(self.content, self.catalog())

    @property
    def blocked(self) -> dict[str, list[str]]:
        """The partners without an invoice from this close, each with its problems."""
        return self.content.get("blocked", {})  # type: ignore[no-any-return]


@lru_cache(maxsize=8)
def _read(document: str) -> dict[str, Any]:
    return json.loads(document)  # type: ignore[no-any-return]


def close(
    lake: Lake,
    catalog: Catalog,
    label: str,
    legal_entity: str,
    *,
    prove: Prove,
    now: datetime,
    accept_refused: str | None = None,
) -> Close:
    """Pins the input of the invoices of `legal_entity` for the month `label`, for all partners not settled yet.

    `prove(versions, start, end)` returns the problems of the books at those table versions. Any problem forbids the
    close. `accept_refused` is the reason for leaving entries of unknown credentials refused. Without it such entries
    forbid the close, unless the newest close of the period accepted them.

    Raises Refused with every reason if the books have problems or no partner can be billed. Otherwise `blocked` of the
    close names the partners that cannot be billed. Nothing is written if the newest close of the period already pins
    the same input.
    """
    partners = due(catalog, label, legal_entity, now)
    before = settled_periods(lake)
    ends = settled.last_ends(before)
    reopened = _reopened(lake, before, label)
    unsettled = [
        p for p in partners if p.id in reopened or p.id not in ends or not is_settled(label, p.time_zone, ends[p.id])
    ]
    if not unsettled:
        return _closed_before(lake, catalog, label, partners, before)
    warehouse = Warehouse(lake, lake.consistent_cut())
    reach = _reach(unsettled, label, ends, reopened.values())
    earlier = _newest(warehouse, label, legal_entity)
    unknown = refused.accepted(warehouse, *reach, accept_refused, None if earlier is None else earlier.content)
    wrong = prove(warehouse.versions, *reach)[:_SHOWN] + close_checks.unexplained(warehouse) + unknown.problems(label)
    rests_on = history.looked_back(lake, unsettled)
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
        close_checks.missing_glyphs(catalog, legal_entity, outcome.drafts),
    )
    ready = Bills(
        tuple(d for d in outcome.drafts if d.partner.id not in blocked),
        {partner_id: period for partner_id, period in outcome.periods.items() if partner_id not in blocked},
        blocked,
    )
    if wrong or not ready.periods:
        raise Refused([*wrong, *(problem for problems in blocked.values() for problem in problems)])
    content = _content(lake, warehouse, catalog, label, legal_entity, ready) | unknown.content()
    document = _canonical(content | _replaces(reopened, ready) | history.pins(rests_on, ready.periods.keys()))
    return _record(lake, Close(proofs.close_id_of(document), label, legal_entity, document, now))


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


def newest_close(lake: Lake, label: str, legal_entity: str) -> Close | None:
    """The newest close of the period and legal entity, or None."""
    return _newest(Warehouse(lake, only=[CLOSES.name]), label, legal_entity)


class _ById(dict[str, Close]):
    """Closes by id. A look-up of a missing close raises LakeError, because an invoice refers to it."""

    def __init__(self, lake: Lake) -> None:
        super().__init__({made.close_id: made for made in all_closes(lake)})
        self._lake = lake

    def __missing__(self, close_id: str) -> Close:
        raise LakeError(
            f"close {close_id}, which an invoice names, is missing in {self._lake}; restore table closes from a backup"
        )


def closes_by_id(lake: Lake) -> Mapping[str, Close]:
    """Every close by its id, read and verified once. A look-up of a missing close raises LakeError."""
    return _ById(lake)


def close_by_id(lake: Lake, close_id: str) -> Close:
    """The close with this id, to which an invoice refers."""
    return closes_by_id(lake)[close_id]


def all_closes(lake: Lake) -> list[Close]:
    """All closes. The newest close of a period comes last."""
    return _closes(Warehouse(lake, only=[CLOSES.name]))


def pinned(lake: Lake, made: Close) -> Warehouse:
    """The lake at the table versions of a close."""
    return Warehouse(lake, pinned_versions(made))


def pinned_versions(made: Close) -> dict[str, int]:
    """The table versions of a close. One that names no version of `grants` was made when there were none."""
    return {GRANTS.name: 0, **made.content["versions"]}


def _closes(warehouse: Warehouse) -> list[Close]:
    found = [Close(**row) for row in warehouse.query("closes").to_pylist()]
    if problems := [p for made in found for p in proofs.close_document(made.close_id, made.document)]:
        raise Damaged("; ".join(problems))
    return found


def _newest(warehouse: Warehouse, label: str, legal_entity: str) -> Close | None:
    found = [c for c in _closes(warehouse) if (c.period, c.legal_entity) == (label, legal_entity)]
    return found[-1] if found else None


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
                f"is not in those invoices and needs a correction. `tollbook invoice verify` lists late usage, "
                f"`tollbook invoice issue` without --catalog gives the invoices again"
            )
            raise Refused([message])
    return closes[-1]


def _same_usage(warehouse: Warehouse, made: Close, before: Sequence[SettledPeriod]) -> bool:
    """Whether the usage that a close billed is unchanged, whatever version of Tollbook made the close."""
    usage = made.content["usage"]
    spans = [(s.partner_id, s.start, s.end) for s in before if s.close_id == made.close_id and s.partner_id in usage]
    return bool(made.rules.usage_sha256(warehouse, spans) == usage)


def reopened_periods(lake: Lake) -> list[SettledPeriod]:
    """The periods of voided invoices that are open again, each with the number of the voided invoice."""
    return settled.reopened(Warehouse(lake, only=[INVOICES.name]), settled_periods(lake))


def _reopened(lake: Lake, before: Sequence[SettledPeriod], label: str) -> dict[str, SettledPeriod]:
    """The periods of a month that are open again, by partner id."""
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
        "usage": warehouse.usage_sha256(billed),
    }


def _record(lake: Lake, made: Close) -> Close:
    table = lake.open(CLOSES)
    then = Warehouse(lake, {CLOSES.name: table.version}, only=[CLOSES.name])
    earlier = _newest(then, made.period, made.legal_entity)
    if earlier is not None and earlier.close_id == made.close_id:
        return earlier
    app = f"close/{made.legal_entity}/{made.period}"
    # The newest close has the latest `closed_at`. A clock that went back must not put this one before an older one.
    if earlier is not None:
        made = made._replace(closed_at=max(made.closed_at, earlier.closed_at + timedelta(microseconds=1)))
    part = lake.write(CLOSES, pa.Table.from_pylist([made._asdict()], CLOSES.schema))
    table.commit(
        [part],
        versions={app: (table.transaction_version(app) or 0) + 1},
        info={"close_id": made.close_id},
    )
    return made


def _canonical(content: dict[str, Any]) -> str:
    return json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
