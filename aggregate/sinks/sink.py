"""What every sink is: a name, a route, and one attempt to send a notice. Repeats are the business of whoever calls."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from typing import ClassVar, NamedTuple, Protocol

from aggregate.sinks.notices import Notice, Severity, for_partner
from schemas.alerts import Kind, State


class Answer(Enum):
    """The outcome of one attempt."""

    DELIVERED = auto()
    DISABLED = auto()  # the receiver wants nothing more (410)
    AGAIN = auto()


class Outcome(NamedTuple):
    """The outcome of one attempt, and its reason for the log, which holds no secret."""

    answer: Answer
    reason: str = ""


class BadSink(Exception):
    """The file of sinks or one of its secrets cannot be used. The message says which and why."""


@dataclass(frozen=True, kw_only=True)
class SinkRoute:
    """Which notices a sink gets. `partner`: it is the partner's own, which sees its data only."""

    kinds: frozenset[Kind] | None = None
    partner: str | None = None
    partners: frozenset[str] | None = None
    min_severity: Severity = Severity.INFO

    def view(self, notice: Notice) -> Notice | None:
        """What the sink gets of a notice; None: nothing."""
        if (self.kinds is not None and notice.kind not in self.kinds) or notice.severity < self.min_severity:
            return None
        if self.partners is not None and notice.partner not in self.partners:
            return None
        if self.partner is not None:
            return for_partner(notice) if notice.partner == self.partner else None
        return notice


class Sink(Protocol):
    """A receiver of notices."""

    @property
    def name(self) -> str:
        """Its name, by which its progress is kept."""
        ...

    @property
    def route(self) -> SinkRoute:
        """Which notices it gets."""
        ...

    @property
    def wants_times(self) -> bool:
        """Whether it gets statements that only add the time of an alert. People were told before."""
        ...

    @property
    def refresh_s(self) -> float | None:
        """Seconds after which it must be told again what holds; None: it remembers."""
        ...

    @property
    def tells_ends(self) -> bool:
        """Whether its receiver must be told of alerts that end without a statement."""
        ...

    def send(self, notice: Notice, now: datetime) -> Outcome:
        """Try once. Sending the same notice twice has the effect of once, or can be recognised by its id."""
        ...

    def refresh(self, holding: Sequence[Notice], now: datetime) -> Outcome:
        """Tell again what holds."""
        ...

    def end(self, notice: Notice, now: datetime) -> Outcome:
        """Tell that an alert has ended. Telling it twice, or of an alert that was never sent, has no effect."""
        ...


class TellsNoEnds:
    """A part of sinks whose receivers know by themselves when an alert ends, or need not know."""

    tells_ends: ClassVar[bool] = False

    def end(self, notice: Notice, now: datetime) -> Outcome:
        """Nothing is to be done."""
        del notice, now
        return Outcome(Answer.DELIVERED)


def view(sink: Sink, notice: Notice) -> Notice | None:
    """What a sink is sent of a notice; None: nothing."""
    if notice.state is State.TIMED and not sink.wants_times:
        return None
    return sink.route.view(notice)


class Remembers(TellsNoEnds):
    """A part of sinks whose receivers remember what they were told."""

    refresh_s: float | None = None
    wants_times = True

    def refresh(self, holding: Sequence[Notice], now: datetime) -> Outcome:
        """Nothing is to be done."""
        del holding, now
        return Outcome(Answer.DELIVERED)


class TellsPeople(Remembers):
    """A part of sinks that people read. They are not told of an alert twice because its time became known."""

    wants_times = False
