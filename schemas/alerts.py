"""What an alert is, whatever its kind, and what the ledger in table `alerts` says about it.

Detectors return alerts, `aggregate/alerts/ledger.py` records them, and every sink sends what was recorded.
"""

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, NamedTuple


class Kind(StrEnum):
    """What an alert is about. A value is never renamed: it is part of the ids of alerts."""

    QUOTA = "quota"  # a threshold of a quota was reached
    EXHAUSTION = "exhaustion"  # at the present rate a quota will be used up before the period ends
    BUDGET = "budget"  # a threshold of a budget in money was reached
    THROTTLE = "throttle"  # more requests than the rate and burst of the plan allow
    NEIGHBOUR = "neighbour"  # one partner's load slowed the others down
    NETWORK = "network"  # a credential was used from outside its networks
    CREDENTIAL = "credential"  # an unknown credential has traffic
    CONFLICT = "conflict"  # entries of a source contradict events that were counted
    SILENCE = "silence"  # a partner that is never silent sends nothing
    JUMP = "jump"  # far more or fewer requests than in the same hour of earlier weeks
    LAG = "lag"  # Tollbook itself is behind


class State(StrEnum):
    """What the newest row of the ledger says about an alert."""

    FIRED = "fired"
    RESTATED = "restated"  # it still holds, with another time or other evidence; the earlier statement stays on record
    TIMED = "timed"  # it holds as it was stated, and its time is known now
    WITHDRAWN = "withdrawn"  # it does not hold after a correction


class Alert(NamedTuple):
    """One alert. Two alerts with the same kind, subject and key are the same alert, and it fires once.

    `at` is the event time at which the condition began to hold, and never the time of a clock. `ends_at` is the event
    time at which it ended or will end (for a quota, the end of its period). None: it goes on.

    `evidence` has the figures that prove it, as JSON values; quantities and money are text, so that they stay exact.
    """

    kind: Kind
    subject: str  # a partner, credential (KIND:HASH), source or worker: what people are told that it concerns
    key: Mapping[str, str]  # what distinguishes it among the alerts of its kind and subject: period, threshold, limit …
    at: datetime | None
    evidence: Mapping[str, Any]
    partner_id: str | None = None  # whose endpoint may be told; None: it concerns the operator only
    ends_at: datetime | None = None

    @property
    def alert_id(self) -> str:
        """The id, which is the same whenever and wherever the alert is computed."""
        return alert_id(self.kind, self.subject, self.key)


def alert_id(kind: Kind, subject: str, key: Mapping[str, str]) -> str:
    """The id of an alert: a hash of its kind, subject and key.

    Alerts on quotas had ids of their own before there were other kinds, and keep them.
    """
    if kind is Kind.QUOTA:
        return quota_id(subject, key, Kind.QUOTA)
    text = json.dumps([kind, subject, sorted(key.items())], ensure_ascii=False, separators=(",", ":"))
    return _digest(text)


def quota_id(partner_id: str, key: Mapping[str, str], what: str) -> str:
    """The id of an alert on a quota (`what`: quota), or of its first withdrawal (withdrawn).

    A key without `limit_since` is of a version that did not record it.
    """
    parts = [partner_id, *(key[name] for name in ("meter", "plan", "quota_period", "period_start"))]
    parts.append(str(Decimal(key["threshold_percent"]).normalize()))
    if "limit_since" in key:
        parts += [key["limit"], key["limit_since"]]
    return _digest("\x1f".join([*parts, what]))


class Statement(NamedTuple):
    """What one row of table `alerts` says. The newest statement about an alert is the one with the greatest number.

    `alert` has the time, end and evidence of this statement. Those of a withdrawal show why the alert does not hold.
    """

    statement_id: str  # the column `alert_id`, and the id of the message
    number: int  # 1: the alert fired; 2: the next statement about it …
    state: State
    alert: Alert
    alert_id: str
    events_version: int | None  # the commit that it is based on

    @property
    def holds(self) -> bool:
        """Whether the alert holds, as far as this statement says."""
        return self.state is not State.WITHDRAWN


def statement_of(
    alert: Alert, state: State, *, events_version: int | None, after: Statement | None = None
) -> Statement:
    """The statement that follows the one before (`after`) about the same alert; the first one fires it.

    The first withdrawal of an alert on a quota keeps the id that it had before there were other kinds.
    """
    about = after.alert_id if after else alert.alert_id
    number = after.number + 1 if after else 1
    if number == 1:
        own = about
    elif (alert.kind, state, number) == (Kind.QUOTA, State.WITHDRAWN, 2):  # the one after the first
        own = quota_id(alert.subject, alert.key, State.WITHDRAWN)
    else:
        own = f"{about}-{number}"
    return Statement(own, number, state, alert, about, events_version)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:24]
