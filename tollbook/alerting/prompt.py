"""Records threshold alerts of the quota worker in the lake's ledger, before anything is sent.

The worker knows totals, which come seconds before the tables that other detectors read. The statements are those of
`tollbook.alerting.quotas`, under the same ids, so whichever of the two comes first states an alert and the other finds
it on record.
"""

from collections.abc import Callable, Sequence
from datetime import datetime

from aggregate.alerts import ledger
from aggregate.alerts.ledger import Ledger
from aggregate.alerts.reconcile import reconciled
from aggregate.landing.derived_commits import folded
from aggregate.quota import thresholds
from aggregate.quota.rule import AlertRule
from aggregate.quota.sums import Standing
from billing.usage.warehouse import Warehouse
from lake import duck
from lake.derived_tables import taken_in
from lake.errors import Fenced
from lake.lake import Lake
from schemas.alerts import Alert, Statement
from schemas.catalog.records import Catalog
from schemas.tables import ROLLUPS
from tollbook.alerting import quotas


class PromptLedger:
    """The ledger as the quota worker writes it. For one thread."""

    def __init__(self, lake: Lake, catalog: Catalog, *, on_commit: Callable[[], None] = lambda: None) -> None:
        """`on_commit` is called after each commit with statements."""
        self._lake = lake
        self._catalog = catalog
        self._on_commit = on_commit
        self._book: Ledger | None = None

    def record(self, standings: Sequence[Standing]) -> list[Statement]:
        """Record the statements that are due for the newest standings of some quotas, each once, in one commit.

        If another process records statements meanwhile, the comparison is repeated.
        """
        while True:
            self._book = ledger.read(self._lake) if self._book is None else ledger.advanced(self._lake, self._book)
            due = self._due(self._book, standings)
            if not due:
                return []
            version = max(standing.events_version for standing in standings)
            try:
                table = ledger.record(self._lake, self._book.table, due, events_version=version)
            except Fenced:
                continue
            self._book = Ledger(table, {**self._book.statements, **{s.alert_id: s for s in due}})
            self._on_commit()
            return due

    def _due(self, book: Ledger, standings: Sequence[Standing]) -> list[Statement]:
        places = {thresholds.place_of_rule(s.rule) for s in standings}
        known: dict[thresholds.Place, dict[str, Statement]] = {place: {} for place in places}
        for alert_id, statement in book.statements.items():
            if "threshold_percent" in statement.alert.key and (place := thresholds.place_of(statement.alert)) in known:
                known[place][alert_id] = statement
        found: list[tuple[Standing, list[Alert]]] = []
        for standing in standings:
            mine = known[thresholds.place_of_rule(standing.rule)]
            found.append(
                (
                    standing,
                    thresholds.holding(
                        standing.rule,
                        standing.used,
                        unit=standing.total.unit,
                        seen_until=standing.seen_until,
                        known=mine,
                    ),
                )
            )
        new = [(standing.rule, alert) for standing, alerts in found for alert in alerts if not _holds(book, alert)]
        at = self._crossings(new)
        due = []
        for standing, alerts in found:
            due += _reconciled(standing, alerts, known[thresholds.place_of_rule(standing.rule)], at)
        return due

    def _crossings(self, new: Sequence[tuple[AlertRule, Alert]]) -> dict[str, datetime]:
        """Alert id → time of the crossing, from the events of the lake."""
        return quotas.crossings(newest(self._lake), self._catalog, new) if new else {}


def _reconciled(
    standing: Standing, alerts: Sequence[Alert], known: dict[str, Statement], at: dict[str, datetime]
) -> list[Statement]:
    def timed(alert: Alert) -> Alert:
        statement = known.get(alert.alert_id)
        stated = statement.alert.at if statement and statement.holds else None
        return alert._replace(at=at.get(alert.alert_id, stated))

    rule, used = standing.rule, standing.used
    return reconciled(
        known,
        [timed(alert) for alert in alerts],
        lambda alert: not thresholds.is_kept(rule, used, alert),
        events_version=standing.events_version,
        material=lambda alert: alert.at,
        refuted_by=lambda _: thresholds.refuted(rule, used, unit=standing.total.unit),
    )


def _holds(book: Ledger, alert: Alert) -> bool:
    known = book.statements.get(alert.alert_id)
    return known is not None and known.holds


def newest(lake: Lake) -> Warehouse:
    """The newest events with their rollups, also if table `rollups` has not taken in the last commits."""
    house = Warehouse(lake, only=["events", "rollups"])
    table = lake.open(ROLLUPS, house.versions["rollups"])
    behind = range(taken_in(table) + 1, house.versions["events"] + 1)
    if behind:
        con = duck.connect()
        duck.scan(house.con, "stored_rollups", table.files(), ROLLUPS, mixed=table.is_mixed)
        for version in behind:
            house.con.register(f"fold_{version}", folded(lake, con, version))
        columns = ", ".join(ROLLUPS.schema.names)
        parts = [f"SELECT {columns} FROM {name}" for name in ("stored_rollups", *(f"fold_{v}" for v in behind))]
        house.con.register("rollups", house.con.sql(" UNION ALL ".join(parts)))
    return house
