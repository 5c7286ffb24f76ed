"""The contract of alerts, kept by both deployments: the run on one machine, and the workers on Kafka.

The workers' deployment is the quota worker's rule and ledger over published totals, which may come again and late, and
the watch of the lake. The same events give the same current statements, whatever the batches, and these are the ones
that a reckoning from the bare events predicts.
"""

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import pytest

from aggregate.alerts import ledger
from aggregate.landing import derived_commits
from aggregate.landing.land import Land
from aggregate.quota import limits, sums
from lake import duck
from lake.lake import Lake
from schemas.alerts import Kind, State, Statement
from schemas.catalog.records import Catalog
from schemas.kafka.totals import Total, decoded, messages
from schemas.windows import to_us
from tests.aggregate.fixtures import event, now, partition
from tests.aggregate.memory_log import MemoryLog
from tests.long import amount
from tollbook.alerting import evaluation
from tollbook.alerting.prompt import PromptLedger
from tollbook.workers.quota_feed import Totals

OCTOBER = datetime(2026, 10, 1, tzinfo=UTC)
LIMIT, THRESHOLDS = 40, (50, 80, 100)


def catalog(*, counts: bool = True) -> Catalog:
    """One partner with a quota of 40 requests a month and a budget of 30 euros, one for each request.

    `counts`: whether its meter counts anything.
    """
    rates = [{"meter": "requests", "price": {"model": "per_unit", "unit_price": "1"}}]
    quota = {"meter": "requests", "period": "MONTH", "limit": str(LIMIT), "thresholds": [str(t) for t in THRESHOLDS]}
    return Catalog.model_validate(
        {
            "legal_entities": [{"id": "toll", "name": "Toll", "invoice_prefix": "T"}],
            "meters": [{"id": "requests", "aggregate": "count", "unit": "requests", "filter": {} if counts else {"exclude_status": ["2xx"]}}],
            "rate_cards": [{"id": "card", "currency": "EUR", "versions": [{"valid_from": "2020-01-01", "rates": rates}]}],
            "plans": [{"id": "p", "rate_card": "card", "quotas": [quota]}],
            "partners": [
                {"id": "acme", "name": "Acme", "legal_entity": "toll", "time_zone": "Etc/UTC", "plans": [{"plan": "p", "valid_from": "2026-01-01"}],
                 "budget": {"amount": "30"}}
            ],
        }
    )  # fmt: skip


class Deployment(Protocol):
    """What lands events and alerts."""

    lake: Lake

    def land(self, minutes: Sequence[int]) -> None:
        """Land events at these minutes of October, and alert."""

    def use(self, catalog: Catalog) -> None:
        """Alert with another catalog."""


class OneMachine:
    """`tollbook run`."""

    def __init__(self, folder: Path, rng: random.Random) -> None:
        del rng
        self.lake = Lake(folder)
        self.lake.create()
        self._catalog = catalog()
        self._number = 0

    def land(self, minutes: Sequence[int]) -> None:
        self._number += 1
        for _ in land(self.lake, minutes, self._number):
            pass
        self.use(self._catalog)

    def use(self, catalog: Catalog) -> None:
        self._catalog = catalog
        derived_commits.catch_up(self.lake, duck.connect())
        evaluation.alert(self.lake, catalog, now=now())


class Workers:
    """Land, the quota worker and the watch. The quota worker dies at random and takes old totals again; the watch comes
    late.
    """

    def __init__(self, folder: Path, rng: random.Random) -> None:
        self.lake = Lake(folder)
        self.lake.create()
        self._rng = rng
        self._parts: dict[str, sums.Parts] = {}
        self._fired: dict[str, sums.Fired] = {}
        self._sent: list[Total] = []
        self._number = 0
        self.use(catalog())

    def land(self, minutes: Sequence[int]) -> None:
        self._number += 1
        for each in land(self.lake, minutes, self._number):
            self._publish(self._totals.add(each.fold, each.version))
        if self._rng.random() < 0.5:
            self._watch()

    def use(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._totals = Totals(catalog, limits.since(self.lake, catalog, now=now()))
        self._recorded = PromptLedger(self.lake)
        self._publish(self._totals.reload(self.lake, range(2)))

    def settle(self) -> None:
        """Until all is quiet."""
        self._watch()

    def _publish(self, totals: Sequence[Total]) -> None:
        self._sent += totals
        begin = self._rng.randrange(len(self._sent) + 1)
        if self._rng.random() < 0.3:
            self._recorded = PromptLedger(self.lake)  # a worker that was killed
            self._take(begin)
        self._take(len(self._sent) - len(totals))

    def _take(self, first: int) -> None:
        for offset, published in enumerate(self._sent[first:], first):
            (total,) = decoded(messages([published])[0].value)
            key = total.quota_key
            standing = sums.standing(self._parts.get(key, {}), self._fired.get(key, sums.NOTHING), [(total, offset)])
            if standing is None:
                continue
            if standing.alerts:
                self._recorded.record([standing])
            if self._rng.random() < 0.8:  # otherwise it died before its note of the alert was written
                self._fired[key] = standing.fired
            self._parts[key] = standing.parts

    def _watch(self) -> None:
        derived_commits.catch_up(self.lake, duck.connect())
        evaluation.alert(self.lake, self._catalog, now=now())


def land(lake: Lake, minutes: Sequence[int], number: int) -> Any:
    """Land events in two partitions; each commit."""
    for part in (0, 1):
        rows = [
            event(f"{number}-{part}-{i}", to_us(OCTOBER + timedelta(minutes=minute)), status=200)
            for i, minute in enumerate(minutes)
            if i % 2 == part
        ]
        if rows:
            worker = Land(
                lake, MemoryLog(partition(rows, f"g{number}-{part}", number=part)), catalog_sha256="c", now=now
            )
            yield from worker.run()


def predicted(minutes: Sequence[int]) -> dict[str, datetime]:
    """Threshold → the minute of the event that reached it, from the bare events."""
    times = sorted(minutes)
    needed = {t: -(-LIMIT * t // 100) for t in THRESHOLDS}
    return {str(t): OCTOBER + timedelta(minutes=times[n - 1]) for t, n in needed.items() if len(times) >= n}


def current(lake: Lake) -> dict[str, Statement]:
    """The newest statement about each quota alert, by threshold."""
    return {s.alert.key["threshold_percent"]: s for s in ledger.read(lake).of(Kind.QUOTA).values()}


def comparable(lake: Lake) -> dict[str, object]:
    """The current statements without what depends on the moments of evaluation: their number and sums so far."""
    return {
        s.alert_id: (s.state is not State.WITHDRAWN, s.alert.kind, s.alert.subject, dict(s.alert.key), s.alert.ends_at,
                     s.alert.at if s.alert.kind is Kind.QUOTA and s.holds else None)
        for s in ledger.read(lake).statements.values()
    }  # fmt: skip


def batches(rng: random.Random) -> list[list[int]]:
    """Events in batches, shuffled in time, so that many are late."""
    minutes = [rng.randrange(40_000) for _ in range(rng.choice([15, 25, 38, 60]))]
    cuts = sorted(rng.sample(range(1, len(minutes)), 4))
    return [minutes[a:b] for a, b in zip([0, *cuts], [*cuts, len(minutes)], strict=True)]


def settled(deployment: Deployment) -> None:
    if isinstance(deployment, Workers):
        deployment.settle()


@pytest.mark.parametrize("made", [OneMachine, Workers])
@pytest.mark.parametrize("seed", range(amount(1, 3)))
@pytest.mark.slow
def test_alerts_are_those_predicted_once_at_the_event_that_crossed(made: Any, seed: int, tmp_path: Path) -> None:
    """None early, none skipped, none twice; the time is exact after late events, and never earlier than predicted
    times of lower thresholds.
    """
    rng = random.Random(seed)
    deployment: Deployment = made(tmp_path / "lake", rng)
    come: list[int] = []
    for batch in batches(rng):
        come += batch
        deployment.land(batch)
        stated = ledger.history(deployment.lake)
        fired = {s.alert.key["threshold_percent"] for s in stated if s.alert.kind is Kind.QUOTA}
        assert fired == set(predicted(come)), "as soon as they are due, and not before"
    settled(deployment)
    newest = current(deployment.lake)
    assert {t: s.alert.at for t, s in newest.items()} == predicted(come)
    history = ledger.history(deployment.lake)
    assert len({s.statement_id for s in history}) == len(history)
    for alert_id in {s.alert_id for s in history}:
        mine = [s for s in history if s.alert_id == alert_id]
        assert [s.number for s in mine] == list(range(1, len(mine) + 1))
        assert [s.state for s in mine].count(State.FIRED) == 1
    rows = len(history)
    settled(deployment)
    assert len(ledger.history(deployment.lake)) == rows, "evaluated again, nothing is stated"


@pytest.mark.parametrize("seed", range(amount(1, 2)))
def test_both_deployments_say_the_same_of_the_same_events(seed: int, tmp_path: Path) -> None:
    """Table `alerts` does not tell which deployment wrote it, also after a correction and its end."""
    parts = batches(random.Random(seed))
    one = OneMachine(tmp_path / "one", random.Random(seed))
    other = Workers(tmp_path / "other", random.Random(seed))
    for deployment in (one, other):
        for part in parts:
            deployment.land(part)
        settled(deployment)
    assert comparable(one.lake) == comparable(other.lake)
    for counts in (False, True):
        for deployment in (one, other):
            deployment.use(catalog(counts=counts))
            settled(deployment)
        assert comparable(one.lake) == comparable(other.lake)
        assert {s.holds for s in current(one.lake).values()} <= {counts}
