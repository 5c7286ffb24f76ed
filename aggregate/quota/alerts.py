"""The ledger of alerts in table `alerts`: which alerts have fired, and the recording of those that are due."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import pyarrow as pa

from aggregate import engine
from aggregate.quota.rule import Alert, AlertRule, Fired, Mark
from lake import duck
from lake.lake import Lake, Table
from schemas.tables import ALERTS

_APP = "quota"
Key = tuple[str, str, str, str, datetime]  # partner, meter, plan, DAY | WEEK | MONTH, start of the period


class Ledger(NamedTuple):
    """The alerts that have fired for each quota and period, and the version of the table that they were read from."""

    table: Table
    fired: Mapping[Key, Fired]


def ledger(lake: Lake) -> Ledger:
    """The current ledger."""
    con = duck.connect()
    table = lake.open(ALERTS)
    duck.scan(con, ALERTS.name, table.files(), ALERTS, mixed=table.is_mixed)
    return Ledger(table, _fired(engine.run(con, "fired").to_pylist()))


def _fired(rows: Sequence[Mapping[str, Any]]) -> dict[Key, Fired]:
    fired: dict[Key, Fired] = {}
    marks: dict[str, Mark] = {}
    for row in rows:  # fired alerts come before withdrawals
        key = (row["partner_id"], row["meter"], row["plan"], row["quota_period"], row["period_start"])
        marked = fired.get(key, Fired())
        threshold = row["threshold_percent"].normalize()
        if row["kind"] == "quota":
            mark = marks[row["alert_id"]] = Mark(threshold, row["quota"], row["limit_since"])
            fired[key] = marked._replace(alerts=[*marked.alerts, mark])
        elif row["withdraws"] is not None:
            fired[key] = marked._replace(withdrawn=[*marked.withdrawn, marks[row["withdraws"]]])
        else:  # written by an earlier version, which fired each threshold once
            back = [m for m in marked.alerts if m.threshold_percent == threshold and m.limit_since is None]
            fired[key] = marked._replace(withdrawn=[*marked.withdrawn, *back])
    return fired


def key_of(rule: AlertRule) -> Key:
    """The key of a rule in the ledger.

    It has the kind of period, as a day and a month can start at the same instant.
    """
    return rule.partner_id, rule.meter, rule.plan, rule.kind, rule.start


def record(
    lake: Lake, table: Table, alerts: Sequence[Alert], crossed_at: Mapping[str, datetime], *, events_version: int
) -> None:
    """Record due alerts in one commit to the ledger's `table`.

    `crossed_at` maps an alert id to the event time of the crossing.

    Raises lake.errors.Fenced if another process recorded alerts since the ledger was read. Read it again then.
    """
    if not alerts:
        return
    rows = [
        {
            "alert_id": a.alert_id,
            "kind": a.kind,
            "partner_id": a.rule.partner_id,
            "meter": a.rule.meter,
            "plan": a.rule.plan,
            "quota_period": a.rule.kind,
            "period_start": a.rule.start,
            "period_end": a.rule.end,
            "threshold_percent": a.threshold_percent,
            "used": a.used,
            "quota": a.rule.limit,
            "passed": a.passed,
            "crossed_at": crossed_at.get(a.alert_id),
            "projected_exhaustion_at": a.projected_exhaustion_at,
            "events_version": events_version,
            "limit_since": a.rule.limit_since,
            "withdraws": a.withdraws,
        }
        for a in alerts
    ]
    part = lake.write(ALERTS, pa.Table.from_pylist(rows, ALERTS.schema))
    table.commit(
        [part],
        versions={_APP: (table.transaction_version(_APP) or 0) + 1},
        info={"events": events_version},
    )
