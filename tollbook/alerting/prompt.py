"""Records threshold alerts of the quota worker in the lake's ledger, before anything is sent.

The worker knows totals, which come seconds before the tables that other detectors read. The statements are those of
`tollbook.alerting.quotas`, under the same ids, so whichever of the two comes first states an alert and the other finds
it on record. Totals do not say when usage reached a threshold, so these alerts have no time yet. The watch adds it from
the events of the lake, in a statement of its own.
"""

from collections.abc import Callable, Iterable, Sequence

from aggregate.alerts import ledger
from aggregate.alerts.ledger import Ledger
from aggregate.alerts.reconcile import reconciled
from aggregate.quota import thresholds
from aggregate.quota.sums import Standing
from lake.errors import Fenced
from lake.lake import Lake
from schemas.alerts import Alert, Kind, Statement


class PromptLedger:
    """The ledger as the quota worker writes it. For one thread."""

    def __init__(self, lake: Lake, *, on_commit: Callable[[], None] = lambda: None) -> None:
        """`on_commit` is called after each commit with statements."""
        self._lake = lake
        self._on_commit = on_commit
        self._book: Ledger | None = None
        self._places: dict[thresholds.Place, dict[str, Statement]] = {}  # the newest statements about each quota

    def record(self, standings: Sequence[Standing]) -> list[Statement]:
        """Record the statements that are due for the newest standings of some quotas, each once, in one commit.

        If another process records statements meanwhile, the comparison is repeated.
        """
        while True:
            book = self._read()
            due = [statement for standing in standings for statement in self._due(standing)]
            if not due:
                return []
            version = max(standing.events_version for standing in standings)
            try:
                table = ledger.record(self._lake, book.table, due, events_version=version)
            except Fenced:
                continue
            self._book = Ledger(table, {**book.statements, **{s.alert_id: s for s in due}})
            self._index(due)
            self._on_commit()
            return due

    def _read(self) -> Ledger:
        before = self._book
        book = self._book = ledger.read(self._lake) if before is None else ledger.advanced(self._lake, before)
        if book is not before:
            known = before.statements if before else {}
            self._index(s for alert_id, s in book.statements.items() if known.get(alert_id) is not s)
        return book

    def _index(self, statements: Iterable[Statement]) -> None:
        for statement in statements:
            if statement.alert.kind is Kind.QUOTA:
                self._places.setdefault(thresholds.place_of(statement.alert), {})[statement.alert_id] = statement

    def _due(self, standing: Standing) -> list[Statement]:
        rule, used, unit = standing.rule, standing.used, standing.total.unit
        known = self._places.get(thresholds.place_of_rule(rule), {})

        def timed(alert: Alert) -> Alert:
            statement = known.get(alert.alert_id)
            return alert._replace(at=statement.alert.at if statement and statement.holds else None)

        alerts = thresholds.holding(rule, used, unit=unit, seen_until=standing.seen_until, known=known)
        return reconciled(
            known,
            [timed(alert) for alert in alerts],
            lambda alert: not thresholds.is_kept(rule, used, alert),
            events_version=standing.events_version,
            material=lambda alert: alert.at,
            refuted_by=lambda _: thresholds.refuted(rule, used, unit=unit),
        )
