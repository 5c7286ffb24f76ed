"""Slack (incoming webhook) and PagerDuty (Events API v2). The secret is the URL of the one and the key of the other."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar

from aggregate.sinks import http
from aggregate.sinks.http import Target
from aggregate.sinks.notices import Notice, Severity
from aggregate.sinks.sink import Outcome, SinkRoute, TellsPeople

PAGERDUTY_URL = "https://events.pagerduty.com/v2/enqueue"
_SUMMARY_MAX = 1024  # characters, by PagerDuty
_HEADER_MAX, _TEXT_MAX = 150, 2900  # characters, by Slack: 150 and 3,000
_JSON = {"content-type": "application/json"}
_SIGNS = {Severity.INFO: "", Severity.WARNING: "⚠️ ", Severity.CRITICAL: "🚨 "}


@dataclass(frozen=True, kw_only=True)
class SlackSink(TellsPeople):
    """One channel, whose URL is a secret."""

    target: Target
    route: SinkRoute = field(default_factory=SinkRoute)

    @property
    def name(self) -> str:
        """The name by which its progress is kept."""
        return self.target.name

    def send(self, notice: Notice, now: datetime) -> Outcome:
        """Post a message."""
        del now
        return http.outcome(self.target, json.dumps(slack(notice), ensure_ascii=False).encode(), _JSON)


@dataclass(frozen=True, kw_only=True)
class PagerDutySink(TellsPeople):
    """One service, with its integration key."""

    target: Target
    key: str = field(repr=False)
    route: SinkRoute = field(default_factory=SinkRoute)
    tells_ends: ClassVar[bool] = True

    @property
    def name(self) -> str:
        """The name by which its progress is kept."""
        return self.target.name

    def send(self, notice: Notice, now: datetime) -> Outcome:
        """Trigger or resolve the incident of an alert."""
        return self._posted(_resolve(notice) if notice.ends_by(now) else pagerduty(notice))

    def end(self, notice: Notice, now: datetime) -> Outcome:
        """Resolve the incident of an alert that has ended; without one, PagerDuty ignores it."""
        del now
        return self._posted(_resolve(notice))

    def _posted(self, event: Mapping[str, Any]) -> Outcome:
        event = {"routing_key": self.key, **event}
        return http.outcome(self.target, json.dumps(event, ensure_ascii=False).encode(), _JSON)


def slack(notice: Notice) -> dict[str, Any]:
    """The message for Slack. `text` is what notifications show."""
    title = notice.title if not notice.holds else f"{_SIGNS[notice.severity]}{notice.title}"
    facts = "\n".join(f"*{_escaped(name)}:* {_escaped(value)}" for name, value in notice.facts)
    about = f"{notice.kind} · {notice.severity.name.lower()} · {notice.statement_id}"
    return {
        "text": _escaped(title),
        "blocks": [
            {"type": "header", "text": {"type": "plain_text", "text": title[:_HEADER_MAX]}},
            {"type": "section", "text": {"type": "mrkdwn", "text": facts[:_TEXT_MAX] or "no figures"}},
            {"type": "context", "elements": [{"type": "mrkdwn", "text": _escaped(about)}]},
        ],
    }


def pagerduty(notice: Notice) -> dict[str, Any]:
    """The event for PagerDuty without its key. All statements about an alert are about one incident."""
    if not notice.holds:
        return _resolve(notice)
    payload = {
        "summary": notice.title[:_SUMMARY_MAX],
        "source": notice.subject,
        "severity": notice.severity.name.lower(),
        **({"timestamp": notice.at.isoformat()} if notice.at else {}),
        "class": str(notice.kind),
        **({"group": notice.partner} if notice.partner else {}),
        "custom_details": {"statement_id": notice.statement_id, "key": notice.key, "evidence": notice.evidence},
    }
    return {"event_action": "trigger", "dedup_key": notice.alert_id, "client": "Tollbook", "payload": payload}


def _resolve(notice: Notice) -> dict[str, Any]:
    return {"event_action": "resolve", "dedup_key": notice.alert_id}


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
