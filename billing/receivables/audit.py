"""The audit trail in table `audit`: who did what to which document, and when.

Rows are appended, each with the hash of the row before. A row that was changed, or one that is missing, breaks the
chain (`problems`). The rows are also the record of what has no other table: proposals, approvals, sent invoices and
payments.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import pyarrow as pa

from billing.usage.warehouse import Warehouse
from lake.errors import Fenced
from lake.lake import Lake
from schemas.money import plain
from schemas.tables import AUDIT

WHAT = ("close", "propose", "approve", "issue", "credit", "void", "sent", "payment")
UNNAMED = "unnamed"  # who acted, where a program calls without a name
_APP = "audit"  # this transaction version is the number of the last row
_BY_EACH = frozenset({"propose", "approve"})  # recorded once per person; everything else once
_NOTHING_BEFORE = ""


class AuditEntry(NamedTuple):
    """What happened. `subject` is a close id, a document number or, of a payment, its transaction id.

    `facts` is what JSON can hold. Amounts are decimal strings.
    """

    what: str
    subject: str
    facts: Mapping[str, Any]


class AuditRow(NamedTuple):
    """A row of table `audit`. `facts` is canonical JSON."""

    number: int
    recorded_at: datetime
    recorded_by: str
    what: str
    subject: str
    facts: str
    before_sha256: str
    sha256: str

    @property
    def content(self) -> dict[str, Any]:
        """The parsed facts."""
        return json.loads(self.facts)  # type: ignore[no-any-return]

    @property
    def key(self) -> tuple[str, ...]:
        """What is recorded only once."""
        return _key(self.what, self.subject, self.recorded_by)


def rows(lake: Lake) -> list[AuditRow]:
    """All rows in their order. A lake of an earlier version has none."""
    return [] if lake.lacks(AUDIT) else _read(lake, lake.open(AUDIT).version)


def record(lake: Lake, entries: Sequence[AuditEntry], *, by: str, now: datetime) -> list[AuditRow]:
    """Append a row for each entry that is not recorded yet, in one commit. Returns the new rows.

    Call it after the commit that it tells of, and again when the command is repeated: a row that a killed process did
    not write is written then. Of two processes at once, the second appends after the first.
    """
    if not entries:
        return []
    if lake.lacks(AUDIT):
        lake.add_table(AUDIT)
    while True:
        table = lake.open(AUDIT)
        new = appended(_read(lake, table.version), entries, by=by, now=now)
        if not new:
            return []
        part = lake.write(AUDIT, pa.Table.from_pylist([row._asdict() for row in new], AUDIT.schema))
        try:
            table.commit([part], versions={_APP: new[-1].number}, info={"audit_sha256": new[-1].sha256})
        except Fenced:
            continue
        return new


def issued(row: Mapping[str, Any]) -> AuditEntry:
    """That a document was issued, from its row in table `invoices` (billing/sql/invoices.sql)."""
    names = ("close_id", "partner_id", "currency", "json_sha256")
    return AuditEntry("issue", row["number"], {**{name: row[name] for name in names}, "total": plain(row["total"])})


def appended(before: Sequence[AuditRow], entries: Sequence[AuditEntry], *, by: str, now: datetime) -> list[AuditRow]:
    """The rows that follow `before`, without what is recorded already. No row is earlier than the one before."""
    known = {row.key for row in before}
    last = before[-1] if before else None
    new: list[AuditRow] = []
    for entry in entries:
        if entry.what not in WHAT:
            raise ValueError(f"{entry.what!r} is not recorded in the audit trail; known: {', '.join(WHAT)}")
        if (key := _key(entry.what, entry.subject, by)) in known:
            continue
        row = AuditRow(
            number=1 if last is None else last.number + 1,
            recorded_at=now if last is None else max(now, last.recorded_at),
            recorded_by=by,
            what=entry.what,
            subject=entry.subject,
            facts=json.dumps(dict(entry.facts), sort_keys=True, ensure_ascii=False, separators=(",", ":")),
            before_sha256=_NOTHING_BEFORE if last is None else last.sha256,
            sha256="",
        )
        last = row._replace(sha256=_hash(row))
        known.add(key)
        new.append(last)
    return new


def problems(found: Sequence[AuditRow]) -> list[str]:
    """A problem for each row at which the chain is broken: the row was changed, or a row before it is missing."""
    remedy = "restore table audit from a backup"
    broken = []
    before = None
    for position, row in enumerate(found, 1):
        named = f"audit row {row.number} ({row.what} {row.subject})"
        expected = 1 if before is None else before.number + 1
        if row.number != expected:
            broken.append(f"{named}: it should be number {expected}, so rows are missing or there twice; {remedy}")
        elif row.before_sha256 != (_NOTHING_BEFORE if before is None else before.sha256):
            broken.append(f"{named}: it names another row before it than row {position - 1}; {remedy}")
        if row.sha256 != _hash(row):
            broken.append(f"{named}: it was changed after it was recorded (its SHA-256 differs); {remedy}")
        before = row
    return broken


def _key(what: str, subject: str, who: str) -> tuple[str, ...]:
    return (what, subject, who) if what in _BY_EACH else (what, subject)


def _hash(row: AuditRow) -> str:
    """The hash of a row: of everything in it but the hash itself."""
    parts = [
        row.number, row.recorded_at.astimezone(UTC).isoformat(), row.recorded_by, row.what, row.subject, row.facts, row.before_sha256,
    ]  # fmt: skip
    return hashlib.sha256(json.dumps(parts, ensure_ascii=False, separators=(",", ":")).encode()).hexdigest()


def _read(lake: Lake, version: int) -> list[AuditRow]:
    found = Warehouse(lake, {AUDIT.name: version}, only=[AUDIT.name]).query("audit")
    return [AuditRow(**row) for row in found.to_pylist()]
