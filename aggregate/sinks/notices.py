"""A notice: a statement about an alert as it is sent, who may see it, and how urgent it is. Pure.

It is read from the CloudEvent, so that a notice is the same whether it comes from table `alerts` or from the topic.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import IntEnum
from typing import Any

from aggregate.alerts.sentences import about
from schemas.alerts import Kind, State

# What a partner may see of its own alerts: nothing about others, and nothing about our installation.
PARTNER_EVIDENCE: Mapping[Kind, frozenset[str]] = {
    Kind.QUOTA: frozenset({"unit", "used", "limit", "limit_since", "passed", "projected_exhaustion_at", "seen_until"}),
    Kind.EXHAUSTION: frozenset(
        {
            "unit",
            "used",
            "limit",
            "limit_since",
            "projected_exhaustion_at",
            "seen_until",
            "projected_day",
            "quota_ends_at",
        }
    ),
    Kind.BUDGET: frozenset({"amount", "budget", "currency", "passed", "top_lines"}),
    Kind.THROTTLE: frozenset({"rate_per_s", "burst", "peak_per_s", "excess", "requests", "refused", "refused_percent"}),
}
_STATES = {"tollbook.quota.withdrawn": State.WITHDRAWN}  # messages of earlier versions do not say their state
_FULL_PERCENT, _INFO_BELOW_PERCENT = Decimal(100), Decimal(80)


class Severity(IntEnum):
    """How urgent an alert is. It never changes for the same alert, so that its end reaches whoever was told."""

    INFO = 0
    WARNING = 1
    CRITICAL = 2


_SEVERITIES: Mapping[Kind, Severity] = {
    Kind.EXHAUSTION: Severity.WARNING,
    Kind.THROTTLE: Severity.WARNING,
    Kind.NEIGHBOUR: Severity.CRITICAL,
    Kind.NETWORK: Severity.CRITICAL,
    Kind.CREDENTIAL: Severity.WARNING,
    Kind.CONFLICT: Severity.WARNING,
    Kind.SILENCE: Severity.CRITICAL,
    Kind.JUMP: Severity.WARNING,
    Kind.LAG: Severity.CRITICAL,
}
_PREFIXES = {State.FIRED: "", State.RESTATED: "Updated: ", State.TIMED: "Updated: ", State.WITHDRAWN: "Withdrawn: "}


class BadNotice(ValueError):
    """The bytes are no statement about an alert."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One statement to send. `body` is its CloudEvent."""

    statement_id: str
    alert_id: str
    kind: Kind
    state: State
    subject: str
    partner: str | None
    at: datetime | None
    ends_at: datetime | None
    key: Mapping[str, str]
    evidence: Mapping[str, Any]
    body: bytes

    @property
    def holds(self) -> bool:
        """Whether the alert holds, as far as this statement says."""
        return self.state is not State.WITHDRAWN

    def ends_by(self, now: datetime) -> bool:
        """Whether it says of an alert that was sent before that it does not hold, or has ended by now."""
        is_over = self.state is State.RESTATED and self.ends_at is not None and self.ends_at <= now
        return is_over or not self.holds

    @property
    def severity(self) -> Severity:
        """How urgent it is, by its kind, and for quotas and budgets by their threshold."""
        if self.kind in _SEVERITIES:
            return _SEVERITIES[self.kind]
        percent = Decimal(self.key.get("threshold_percent", "100"))
        if percent >= _FULL_PERCENT:
            return Severity.CRITICAL
        return Severity.WARNING if percent >= _INFO_BELOW_PERCENT else Severity.INFO

    @property
    def title(self) -> str:
        """One line for people."""
        return f"{_PREFIXES[self.state]}{self.subject}: {about(self.kind, self.key, self.evidence)}"

    @property
    def facts(self) -> list[tuple[str, str]]:
        """The times, key and evidence as text, for people."""
        times = [("at", self.at), ("ends at", self.ends_at)]
        return [
            *((name, time.isoformat()) for name, time in times if time is not None),
            *((name, value) for name, value in self.key.items()),
            *((name, _shown(value)) for name, value in self.evidence.items() if name not in self.key),
        ]


def notice(body: bytes) -> Notice:
    """The notice of a CloudEvent. Raises BadNotice. Messages of earlier versions are alerts on quotas."""
    try:
        event: Mapping[str, Any] = json.loads(body)
        data: Mapping[str, Any] = event.get("data") or {}
        default = _STATES.get(event.get("type", ""), State.FIRED)
        return Notice(
            statement_id=str(event["id"]),
            alert_id=str(data.get("alert_id") or data.get("withdraws") or event["id"]),
            kind=Kind(data.get("kind", Kind.QUOTA)),
            state=State(data.get("state", default)),
            subject=str(event["subject"]),
            partner=data.get("partner") if "kind" in data else str(event["subject"]),
            at=_instant(data.get("at") or data.get("crossed_at")),
            ends_at=_instant(data.get("ends_at")),
            key=data.get("key") or _early_key(data),
            evidence=data.get("evidence") or {},
            body=body,
        )
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        raise BadNotice(f"not a statement about an alert: {exc!r}") from exc


def for_partner(full: Notice) -> Notice | None:
    """What the partner that an alert is about may see of it; None: nothing.

    Only kinds and figures that are listed are shown, so that a new one is not shown until somebody decides so.
    """
    shown = PARTNER_EVIDENCE.get(full.kind)
    if shown is None or full.partner is None or full.subject != full.partner:
        return None
    if full.evidence.keys() <= shown:
        return full
    event = json.loads(full.body)
    evidence = {name: value for name, value in full.evidence.items() if name in shown}
    event["data"]["evidence"] = evidence
    return Notice(
        **{
            **{name: getattr(full, name) for name in Notice.__slots__},
            "evidence": evidence,
            "body": json.dumps(event, ensure_ascii=False).encode(),
        }
    )


def _early_key(data: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(data[name]) for name in ("meter", "plan", "threshold_percent") if data.get(name) is not None}


def _instant(text: Any) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
