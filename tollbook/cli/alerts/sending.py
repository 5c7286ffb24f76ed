"""`tollbook alerts test` and `replay`: what sinks get on request, outside of the order in which alerts are delivered.

Loading it loads the sinks, which need the extra `kafka`.
"""

import json
import os
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from aggregate.alerts.messages import event
from aggregate.sinks import notices
from aggregate.sinks.file import sinks
from aggregate.sinks.notices import Notice
from aggregate.sinks.outbox import deliver
from aggregate.sinks.sink import Answer, BadSink, Outcome, Sink
from schemas.alerts import Alert, Kind, State, Statement, statement_of
from tollbook.cli.errors import WrongUse

SUBJECT = "TEST of the sinks, nothing is wrong"


class Delivered(NamedTuple):
    """How many notices a sink got, how many it did not take, and why the last of these failed."""

    sink: str
    delivered: int
    failed: int
    reason: str


def chosen(file: Path, name: str | None) -> list[Sink]:
    """The sinks of a file, or the one that is named."""
    try:
        found = sinks(file, os.environ)
    except (BadSink, OSError) as exc:
        raise WrongUse(f"--alerts: {exc}") from exc
    mine = [sink for sink in found if name in {None, sink.name}]
    if not mine:
        raise WrongUse(f"--sink: {file} has no sink named {name}; it has {', '.join(s.name for s in found) or 'none'}")
    return mine


def send_test(receivers: Sequence[Sink], now: datetime) -> list[Delivered]:
    """Send a marked alert, and its end, to each sink, whatever its route."""
    pair = marked_notices(now)
    return [_delivered(sink.name, [sink.send(notice, now) for notice in pair]) for sink in receivers]


def send_again(receivers: Sequence[Sink], statements: Sequence[Statement], now: datetime) -> list[Delivered]:
    """Send statements again, by the routes of the sinks. Their ids are those of the first time."""
    return [_delivered(name, outcomes) for name, outcomes in deliver(receivers, statements, now).items()]


def marked_notices(now: datetime) -> list[Notice]:
    """An alert that is marked as a test in its type, subject and evidence, and its withdrawal."""
    evidence = {"test": "true", "note": "tollbook alerts test sent this; no action is needed"}
    alert = Alert(Kind.LAG, SUBJECT, {"test": now.isoformat()}, now, evidence)
    fired = statement_of(alert, State.FIRED, events_version=None)
    ended = statement_of(alert, State.WITHDRAWN, events_version=None, after=fired)
    bodies = [{**event(statement), "type": "tollbook.lag.test"} for statement in (fired, ended)]
    return [notices.notice(json.dumps(body).encode()) for body in bodies]


def _delivered(name: str, outcomes: Sequence[Outcome]) -> Delivered:
    failed = [outcome for outcome in outcomes if outcome.answer is not Answer.DELIVERED]
    return Delivered(name, len(outcomes) - len(failed), len(failed), failed[-1].reason if failed else "")
