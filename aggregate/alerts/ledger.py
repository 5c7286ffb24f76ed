"""The ledger of alerts in table `alerts`: the newest statement about each alert, and the recording of new ones.

The table is the truth in both deployments. Rows are appended in fenced commits and never changed.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NamedTuple

import pyarrow as pa

from aggregate import engine
from lake import duck
from lake.lake import Lake, Table
from schemas.alerts import Alert, Kind, State, Statement
from schemas.money import plain
from schemas.tables import ALERTS
from schemas.zones import utc_text

_APP = "quota"  # as when there were only alerts on quotas, so that an earlier version is fenced as well
_QUOTA_KINDS = (Kind.QUOTA, Kind.EXHAUSTION)
_LATER = (State.RESTATED, State.TIMED, State.WITHDRAWN)  # rows about an alert that fired in another row


class Ledger(NamedTuple):
    """The newest statement about each alert by its id, and the version of the table that they were read from.

    They are ordered by kind, partner, meter, plan, period, threshold, start of the limit, and id.
    """

    table: Table
    statements: Mapping[str, Statement]

    def of(self, kind: Kind) -> dict[str, Statement]:
        """The statements about alerts of one kind."""
        return {alert_id: s for alert_id, s in self.statements.items() if s.alert.kind is kind}

    def mark(self, name: str) -> int | None:
        """A number that a commit of `record` kept under this name; None: there was none."""
        return self.table.transaction_version(name)


def read(lake: Lake, version: int | None = None) -> Ledger:
    """The ledger at a version of its table, default the newest."""
    table = lake.open(ALERTS, version)
    newest: dict[str, Statement] = {}
    for each in _statements(table.files(), mixed=table.is_mixed):
        newest[each.alert_id] = each  # in the order of their numbers
    return Ledger(table, newest)


def advanced(lake: Lake, book: Ledger) -> Ledger:
    """The current ledger, from an earlier one and the commits since. It reads nothing if there are none."""
    if lake.is_newest(book.table):
        return book
    table = lake.open(ALERTS)
    newest = dict(book.statements)
    for version in range(book.table.version + 1, table.version + 1):
        newest.update((s.alert_id, s) for s in stated(lake, version, newest))
    return Ledger(table, newest)


def next_of(lake: Lake, book: Ledger) -> tuple[Ledger, list[Statement]] | None:
    """The ledger after the next commit, and the statements of this commit. None: there is none yet."""
    if lake.is_newest(book.table):
        return None
    table = lake.open(ALERTS, book.table.version + 1)
    new = stated(lake, table.version, book.statements)
    return Ledger(table, {**book.statements, **{s.alert_id: s for s in new}}), new


def stated(lake: Lake, version: int, known: Mapping[str, Statement]) -> list[Statement]:
    """The statements of one commit, always in the same order. `known` has those of all commits before it."""
    files = lake.added_files(ALERTS, version)
    if not files:
        return []
    alerts = {alert_id: statement.alert for alert_id, statement in known.items()}
    return list(_statements(files, mixed=False, known=alerts))


def history(lake: Lake) -> list[Statement]:
    """All statements: ordered by alerts as in Ledger, and those about one alert by their numbers."""
    table = lake.open(ALERTS)
    return list(_statements(table.files(), mixed=table.is_mixed))


def record(
    lake: Lake, table: Table, new: Sequence[Statement], *, events_version: int, marks: Mapping[str, int] | None = None
) -> Table:
    """Record statements and `marks` in one commit to the ledger's `table`; the table with it.

    Raises lake.errors.Fenced if another process recorded any since the ledger was read. Read and compare again then.
    """
    parts = [lake.write(ALERTS, pa.Table.from_pylist([row_of(s) for s in new], ALERTS.schema))] if new else []
    return table.commit(
        parts,
        versions={_APP: (table.transaction_version(_APP) or 0) + 1, **(marks or {})},
        info={"events": events_version},
    )


def row_of(statement: Statement) -> dict[str, Any]:
    """A statement as a row of table `alerts`."""
    alert = statement.alert
    fired = statement.state is State.FIRED
    return {
        "alert_id": statement.statement_id,
        "kind": alert.kind if fired else statement.state,
        "partner_id": alert.partner_id,
        **(_quota_columns(statement) if alert.kind in _QUOTA_KINDS else {}),
        "events_version": statement.events_version,
        "withdraws": statement.alert_id if statement.state is State.WITHDRAWN else None,
        "subject": alert.subject,
        "key": _json(alert.key),
        "began_at": alert.at,
        "ends_at": alert.ends_at,
        "evidence": _json(alert.evidence),
        "restates": statement.alert_id if statement.state in {State.RESTATED, State.TIMED} else None,
        "number": statement.number,
    }


def statements_of(rows: Iterable[Mapping[str, Any]], known: Mapping[str, Alert]) -> Iterator[Statement]:
    """The statements of rows in which the one that fired an alert comes before the others about it.

    `known` has the alerts that fired in earlier rows, by id. Of rows that an earlier version wrote, a withdrawal may
    name no alert: it is about the one with the same threshold that it wrote.
    """
    alerts = dict(known)
    unnamed: dict[tuple[Any, ...], str] = {}
    for row in rows:
        about = row["withdraws"] or row["restates"]
        place = tuple(row[name] for name in ("partner_id", "meter", "plan", "quota_period", "period_start", "threshold_percent"))  # fmt: skip
        if row["kind"] in _LATER:
            about = about or unnamed[place]
            alert = _restated(alerts[about], row)
            state = State(row["kind"])
        else:
            about, state = row["alert_id"], State.FIRED
            alert = alerts[about] = _alert(row)
            if row["limit_since"] is None:
                unnamed[place] = about
        number = row["number"] or (1 if state is State.FIRED else 2)
        yield Statement(row["alert_id"], number, state, alert, about, row["events_version"])


def _statements(files: list[str], *, mixed: bool, known: Mapping[str, Alert] | None = None) -> Iterator[Statement]:
    con = duck.connect()
    duck.scan(con, ALERTS.name, files, ALERTS, mixed=mixed)
    return statements_of(engine.run(con, "statements").to_pylist(), known or {})


def _alert(row: Mapping[str, Any]) -> Alert:
    kind = Kind(row["kind"])
    if row["subject"] is None:  # written by an earlier version
        alert = Alert(
            kind, row["partner_id"], _quota_key(row), row["crossed_at"], _quota_evidence(row), row["partner_id"]
        )
        return alert._replace(at=_utc(alert.at), ends_at=_utc(row["period_end"]))
    return Alert(
        kind, row["subject"], json.loads(row["key"]), _utc(row["began_at"]), json.loads(row["evidence"]), row["partner_id"],
        _utc(row["ends_at"]),
    )  # fmt: skip


def _restated(alert: Alert, row: Mapping[str, Any]) -> Alert:
    if row["subject"] is None:
        return alert._replace(evidence=_quota_evidence(row))
    return alert._replace(
        at=_utc(row["began_at"]), ends_at=_utc(row["ends_at"]), evidence=json.loads(row["evidence"]), key=json.loads(row["key"])
    )  # fmt: skip


def _quota_key(row: Mapping[str, Any]) -> dict[str, str]:
    key = {
        "meter": row["meter"],
        "plan": row["plan"],
        "quota_period": row["quota_period"],
        "period_start": row["period_start"].astimezone(UTC).isoformat(),
        "threshold_percent": plain(row["threshold_percent"]),
    }
    if row["limit_since"] is not None:
        key |= {"limit": plain(row["quota"]), "limit_since": row["limit_since"].astimezone(UTC).isoformat()}
    return key


def _quota_evidence(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "used": plain(row["used"]),
        "limit": None if row["quota"] is None else plain(row["quota"]),
        "limit_since": _text(row["limit_since"]),
        "passed": row["passed"],
        "projected_exhaustion_at": _text(row["projected_exhaustion_at"]),
    }


def _quota_columns(statement: Statement) -> dict[str, Any]:
    """The columns of alerts on quotas, which were the whole table before there were other kinds."""
    alert = statement.alert
    key, evidence = alert.key, alert.evidence
    threshold = key.get("threshold_percent")
    return {
        "meter": key["meter"],
        "plan": key["plan"],
        "quota_period": key["quota_period"],
        "period_start": datetime.fromisoformat(key["period_start"]),
        "period_end": alert.ends_at,
        "threshold_percent": None if threshold is None else Decimal(threshold),
        "used": Decimal(evidence["used"]),
        "quota": None if evidence["limit"] is None else Decimal(evidence["limit"]),
        "passed": evidence.get("passed"),
        "crossed_at": alert.at if alert.kind is Kind.QUOTA and statement.holds else None,
        "projected_exhaustion_at": _instant(evidence["projected_exhaustion_at"]),
        "limit_since": _instant(evidence["limit_since"]),
    }


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def _utc(instant: datetime | None) -> datetime | None:
    return None if instant is None else instant.astimezone(UTC)


def _text(instant: datetime | None) -> str | None:
    return None if instant is None else utc_text(instant)


def _instant(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
