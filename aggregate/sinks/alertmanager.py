"""Alertmanager, API v2: an alert that holds is firing, and one that was withdrawn or has ended is resolved.

Alertmanager forgets what it is not told again, and keeps nothing over a restart. A firing alert is therefore sent with
the time until which it counts, and everything that holds is sent again before that time.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from aggregate.sinks import http
from aggregate.sinks.http import Target
from aggregate.sinks.notices import Notice
from aggregate.sinks.sink import Answer, Outcome, SinkRoute, TellsNoEnds
from schemas.zones import utc_text

EXPIRES_S = 300  # Alertmanager's own default, resolve_timeout
_BATCH = 500  # alerts in a request


@dataclass(frozen=True, kw_only=True)
class AlertmanagerSink(TellsNoEnds):
    """One Alertmanager. `expires_s`: how long an alert counts as firing after it was last sent."""

    target: Target
    route: SinkRoute = field(default_factory=SinkRoute)
    expires_s: float = EXPIRES_S
    token: str | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """The name by which its progress is kept."""
        return self.target.name

    @property
    def wants_times(self) -> bool:
        """An alert has the time at which it began."""
        return True

    @property
    def refresh_s(self) -> float | None:
        """Four times before an alert expires, so that it survives three failures."""
        return self.expires_s / 4

    def send(self, notice: Notice, now: datetime) -> Outcome:
        """Post one alert, firing or resolved."""
        return self._posted([alert(notice, now, self.expires_s)])

    def refresh(self, holding: Sequence[Notice], now: datetime) -> Outcome:
        """Post all alerts that hold and have not ended."""
        firing = [alert(n, now, self.expires_s) for n in holding if n.ends_at is None or n.ends_at > now]
        for begin in range(0, len(firing), _BATCH):
            outcome = self._posted(firing[begin : begin + _BATCH])
            if outcome.answer is not Answer.DELIVERED:
                return outcome
        return Outcome(Answer.DELIVERED)

    def _posted(self, alerts: Sequence[Mapping[str, Any]]) -> Outcome:
        headers = {"content-type": "application/json"}
        if self.token is not None:
            headers["authorization"] = f"Bearer {self.token}"
        return http.outcome(self.target, json.dumps(alerts, ensure_ascii=False).encode(), headers)


def alert(notice: Notice, now: datetime, expires_s: float) -> dict[str, Any]:
    """The alert that Alertmanager gets. Its labels are the same in all statements, and identify it.

    An alert that had ended before it was known is firing until it expires: Alertmanager tells nobody about an alert
    that it first sees resolved.
    """
    expires_at = now + timedelta(seconds=expires_s)
    ends_at = min(expires_at, max(notice.ends_at, now)) if notice.ends_at and notice.ends_at > now else expires_at
    if notice.ends_by(now):
        ends_at = now
    begins = {} if notice.at is None else {"startsAt": utc_text(min(notice.at, now))}
    labels = {
        "alertname": f"Tollbook{notice.kind.capitalize()}",
        "alert_id": notice.alert_id,
        "kind": str(notice.kind),
        "severity": notice.severity.name.lower(),
        "subject": notice.subject,
        **({"partner": notice.partner} if notice.partner else {}),
    }
    annotations = {
        "summary": notice.title,
        "description": "\n".join(f"{name}: {value}" for name, value in notice.facts),
        "statement_id": notice.statement_id,
    }
    return {"labels": labels, "annotations": annotations, **begins, "endsAt": utc_text(ends_at)}
