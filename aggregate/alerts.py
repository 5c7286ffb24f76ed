"""The ledger of alerts: table `alerts`. What fired is read from it, what is due is added to it, once."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

import pyarrow as pa

from aggregate import engine
from aggregate.quota import Alert, Fired, Rule
from schemas import lake
from schemas.tables import ALERTS

_APP = "quota"
Key = tuple[str, str, str, str, datetime]  # partner, meter, plan, DAY | WEEK | MONTH, start of the period


def fired(root: Path) -> dict[Key, Fired]:
    """What has fired of each quota of each partner in each of its periods."""
    con = engine.connect()
    engine.scan(con, "alerts", lake.pinned_files(root, ALERTS), ALERTS.schema)
    ledger: dict[Key, Fired] = {}
    for row in engine.run(con, "fired").to_pylist():
        key = (row["partner_id"], row["meter"], row["plan"], row["quota_period"], row["period_start"])
        held = ledger.get(key, Fired())
        threshold = row["threshold_percent"].normalize()
        if row["kind"] == "withdrawn":
            ledger[key] = held._replace(withdrawn=[*held.withdrawn, threshold])
        else:
            ledger[key] = held._replace(thresholds=[*held.thresholds, threshold])
    return ledger


def key_of(rule: Rule) -> Key:
    """Under what the ledger holds a rule: a day and a month can begin at the same instant."""
    return rule.partner_id, rule.meter, rule.plan, rule.kind, rule.start


def record(root: Path, alerts: Sequence[Alert], crossed_at: Mapping[str, datetime], *, events_version: int) -> None:
    """Add alerts that are due, in one commit. `crossed_at`: alert id → event time of the crossing.

    Raises schemas.lake.Fenced when another process recorded alerts since: read the ledger again.
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
        }
        for a in alerts
    ]
    table = lake.open_table(root, ALERTS)
    part = lake.write_part(root, ALERTS, pa.Table.from_pylist(rows, ALERTS.schema))
    lake.commit(
        table,
        ALERTS,
        [part],
        versions={_APP: (table.transaction_version(_APP) or 0) + 1},
        info={"events": events_version},
    )
