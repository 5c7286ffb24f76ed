"""Screens of alerts: a list, and the history of one; and a statement as JSON."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from aggregate.alerts.sentences import about
from schemas.alerts import Statement
from tollbook.cli.figures import instant
from tollbook.cli.terminal import out, sentence, table

if TYPE_CHECKING:
    from tollbook.cli.alerts.sending import Delivered  # the extra `kafka`

_ID_DIGITS = 8  # as many as tell a few thousand alerts apart


def list_(statements: Sequence[Statement]) -> None:
    """The newest statement about each alert."""
    if not statements:
        sentence("No alert matches.")
        return
    view = table("Alerts (times in UTC)", "alert", "kind", "state", "subject", "at", "until", "about")
    for statement in statements:
        alert = statement.alert
        view.row(
            statement.alert_id[:_ID_DIGITS], str(alert.kind), str(statement.state), alert.subject,
            instant(alert.at), instant(alert.ends_at), about(alert.kind, alert.key, alert.evidence),
        )  # fmt: skip
    out.print(view)
    sentence("`tollbook alerts show ALERT` shows the history and the evidence of one.", style="dim")


def show(history: Sequence[Statement]) -> None:
    """The statements about one alert, from the first to the newest."""
    first = history[0]
    sentence((f"{first.alert.kind}", "bold"), f" of {first.alert.subject}, alert {first.alert_id}")
    for name, value in first.alert.key.items():
        out.print(f"  {name}: {value}", soft_wrap=True, markup=False, highlight=False)
    for statement in history:
        alert = statement.alert
        view = table(f"{statement.number}. {statement.state}", "what", "value")
        for name, value in (
            ("at", alert.at and alert.at.isoformat()), ("ends_at", alert.ends_at and alert.ends_at.isoformat()),
            ("events_version", statement.events_version), *alert.evidence.items(),
        ):  # fmt: skip
            view.row(name, "" if value is None else str(value))
        out.print(view)


def delivered(rows: Sequence["Delivered"]) -> None:
    """What each sink got."""
    view = table(None, "sink", ">delivered", ">failed")
    for row in rows:
        view.row(row.sink, f"{row.delivered:,}", f"{row.failed:,}")
    out.print(view)


def statement_row(statement: Statement) -> dict[str, Any]:
    """A statement as JSON."""
    alert = statement.alert
    return {
        "alert_id": statement.alert_id,
        "statement_id": statement.statement_id,
        "number": statement.number,
        "state": statement.state,
        "kind": alert.kind,
        "subject": alert.subject,
        "partner_id": alert.partner_id,
        "key": dict(alert.key),
        "at": alert.at,
        "ends_at": alert.ends_at,
        "evidence": dict(alert.evidence),
        "events_version": statement.events_version,
    }
