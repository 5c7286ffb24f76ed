"""Screens of alerts: what a run stated about them, and each statement as JSON."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from aggregate.alerts.ledger import row_of
from aggregate.alerts.sentences import about
from schemas.alerts import Kind, State, Statement
from schemas.catalog.records import Catalog
from schemas.money import plain
from schemas.zones import zone
from tollbook.cli.figures import aligned, instant, metered, zone_of
from tollbook.cli.terminal import out, sentence, table

_PERIODS = {"DAY": "{:%Y-%m-%d}", "WEEK": "{:%G-W%V}", "MONTH": "{:%Y-%m}"}
_QUOTA_COLUMNS = (
    "meter", "plan", "threshold_percent", "used", "quota", "limit_since", "passed", "quota_period", "period_start", "period_end",
    "crossed_at", "projected_exhaustion_at",
)  # fmt: skip


def alerts_tables(catalog: Catalog, statements: Sequence[Statement]) -> None:
    """What a run stated: alerts on quotas with the time when they will be used up, then alerts of other kinds."""
    quotas = [s for s in statements if s.alert.kind is Kind.QUOTA]
    if quotas:
        _quotas_table(catalog, quotas)
    if others := [s for s in statements if s.alert.kind is not Kind.QUOTA]:
        statements_table("Other alerts (times in UTC)", others)


def statements_table(title: str, statements: Sequence[Statement]) -> None:
    """Statements of any kind: about what, since when, and the figures that matter."""
    view = table(title, "kind", "subject", "at", "until", "state", "about")
    for statement in statements:
        alert = statement.alert
        view.row(
            alert.kind, alert.subject, instant(alert.at), instant(alert.ends_at), statement.state,
            about(alert.kind, alert.key, alert.evidence),
        )  # fmt: skip
    out.print(view)


def _quotas_table(catalog: Catalog, statements: Sequence[Statement]) -> None:
    view = table("Alerts (times in UTC)", "partner", "meter", ">at", ">used", ">quota", "period", ">crossed", "")
    ahead = []
    for statement in statements:
        alert, key, evidence = statement.alert, statement.alert.key, statement.alert.evidence
        start = datetime.fromisoformat(key["period_start"]).astimezone(zone(zone_of(catalog, alert.subject)))
        used, limit = aligned([Decimal(evidence["used"]), Decimal(evidence["limit"])])
        crossed = alert.at if statement.holds else None
        what = statement.state if statement.state is not State.FIRED else "passed" if evidence["passed"] else ""
        view.row(
            alert.subject, metered(catalog, key["meter"]), f"{key['threshold_percent']} %", used, limit,
            _PERIODS[key["quota_period"]].format(start), instant(crossed), what,
        )  # fmt: skip
        if (exhausted := evidence["projected_exhaustion_at"]) and not evidence["passed"]:
            ahead.append(
                f"{alert.subject} will have used up {key['meter']} by {instant(datetime.fromisoformat(exhausted))}"
            )
    out.print(view)
    for line in ahead:
        sentence(line, style="yellow")


def alert_row(statement: Statement) -> dict[str, Any]:
    """A statement as JSON. The fields of quotas are only in alerts on quotas."""
    row = row_of(statement)
    quota = {name: _plain(row[name]) for name in _QUOTA_COLUMNS if name in row}
    return {
        "alert_id": statement.statement_id,
        "kind": row["kind"],
        "partner_id": row["partner_id"],
        **quota,
        "withdraws": row["withdraws"],
        "restates": row["restates"],
        "events_version": statement.events_version,
        "subject": statement.alert.subject,
        "key": dict(statement.alert.key),
        "at": statement.alert.at,
        "ends_at": statement.alert.ends_at,
        "evidence": dict(statement.alert.evidence),
    }


def _plain(value: Any) -> Any:
    return plain(value) if isinstance(value, Decimal) else value
