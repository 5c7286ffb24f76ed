"""Close: the act that fixes a period's input. Versions, offsets, completeness, catalog; the invoices follow from them.

A close is refused while anything is unexplained. The same input gives the same close; other input gives a new one that
supersedes it, unless invoices were issued from the earlier one.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from billing import catalog as catalogs
from billing import proofs, quota_statement, rating, refused
from billing.periods import Period, local_day, month, segments, uncovered
from billing.rating import Ask, Draft
from billing.warehouse import Span, Warehouse
from schemas import integers, lake
from schemas.catalog import Catalog, Partner
from schemas.following import consistent_cut
from schemas.lake import Damaged, LakeError
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
        """The document, read."""
        return json.loads(self.document)  # type: ignore[no-any-return]

    def catalog(self) -> Catalog:
        """The catalog as it was when the period was closed."""
        return catalogs.of_close(self.document)

    def partners(self) -> list[Partner]:
        """The partners whose month was closed."""
        return list(self.catalog().payers(self.legal_entity))


def close(
    root: Path,
    catalog: Catalog,
    label: str,
    legal_entity: str,
    *,
    prove: Prove,
    now: datetime,
    accept_refused: str | None = None,
) -> Close:
    """Fix the input of all invoices of `legal_entity` for the month `label`. Raises Refused with every reason.

    `prove(versions, start, end)` gives what is wrong with the books at those table versions; anything forbids the close. `accept_refused`: why entries
    of unknown credentials may stay refused; without it they forbid the close, unless the period's newest close has accepted them.

    Nothing is written when the newest close of the period already fixes the same input.
    """
    partners = catalog.payers(legal_entity)
    if not partners:
        known = ", ".join(e.id for e in catalog.legal_entities) or "none"
        raise Refused([f"no partner belongs to legal entity {legal_entity!r}; the catalog has: {known}"])
    early = [(p, month(label, p.time_zone).end) for p in partners]
    if open_until := [(p, end) for p, end in early if now < end]:
        raise Refused(
            [
                f"period {label} of partner {p.id} is not over before {end:%Y-%m-%dT%H:%MZ} ({p.time_zone}); close it then"
                for p, end in open_until
            ]
        )
    house = Warehouse(root, consistent_cut(root))
    drafts, problems = drafts_of(house, catalog, partners, label)
    earlier = _newest(house, label, legal_entity)
    unknown = refused.accepted(
        house, *_reach(partners, label), accept_refused, None if earlier is None else earlier.content
    )
    problems = (
        prove(house.versions, *_reach(partners, label))[:_SHOWN]
        + _unexplained(house)
        + _strangers(house, catalog, partners, label)
        + _anomalies(house, catalog, partners, label)
        + unknown.problems(label)
        + problems
    )
    if problems:
        raise Refused(problems)
    document = _canonical(_content(house, catalog, label, legal_entity, drafts) | unknown.content())
    return _record(root, Close(proofs.close_id_of(document), label, legal_entity, document, now))


def drafts_of(
    house: Warehouse, catalog: Catalog, partners: Sequence[Partner], label: str
) -> tuple[list[Draft], list[str]]:
    """Rate every partner's month at the pinned versions: drafts (only those with lines) and everything in their way."""
    drafts: list[Draft] = []
    problems: list[str] = []
    asks: list[Ask] = []
    for partner in partners:
        asked, found = rating.ask(catalog, partner, label)
        problems += found
        if asked.lines:
            asks.append(asked)
    problems += _without_plan(house, catalog, partners, label)
    usage = iter(house.usage(catalog, [span for asked in asks for span in asked.spans()]))
    for asked in asks:
        made, found = rating.draft(catalog, asked, [next(usage) for _ in asked.spans()])
        problems += found
        if made.lines:
            drafts.append(made)
    rows = quota_statement.statements(house, catalog, [(d.partner, d.period) for d in drafts])
    return [d._replace(quotas=quotas) for d, quotas in zip(drafts, rows, strict=True)], problems


def newest_close(root: Path, label: str, legal_entity: str) -> Close | None:
    """The close that counts, or None."""
    return _newest(Warehouse(root, only=[CLOSES.name]), label, legal_entity)


def close_by_id(root: Path, close_id: str) -> Close:
    """The close of that id, which an invoice names."""
    for made in all_closes(root):
        if made.close_id == close_id:
            return made
    raise LakeError(
        f"close {close_id}, which an invoice names, is missing in {root}; restore table closes from a backup"
    )


def all_closes(root: Path) -> list[Close]:
    """Every close, the newest of a period last."""
    return _closes(Warehouse(root, only=[CLOSES.name]))


def pinned(root: Path, made: Close) -> Warehouse:
    """The lake as it was when the period was closed."""
    return Warehouse(root, made.content["versions"])


def _closes(house: Warehouse) -> list[Close]:
    found = [Close(**row) for row in house.query("closes").to_pylist()]
    if problems := [p for made in found for p in proofs.close_document(made.close_id, made.document)]:
        raise Damaged("; ".join(problems))
    return found


def _newest(house: Warehouse, label: str, legal_entity: str) -> Close | None:
    found = [c for c in _closes(house) if (c.period, c.legal_entity) == (label, legal_entity)]
    return found[-1] if found else None


def _reach(partners: Sequence[Partner], label: str) -> Period:
    """The month in all the partners' time zones together."""
    periods = [month(label, p.time_zone) for p in partners]
    return Period(min(p.start for p in periods), max(p.end for p in periods))


def _without_plan(house: Warehouse, catalog: Catalog, partners: Sequence[Partner], label: str) -> list[str]:
    """Usage at times at which its partner had no plan: nobody could say what it costs."""
    spans: list[Span] = []
    without: dict[str, str] = {}
    for partner in partners:
        period = month(label, partner.time_zone)
        gaps = uncovered(period, segments(catalog, partner, period))
        spans += [Span(partner.id, "", *gap) for gap in gaps]
        days = [(local_day(gap.start, partner.time_zone), local_day(gap.end, partner.time_zone)) for gap in gaps]
        without[partner.id] = ", ".join(f"from {first} to before {after}" for first, after in days)
    return [
        f"partner {row['partner_id']} has {row['requests']} requests in {label} while it has no plan ({without[row['partner_id']]}); "
        f"assign one for that time in the catalog, at a price of 0 if it is free"
        for row in house.used(spans)
        if row["requests"]  # not 0: all of it was taken out again
    ]


def _unexplained(house: Warehouse) -> list[str]:
    """Entries that the tables should hold at the cut and do not. What is on its way, on Kafka or behind the cut, is none of them."""
    return [
        f"source {row['source']}: {row['unexplained']} of {row['entries']} entries were taken in and are in no table; `tollbook verify` says "
        f"more: restore the lake from a backup, then close again"
        for row in integers.rows(house.query("completeness"))
        if row["unexplained"]
    ]


def _strangers(house: Warehouse, catalog: Catalog, partners: Sequence[Partner], label: str) -> list[str]:
    house.con.register("partners", pa.table({"partner_id": pa.array([p.id for p in catalog.partners], pa.string())}))
    rows = integers.rows(house.query("strangers", _reach(partners, label)._asdict()))
    return [
        f"partner {r['partner_id']} has {r['requests']} requests in {label} but is not in the catalog; bring the partner back"
        for r in rows
    ]


def _anomalies(house: Warehouse, catalog: Catalog, partners: Sequence[Partner], label: str) -> list[str]:
    """Events of an unlikely size are counted, but nobody is billed for them before a person has released them."""
    released = {(source.id, event_id) for source in catalog.sources for event_id in source.released}
    internal = {partner.id for partner in catalog.partners if partner.is_internal}
    return [
        f"event {row['event_id']} of source {row['source']} says {row['size']:,} bytes or microseconds for partner {row['partner_id']}; "
        f"if that is true, add the event's id to `released` of the source in the catalog"
        for row in house.query("anomalies", _reach(partners, label)._asdict()).to_pylist()
        if (row["source"], row["event_id"]) not in released and row["partner_id"] not in internal
    ][:_SHOWN]


def _content(
    house: Warehouse, catalog: Catalog, label: str, legal_entity: str, drafts: Sequence[Draft]
) -> dict[str, Any]:
    refusals = house.query("refusals").to_pylist()
    return {
        "period": label,
        "legal_entity": legal_entity,
        "code_version": CODE_VERSION,
        "catalog_sha256": catalog.sha256,
        "catalog": json.loads(catalog.canonical_json()),
        "versions": {shape.name: house.versions[shape.name] for shape in _PINNED if shape.name in house.versions},
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
            for row in integers.rows(house.query("completeness"))
        ],
        "usage": {d.partner.id: house.usage_sha256(d.partner.id, *d.period) for d in drafts},
    }


def _record(root: Path, made: Close) -> Close:
    table = lake.open_table(root, CLOSES)
    then = Warehouse(root, {CLOSES.name: table.version()}, only=[CLOSES.name, INVOICES.name])
    earlier = _newest(then, made.period, made.legal_entity)
    if earlier is not None and earlier.close_id == made.close_id:
        return earlier
    if earlier is not None and any(row["close_id"] == earlier.close_id for row in then.query("invoices").to_pylist()):
        if all(earlier.content[k] == made.content[k] for k in ("usage", "catalog_sha256", "code_version")):
            return earlier  # what has come since belongs to other months
        message = (
            f"{made.period} of {made.legal_entity} was closed as {earlier.close_id} and invoiced; what changed since (usage or catalog) "
            f"is not in those invoices and needs a correction. `tollbook invoice verify` lists late usage, "
            f"`tollbook invoice issue` without --catalog gives the invoices again"
        )
        raise Refused([message])
    app = f"close/{made.legal_entity}/{made.period}"
    # The newest close is the one closed last: a clock that went back must not bring an older one up again.
    if earlier is not None:
        made = made._replace(closed_at=max(made.closed_at, earlier.closed_at + timedelta(microseconds=1)))
    part = lake.write_part(root, CLOSES, pa.Table.from_pylist([made._asdict()], CLOSES.schema))
    lake.commit(
        table,
        CLOSES,
        [part],
        versions={app: (table.transaction_version(app) or 0) + 1},
        info={"close_id": made.close_id},
    )
    return made


def _canonical(content: dict[str, Any]) -> str:
    return json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
