"""What must be stated when the ledger is compared with the alerts that hold now. Pure, and the same for all kinds.

An alert fires once. It is restated if its material part changed, or if it holds again after a withdrawal. If it was
stated before its time was known, and nothing else changed, the time follows in a statement of its own. An alert is
withdrawn if a detector examined it and it does not hold. No statement is changed or deleted.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from schemas.alerts import Alert, State, Statement, statement_of


def whole(alert: Alert) -> object:
    """The part of an alert whose change is stated, unless its kind says otherwise: all of it."""
    return alert.at, alert.ends_at, dict(alert.evidence)


def last_evidence(alert: Alert) -> Mapping[str, Any]:
    """The evidence of a withdrawal, unless its kind says otherwise: that of the statement before."""
    return alert.evidence


def reconciled(
    statements: Mapping[str, Statement],
    current: Sequence[Alert],
    covers: Callable[[Alert], bool],
    *,
    events_version: int | None,
    material: Callable[[Alert], object] = whole,
    refuted_by: Callable[[Alert], Mapping[str, Any]] = last_evidence,
) -> list[Statement]:
    """The statements that are due, in the order of `current`, and then withdrawals in the order of `statements`.

    statements: the newest statement about each alert of one kind, by alert id. current: all alerts of this kind that
    hold. covers: whether an alert was examined; one that was not stays as it is. A statement that is based on a later
    commit than `events_version` is newer than what was seen, and nothing is stated about its alert.
    """
    is_newer = {alert_id for alert_id, s in statements.items() if (s.events_version or 0) > (events_version or 0)}
    due = []
    holding = set()
    for alert in current:
        alert_id = alert.alert_id
        if alert_id in holding:
            raise ValueError(f"two alerts have the id {alert_id}: {alert.kind} of {alert.subject}")
        holding.add(alert_id)
        known = statements.get(alert_id)
        if alert_id in is_newer:
            continue
        if known is None:
            due.append(statement_of(alert, State.FIRED, events_version=events_version))
        elif not known.holds or material(known.alert) != material(alert):
            only_time = (
                known.holds
                and known.alert.at is None
                and material(known.alert._replace(at=alert.at)) == material(alert)
            )
            state = State.TIMED if only_time else State.RESTATED
            due.append(statement_of(alert, state, events_version=events_version, after=known))
    for alert_id, known in statements.items():
        if known.holds and alert_id not in holding | is_newer and covers(known.alert):
            refuted = known.alert._replace(evidence=refuted_by(known.alert))
            due.append(statement_of(refuted, State.WITHDRAWN, events_version=events_version, after=known))
    return due
