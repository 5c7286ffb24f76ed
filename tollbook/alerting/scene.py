"""What a detector sees of the lake, and what it must say about alerts of its kind."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, TypeVar

from aggregate.alerts.reconcile import last_evidence, whole
from aggregate.quota import limits
from billing.usage.warehouse import Warehouse
from schemas.alerts import Alert, Kind, Statement
from schemas.catalog.records import Catalog
from schemas.grants import Grants
from schemas.windows import WINDOW_US

_WINDOW = timedelta(microseconds=WINDOW_US)
Made = TypeVar("Made")


@dataclass(frozen=True, kw_only=True)
class Scene:
    """The state of a lake at pinned versions, and what changed since the last evaluation.

    `house` has the tables `events`, `rollups`, `dead`, `redriven` and `withdrawn`.
    """

    house: Warehouse
    catalog: Catalog
    days: Sequence[date]  # UTC days of events that changed, ascending
    seen_until: datetime | None  # the end of the newest window with usage; None: there is no usage
    now: datetime  # of the evaluation; grants are judged by it
    grants: Grants
    limits_since: Mapping[limits.Key, datetime]  # when each limit of the catalog took effect
    statements: Mapping[str, Statement]  # the newest statement about each alert of the detector's kind, by alert id
    # Partner → start of the earliest window that changed; a partner without changes is absent. None: the catalog
    # changed, or nothing was evaluated before, so everything may have changed.
    changed: Mapping[str, datetime] | None = None
    seen_before: datetime | None = None  # `seen_until` at the last evaluation; None: there was none
    follows: bool = False  # the process goes on reading logs; one that ends has read all there is, so nothing lags
    memo: dict[str, Any] = field(default_factory=dict, repr=False)  # of `once`

    def once(self, name: str, made: Callable[[], Made]) -> Made:
        """What `made` returns, computed once for this scene under a name."""
        if name not in self.memo:
            self.memo[name] = made()
        known: Made = self.memo[name]
        return known

    def may_have_changed(self, partner_id: str, since: datetime) -> bool:
        """Whether usage of a partner up to this instant may have changed since the last evaluation."""
        if self.changed is None:
            return True
        first = self.changed.get(partner_id)
        return first is not None and first <= since

    @property
    def is_in_newest_window(self) -> bool:
        """Whether nothing changed but the window that was the newest one at the last evaluation, and still is."""
        if self.changed is None or self.seen_until is None or self.seen_until != self.seen_before:
            return False
        return all(first >= self.seen_until - _WINDOW for first in self.changed.values())

    def time_on_record(self, alert: Alert) -> datetime | None:
        """The time that was stated for an alert on usage. None: there is none, or usage up to it may have changed."""
        known = self.statements.get(alert.alert_id)
        if known is None or not known.holds or known.alert.at is None:
            return None
        return None if self.may_have_changed(alert.subject, known.alert.at) else known.alert.at

    def covers_day(self, instant: datetime | None) -> bool:
        """Whether the UTC day of an instant is among the days that changed."""
        return instant is not None and instant.astimezone(UTC).date() in self.days


def _by_day(scene: Scene, alert: Alert) -> bool:
    return scene.covers_day(alert.at)


def _last_evidence(_: Scene, alert: Alert) -> Mapping[str, Any]:
    return last_evidence(alert)


@dataclass(frozen=True, kw_only=True)
class Detector:
    """The detector of one kind.

    evaluate: the complete list of alerts that hold now, among those that `covers` says were examined. Alerts that it
    did not examine may be left out. covers: whether the evaluation examined an alert of the ledger; if so, and the
    alert is not in the list, it is withdrawn. By default the alerts whose `at` is within the days that changed are
    covered. material: the part of an alert whose change is stated again. refuted_by: the evidence of a withdrawal.
    """

    kind: Kind
    evaluate: Callable[[Scene], Sequence[Alert]]
    covers: Callable[[Scene, Alert], bool] = _by_day
    material: Callable[[Alert], object] = whole
    refuted_by: Callable[[Scene, Alert], Mapping[str, Any]] = _last_evidence
