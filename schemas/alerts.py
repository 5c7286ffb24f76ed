"""What an alert is, whatever its kind, and what the ledger in table `alerts` says about it.

Detectors return alerts, `aggregate/alerts/ledger.py` records them, and every sink sends what was recorded.
"""

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
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

    Alerts on quotas had ids of their own before (aggregate/quota/rule.py), and keep them.
    """
    text = json.dumps([kind, subject, sorted(key.items())], ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:24]
