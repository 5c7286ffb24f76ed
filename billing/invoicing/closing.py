"""Close: the act that fixes the input of a month's invoices: table versions, offsets, completeness, billing periods, catalog.

A close is refused while anything of the books is unexplained. What is wrong with one partner blocks the invoice of that
partner and of no other: it is named in the close, and billed from a later close of its own. The same input gives the same
close; other input gives a new one that supersedes it, as long as nothing was issued from the earlier one.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple

import pyarrow as pa

from billing.catalog import loading as catalogs
from billing.invoicing import proofs, rules
from billing.invoicing.render import glyphs
from billing.rating import settled
from billing.rating.bills import Bills, bills
from billing.rating.drafts import Draft
from billing.rating.periods import BillingPeriod, Period, is_settled, month
from billing.rating.settled import SettledPeriod
from billing.usage import refused
from billing.usage.warehouse import Warehouse
from lake import duck
from lake.lake import Lake
from lake.tables import Damaged, LakeError
from schemas.catalog.records import Catalog, Partner
from schemas.tables import (
    CLOSES,
    DUPLICATES,
    EVENTS,
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
    """A business rule forbids it. `problems` holds every reason, each with its remedy."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(self.problems))


class Close(NamedTuple):
    """One close. `document` is canonical JSON; `close_id` is its hash, so the time is no part of it."""

    close_id: str
    period: str
    legal_entity: str
    document: str
    closed_at: datetime

    @property
    def content(self) -> dict[str, Any]:
        """The document, read. It is shared: do not change it."""
        return _read(self.document)

    @property
    def rules(self) -> rules.Rules:
        """The rules that it is billed and proved by."""
        try:
            return rules.of(self.content)
        except KeyError as exc:
            raise LakeError(
                f"close {self.close_id} was made by rules {exc} of a later version; upgrade tollbook"
            ) from exc

    def catalog(self) -> Catalog:
        """The catalog as it was when the period was closed."""
        return catalogs.of_close(self.document)

    def partners(self) -> list[Partner]:
        """The partners whose month was closed, without those that were blocked."""
        return self.rules.partners(self.content, self.catalog())

    @property
    def blocked(self) -> dict[str, list[str]]:
        """The partners that have no invoice from this close, each with everything in its way."""
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
    """Fix the input of the invoices of `legal_entity` for the month `label`, of all partners whose month is not settled.

    `prove(versions, start, end)` gives what is wrong with the books at those table versions; anything forbids the close.
    `accept_refused`: why entries of unknown credentials may stay refused; without it they forbid the close, unless the
    period's newest close has accepted them.

    Raises Refused with every reason where the books are wrong or no partner can be billed; else `blocked` of the close names
    those that cannot. Nothing is written when the newest close of the period already fixes the same input.
    """
    partners = due(catalog, label, legal_entity, now)
    before = settled_periods(lake)
    ends = settled.last_ends(before)
    unsettled = [p for p in partners if p.id not in ends or not is_settled(label, p.time_zone, ends[p.id])]
    if not unsettled:
        return _closed_before(lake, catalog, label, partners, before)
    house = Warehouse(lake, lake.consistent_cut())
    reach = _reach(unsettled, label, ends)
    earlier = _newest(house, label, legal_entity)
    unknown = refused.accepted(house, *reach, accept_refused, None if earlier is None else earlier.content)
    wrong = prove(house.versions, *reach)[:_SHOWN] + _unexplained(house) + unknown.problems(label)
    outcome = bills(catalog, label, house.usage_of(catalog), ends, unsettled)
    blocked = _blocked(
        outcome.blocked,
        _running(unsettled, label, now),
        _strangers(house, catalog, label, reach),
        _anomalies(house, catalog, outcome.periods),
        _undrawn(catalog, legal_entity, outcome.drafts),
    )
    ready = Bills(
        tuple(d for d in outcome.drafts if d.partner.id not in blocked),
        {partner_id: period for partner_id, period in outcome.periods.items() if partner_id not in blocked},
        blocked,
    )
    if wrong or not ready.periods:
        raise Refused([*wrong, *(problem for problems in blocked.values() for problem in problems)])
    document = _canonical(_content(lake, house, catalog, label, legal_entity, ready) | unknown.content())
    return _record(lake, Close(proofs.close_id_of(document), label, legal_entity, document, now))


def due(catalog: Catalog, label: str, legal_entity: str, now: datetime) -> tuple[Partner, ...]:
    """The partners that a legal entity invoices. Raises Refused where there is none, or the month of none of them is over; BadPeriod."""
    partners = catalog.payers(legal_entity)
    if not partners:
        known = ", ".join(e.id for e in catalog.legal_entities) or "none"
        raise Refused([f"no partner belongs to legal entity {legal_entity!r}; the catalog has: {known}"])
    running = _running(partners, label, now)
    if len(running) == len(partners):
        raise Refused([problem for problems in running.values() for problem in problems])
    return partners


def bills_of(house: Warehouse, catalog: Catalog, partners: Sequence[Partner], label: str, lake: Lake) -> Bills:
    """What a month would be billed as the lake stands, over or not: nothing is fixed by it."""
    return bills(catalog, label, house.usage_of(catalog), settled.last_ends(settled_periods(lake)), partners)


def settled_periods(lake: Lake) -> list[SettledPeriod]:
    """Every settled billing period, of all legal entities."""
    closes = closes_by_id(lake)

    def partners_of(close_id: str) -> list[Partner]:
        return closes[close_id].partners()

    return settled.settled(Warehouse(lake, only=[INVOICES.name]), partners_of)


def newest_close(lake: Lake, label: str, legal_entity: str) -> Close | None:
    """The close that counts, or None."""
    return _newest(Warehouse(lake, only=[CLOSES.name]), label, legal_entity)


class _ById(dict[str, Close]):
    """Closes by id; one that an invoice names and that is not there is damage."""

    def __init__(self, lake: Lake) -> None:
        super().__init__({made.close_id: made for made in all_closes(lake)})
        self._lake = lake

    def __missing__(self, close_id: str) -> Close:
        raise LakeError(
            f"close {close_id}, which an invoice names, is missing in {self._lake}; restore table closes from a backup"
        )


def closes_by_id(lake: Lake) -> Mapping[str, Close]:
    """Every close by its id, read and proved once. A look-up of one that is missing raises LakeError."""
    return _ById(lake)


def close_by_id(lake: Lake, close_id: str) -> Close:
    """The close of that id, which an invoice names."""
    return closes_by_id(lake)[close_id]


def all_closes(lake: Lake) -> list[Close]:
    """Every close, the newest of a period last."""
    return _closes(Warehouse(lake, only=[CLOSES.name]))


def pinned(lake: Lake, made: Close) -> Warehouse:
    """The lake as it was when the period was closed."""
    return Warehouse(lake, made.content["versions"])


def _closes(house: Warehouse) -> list[Close]:
    found = [Close(**row) for row in house.query("closes").to_pylist()]
    if problems := [p for made in found for p in proofs.close_document(made.close_id, made.document)]:
        raise Damaged("; ".join(problems))
    return found


def _newest(house: Warehouse, label: str, legal_entity: str) -> Close | None:
    found = [c for c in _closes(house) if (c.period, c.legal_entity) == (label, legal_entity)]
    return found[-1] if found else None


def _closed_before(
    lake: Lake, catalog: Catalog, label: str, partners: Sequence[Partner], before: Sequence[SettledPeriod]
) -> Close:
    """The newest close of a month that is settled for all partners, if its input is what it was; else Refused."""
    ids = {p.id for p in partners}
    settling = {s.close_id for s in before if s.label == label and s.partner_id in ids}
    closes = [c for c in all_closes(lake) if c.close_id in settling]
    if not closes:
        message = (
            f"{label} lies before the first month that is settled for {', '.join(sorted(ids)[:_SHOWN])}; months are issued in order, and "
            f"an earlier one cannot follow a later one: bill it by a correction"
        )
        raise Refused([message])
    house = Warehouse(lake, only=[ROLLUPS.name])
    same_catalog = closes[-1].catalog().canonical_json() == catalog.canonical_json()
    for made in closes:
        if not same_catalog or not _same_usage(house, made, before):
            message = (
                f"{made.period} of {made.legal_entity} was closed as {made.close_id} and invoiced; what changed since (usage or catalog) "
                f"is not in those invoices and needs a correction. `tollbook invoice verify` lists late usage, "
                f"`tollbook invoice issue` without --catalog gives the invoices again"
            )
            raise Refused([message])
    return closes[-1]


def _same_usage(house: Warehouse, made: Close, before: Sequence[SettledPeriod]) -> bool:
    """Whether the usage that a close billed is what it was. Which version of Tollbook made it does not matter."""
    usage = made.content["usage"]
    spans = [(s.partner_id, s.start, s.end) for s in before if s.close_id == made.close_id and s.partner_id in usage]
    return bool(made.rules.usage_sha256(house, spans) == usage)


def _reach(partners: Sequence[Partner], label: str, ends: Mapping[str, datetime]) -> Period:
    """The billing periods of all the partners together."""
    periods = [month(label, p.time_zone) for p in partners]
    starts = [min(ends.get(p.id, period.start), period.start) for p, period in zip(partners, periods, strict=True)]
    return Period(min(starts), max(period.end for period in periods))


def _blocked(*found: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """What blocks each partner, from all sides, by partner id."""
    together: dict[str, list[str]] = {}
    for problems in found:
        for partner_id, some in problems.items():
            together.setdefault(partner_id, []).extend(some)
    return dict(sorted(together.items()))


def _running(partners: Sequence[Partner], label: str, now: datetime) -> dict[str, list[str]]:
    """Partners whose month is not over."""
    ends = [(p, month(label, p.time_zone).end) for p in partners]
    return {
        p.id: [
            f"period {label} of partner {p.id} is not over before {end:%Y-%m-%dT%H:%MZ} ({p.time_zone}); close it then"
        ]
        for p, end in ends
        if now < end
    }


def _unexplained(house: Warehouse) -> list[str]:
    """Entries that the tables should hold at the cut and do not. What is on its way, on Kafka or behind the cut, is none of them."""
    return [
        f"source {row['source']}: {row['unexplained']} of {row['entries']} entries were taken in and are in no table; `tollbook verify` says "
        f"more: restore the lake from a backup, then close again"
        for row in duck.rows(house.query("completeness"))
        if row["unexplained"]
    ]


def _strangers(house: Warehouse, catalog: Catalog, label: str, reach: Period) -> dict[str, list[str]]:
    """Usage of partners that the catalog does not have: nobody can be billed for it."""
    house.con.register("partners", pa.table({"partner_id": pa.array([p.id for p in catalog.partners], pa.string())}))
    return {
        r["partner_id"]: [
            f"partner {r['partner_id']} has {r['requests']} requests in {label} but is not in the catalog; bring the partner back"
        ]
        for r in duck.rows(house.query("strangers", reach._asdict()))
    }


def _anomalies(house: Warehouse, catalog: Catalog, periods: Mapping[str, BillingPeriod]) -> dict[str, list[str]]:
    """Events of an unlikely size are counted, but nobody is billed for them before a person has released them."""
    if not periods:
        return {}
    released = {(source.id, event_id) for source in catalog.sources for event_id in source.released}
    reach = {"start": min(p.start for p in periods.values()), "end": max(p.end for p in periods.values())}
    found: dict[str, list[str]] = {}
    for row in house.query("anomalies", reach).to_pylist():
        period = periods.get(row["partner_id"])
        if period is None or not period.start <= row["occurred_at"] < period.end:
            continue
        problems = found.setdefault(row["partner_id"], [])
        if (row["source"], row["event_id"]) not in released and len(problems) < _SHOWN:
            problems.append(
                f"event {row['event_id']} of source {row['source']} says {row['size']:,} bytes or microseconds for partner {row['partner_id']}; "
                f"if that is true, add the event's id to `released` of the source in the catalog"
            )
    return {partner_id: problems for partner_id, problems in found.items() if problems}


def _undrawn(catalog: Catalog, legal_entity: str, drafts: Sequence[Draft]) -> dict[str, list[str]]:
    """Partners whose invoice would show a box in the place of a character, because no font of ours has it."""
    entity = catalog.legal_entity(legal_entity)
    seller = [entity.name, *entity.address, entity.tax_note, entity.email, entity.vat_id, entity.iban]
    found = {}
    for draft in drafts:
        partner = draft.partner
        texts = [*seller, partner.name, *partner.address, partner.reference, partner.vat_id]
        for line in draft.lines:
            meter = catalog.meter(line.rate.meter) if line.rate.meter else None
            texts += [line.rate.description, *([meter.description, meter.unit] if meter else [])]
        if missing := glyphs.missing_glyphs("\n".join(dict.fromkeys(text for text in texts if text))):
            found[partner.id] = [glyphs.problem(partner.id, missing)]
    return found


def _content(
    lake: Lake, house: Warehouse, catalog: Catalog, label: str, legal_entity: str, ready: Bills
) -> dict[str, Any]:
    refusals = house.query("refusals").to_pylist()
    canonical = catalog.canonical_json()
    billed = [(d.partner.id, d.period.start, d.period.end) for d in ready.drafts]
    versions = {shape.name: house.versions[shape.name] for shape in _PINNED if shape.name in house.versions}
    return {
        "rules": rules.NEWEST,
        "period": label,
        "legal_entity": legal_entity,
        "code_version": CODE_VERSION,
        "catalog_sha256": hashlib.sha256(canonical.encode()).hexdigest(),
        "catalog": json.loads(canonical),
        "versions": versions,
        # Without `reads`, which holds the names of log files: the same logs in another folder are the same input. What a close takes
        # of that table stands in the close.
        "files_sha256": proofs.files_sha256(lake, {name: n for name, n in versions.items() if name != READS.name}),
        "partners": {partner_id: period.as_json() for partner_id, period in ready.periods.items()},
        "blocked": ready.blocked,
        # Without the files' names, which are for people: the same logs in another folder are the same input.
        "offsets": [{k: row[k] for k in _OFFSET} for row in house.query("offsets").to_pylist()],
        "completeness": [
            {
                **{
                    k: row[k]
                    for k in ("source", "entries", "counted", "duplicates", "conflicts", "refused", "unexplained")
                },
                "last_event_at": row["last_event_at"].isoformat() if row["last_event_at"] else None,
                "refused_by_reason": {r["reason"]: r["entries"] for r in refusals if r["source"] == row["source"]},
            }
            for row in duck.rows(house.query("completeness"))
        ],
        "usage": house.usage_sha256(billed),
    }


def _record(lake: Lake, made: Close) -> Close:
    table = lake.open(CLOSES)
    then = Warehouse(lake, {CLOSES.name: table.version}, only=[CLOSES.name])
    earlier = _newest(then, made.period, made.legal_entity)
    if earlier is not None and earlier.close_id == made.close_id:
        return earlier
    app = f"close/{made.legal_entity}/{made.period}"
    # The newest close is the one closed last: a clock that went back must not bring an older one up again.
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
