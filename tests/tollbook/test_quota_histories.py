"""Alerts over random histories against a plain reckoning, by both ways: the local run, and totals with the quota
worker's rule.

Usage comes, limits are edited up and down and back, plans change, and what a meter counts does. Grants are recorded and
revoked, begin and end. After every step both
ways must have sent exactly the alerts of the reckoning, under the same ids. Sent again, they add none. The statement of
an invoice has the same sums.
"""

import random
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from aggregate.landing.land import Land
from aggregate.quota import grants, limits, sums
from aggregate.quota.rule import ThresholdAlert
from billing.periods import billing_period, month
from billing.rating.drafts import in_unit
from billing.usage import quota_statement
from billing.usage.warehouse import Span, Warehouse
from lake.lake import Lake
from schemas.alerts import Kind, State, Statement
from schemas.catalog.records import Catalog
from schemas.kafka.totals import Total, decoded, messages
from schemas.quotas import ALWAYS
from schemas.windows import to_us
from tests.aggregate.fixtures import event, now, partition
from tests.aggregate.memory_log import MemoryLog
from tests.long import LONG
from tollbook import month_sums
from tollbook.alerting import evaluation
from tollbook.workers.quota_feed import Totals

OCTOBER = datetime(2026, 10, 1, tzinfo=UTC)
THRESHOLDS = (50, 100)
# When the partner has which plan; days of October, the first and the one after the last.
PLANS: dict[str, list[tuple[str, int, int]]] = {
    "p": [("p", 1, 32)],
    "p, q": [("p", 1, 10), ("q", 10, 32)],
    "p, q, p": [("p", 1, 10), ("q", 10, 20), ("p", 20, 32)],
    "p ends": [("p", 1, 20)],
    "q": [("q", 1, 32)],
}


class ExpectedAlert(NamedTuple):
    """An alert as the reckoning knows it, with the limit that was in force, and from when."""

    kind: str
    plan: str
    quota_period: str
    start: datetime
    threshold: int
    limit: int
    since: datetime


class Given(NamedTuple):
    """A grant that was recorded. It counts from when it is known and has begun, and not after it is over or revoked."""

    kind: str
    amount: int
    start: datetime
    end: datetime
    recorded: datetime
    grant_id: str
    revoked: datetime | None = None

    def counts(self, at: datetime) -> bool:
        return max(self.start, self.recorded) <= at < min(self.end, self.revoked or self.end)


class Use(NamedTuple):
    day: int  # of October
    hour: int
    count: int
    status: int
    partition: int


@dataclass
class Reckoning:
    """The alerts that must be sent, from a list of uses and a set of open alerts.

    It knows neither tables, windows nor totals.
    """

    uses: list[Use] = field(default_factory=list)
    seen: dict[tuple[str, str], tuple[int, datetime]] = field(default_factory=dict)  # plan, period → limit, since
    grants: list[Given] = field(default_factory=list)
    fired: set[tuple[str, str, datetime, int, int, datetime]] = field(default_factory=set)
    open: set[tuple[str, str, datetime, int, int, datetime]] = field(default_factory=set)

    def used(self, setup: "Setup", plan: str, days: range) -> int:
        held = {day for name, first, after in PLANS[setup.plans] if name == plan for day in range(first, after)}
        return sum(
            u.count for u in self.uses if u.day in held and u.day in days and (u.status != 500 or setup.counts_500)
        )

    def limit(self, plan: str, kind: str, first: int, days: range, clock: datetime) -> tuple[int, datetime]:
        """The limit in a period, and from when it holds: the last instant at which it became another one."""
        limit, since = self.seen[plan, kind]
        start, end = (OCTOBER + timedelta(days=day - 1) for day in (first, days.stop))
        at = min(clock, end - timedelta(microseconds=1))
        mine = [g for g in self.grants if g.kind == kind and g.start < end and start < g.end]
        granted = 0
        for moment in sorted(
            {time for g in mine for time in (g.start, g.recorded, g.end, g.revoked) if time and time <= at}
        ):
            now_granted = sum(g.amount for g in mine if g.counts(moment))
            if now_granted != granted:
                granted, since = now_granted, max(since, moment)
        return limit + granted, since

    def step(self, setup: "Setup", clock: datetime) -> set[ExpectedAlert]:
        sent = set()
        for plan, kind in (("p", "MONTH"), ("p", "DAY"), ("q", "MONTH")):
            before, since = self.seen.get((plan, kind), (setup.limits[plan, kind], ALWAYS))
            self.seen[plan, kind] = setup.limits[plan, kind], clock if before != setup.limits[plan, kind] else since
            if plan not in {name for name, _, _ in PLANS[setup.plans]}:
                continue  # no alert is sent or withdrawn for a plan that the partner does not have
            for first, days in [(1, range(1, 32))] if kind == "MONTH" else [(d, range(d, d + 1)) for d in range(1, 32)]:
                if not any(name == plan and set(days) & set(range(a, b)) for name, a, b in PLANS[setup.plans]):
                    continue
                quota = (plan, kind, OCTOBER + timedelta(days=first - 1))
                limit, since = self.limit(plan, kind, first, days, clock)
                share = Fraction(self.used(setup, plan, days), limit) * 100
                for t in THRESHOLDS:
                    if share >= t and (*quota, t, limit, since) not in self.open:
                        told = "restated" if (*quota, t, limit, since) in self.fired else "quota"
                        self.fired.add((*quota, t, limit, since))
                        self.open.add((*quota, t, limit, since))
                        sent.add(ExpectedAlert(told, *quota, t, limit, since))
                for one in sorted(self.open):
                    if one[:3] == quota and share < one[3]:
                        self.open.remove(one)
                        sent.add(ExpectedAlert("withdrawn", *one))
        return sent


@dataclass
class Setup:
    """What the catalog says now."""

    plans: str = "p"
    limits: dict[tuple[str, str], int] = field(
        default_factory=lambda: {("p", "MONTH"): 4, ("p", "DAY"): 3, ("q", "MONTH"): 6}
    )
    counts_500: bool = True

    def catalog(self) -> Catalog:
        def quotas(plan: str) -> list[dict[str, Any]]:
            return [
                {"meter": "requests", "period": kind, "limit": str(limit), "thresholds": [str(t) for t in THRESHOLDS]}
                for (name, kind), limit in self.limits.items()
                if name == plan
            ]

        def day(number: int) -> str:
            return "2026-01-01" if number == 1 else f"2026-10-{number:02d}"

        rates = [{"meter": "requests", "price": {"model": "per_unit", "unit_price": "1"}}]
        return Catalog.model_validate(
            {
                "legal_entities": [{"id": "toll", "name": "Toll", "invoice_prefix": "T"}],
                "meters": [{"id": "requests", "aggregate": "count", "unit": "requests", "filter": {} if self.counts_500 else {"exclude_status": ["5xx"]}}],
                "rate_cards": [{"id": "card", "currency": "EUR", "versions": [{"valid_from": "2020-01-01", "rates": rates}]}],
                "plans": [{"id": plan, "rate_card": "card", "quotas": quotas(plan)} for plan in ("p", "q")],
                "partners": [
                    {
                        "id": "acme", "name": "Acme", "legal_entity": "toll", "time_zone": "Etc/UTC",
                        "plans": [
                            {"plan": plan, "valid_from": day(first), "valid_to": None if after == 32 else day(after)}
                            for plan, first, after in PLANS[self.plans]
                        ],
                    }
                ],
            }
        )  # fmt: skip


class Oldest(random.Random):
    """Redelivers everything, each time."""

    def randrange(self, *_: int) -> int:
        return 0


class Worker:
    """The quota worker's two tables, as bytes, and the rule between them."""

    def __init__(self) -> None:
        self._parts: dict[str, bytes] = {}
        self._fired: dict[str, bytes] = {}

    def take(self, totals: Iterable[Total], first: int) -> list[ThresholdAlert]:
        """`first` is the offset of the first of the totals."""
        sent: list[ThresholdAlert] = []
        for offset, published in enumerate(totals, first):
            (total,) = decoded(messages([published])[0].value)
            key = total.quota_key
            parts = sums.parts_decoded(self._parts[key]) if key in self._parts else {}
            fired = sums.fired_decoded(self._fired[key]) if key in self._fired else sums.NOTHING
            standing = sums.standing(parts, fired, [(total, offset)])
            if standing is not None:
                self._parts[key] = sums.parts_encoded(standing.parts)
                self._fired[key] = sums.fired_encoded(standing.fired)
                sent += standing.alerts
        return sent


USES = st.builds(
    Use,
    st.sampled_from([1, 5, 12, 25]),
    st.integers(0, 23),
    st.integers(1, 4),
    st.sampled_from([200, 500]),
    st.integers(0, 1),
)
STEPS = st.one_of(
    st.tuples(st.just("use"), st.lists(USES, min_size=1, max_size=3)),
    st.tuples(st.just("limit"), st.tuples(st.sampled_from([("p", "MONTH"), ("p", "DAY"), ("q", "MONTH")]), st.sampled_from([2, 4, 10, 100]))),
    st.tuples(st.just("plans"), st.sampled_from(sorted(PLANS))),
    st.tuples(st.just("counts"), st.booleans()),
    st.tuples(st.just("grant"), st.tuples(st.sampled_from(["MONTH", "DAY"]), st.integers(1, 6), st.sampled_from([None, 1, 3, 12]), st.sampled_from([1, 2, 5, 12, 40]))),
    st.tuples(st.just("revoke"), st.integers(0, 3)),
    st.tuples(st.just("days"), st.integers(1, 9)),
)  # fmt: skip


# What random histories come to seldom: a limit that comes back, every way of having plans, usage that counts no more.
BACK = [("use", [Use(1, 0, 4, 200, 0)]), *(("limit", (("p", "MONTH"), limit)) for limit in (100, 4, 100, 4))]
LEFT = [
    ("use", [Use(5, 1, 3, 200, 0), Use(12, 1, 4, 200, 0), Use(25, 1, 2, 200, 0)]),
    *(("plans", plans) for plans in ("p, q", "p, q, p", "p ends", "q", "p, q, p")),
    ("use", [Use(25, 2, 4, 200, 0)]),
]
LESS = [
    ("use", [Use(1, 0, 3, 500, 0), Use(1, 1, 2, 200, 1), Use(12, 1, 4, 500, 1)]),
    ("counts", False),
    ("limit", (("p", "MONTH"), 2)),
    ("counts", True),
]
# Usage that counts later than it came: both catalogs make a total of one commit, under one limit.
MORE = [
    ("counts", False),
    ("use", [Use(1, 0, 3, 500, 0), Use(1, 1, 2, 200, 0)]),
    ("counts", True),
    ("use", [Use(12, 0, 1, 200, 0)]),
]


# Grants that withdraw alerts and let them fire again, that follow each other, that are revoked, and after the month.
GRANTED = [
    ("use", [Use(1, 0, 4, 200, 0), Use(12, 0, 3, 200, 0)]),
    ("grant", ("MONTH", 6, None, 2)),
    ("grant", ("DAY", 4, None, 12)),
    ("grant", ("MONTH", 6, 3, 2)),
    *(("days", days) for days in (1, 1, 1, 1)),
    ("grant", ("MONTH", 2, 1, 40)),
    ("revoke", 1),
    ("use", [Use(12, 1, 2, 200, 0), Use(25, 1, 2, 200, 0)]),
    ("days", 9),
    ("grant", ("MONTH", 5, None, 40)),
    *(("days", 9) for _ in range(3)),
    ("revoke", 2),
]


@pytest.mark.slow
@example(steps=GRANTED, partitions=2, again=random.Random(4))
@example(steps=GRANTED, partitions=1, again=Oldest())
@example(steps=MORE, partitions=1, again=Oldest())
@example(steps=BACK, partitions=1, again=random.Random(1))
@example(steps=LEFT, partitions=1, again=random.Random(2))
@example(steps=LESS, partitions=2, again=random.Random(3))
@settings(max_examples=150 if LONG else 1, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    steps=st.lists(STEPS, min_size=2, max_size=9), partitions=st.integers(1, 2), again=st.randoms(use_true_random=False)
)
def test_both_ways_tell_what_the_reckoning_says(steps: list[tuple[str, Any]], partitions: int, again: Any) -> None:
    """Each alert once, none missing, none under a second id, by whichever way; and the statement agrees with them."""
    setup, reckoning, worker = Setup(), Reckoning(), Worker()
    sent: list[Total] = []
    told: set[str] = set()  # the alerts that hold, by the ledger
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "lake"
        Lake(root).create()
        clock = OCTOBER + timedelta(days=1, seconds=30)  # grants begin and end at midnights
        totals = Totals(setup.catalog(), limits.since(Lake(root), setup.catalog(), now=clock))
        for number, (what, value) in enumerate([("use", []), *steps]):
            clock += timedelta(days=value) if what == "days" else timedelta(seconds=1)
            if what in {"grant", "revoke", "days"}:
                given(root, reckoning, what, value, clock)
                new = totals.judge(grants.read(Lake(root)), clock)
            elif what == "use":
                uses = [u._replace(partition=u.partition % partitions) for u in value]
                reckoning.uses += uses
                new = landed(root, totals, uses, number)
            elif what == "plans" and partitions > 1:
                continue  # between two partitions' totals the sum of both is of neither catalog
            else:
                if what == "limit":
                    setup.limits[value[0]] = value[1]
                elif what == "plans":
                    setup.plans = value
                else:
                    setup.counts_500 = value
                totals = Totals(setup.catalog(), limits.since(Lake(root), setup.catalog(), now=clock))
                totals.judge(grants.read(Lake(root)), clock)
                new = totals.reload(Lake(root), range(partitions))
            due = reckoning.step(setup, clock)
            raised = []
            for stated in evaluation.alert(Lake(root), setup.catalog(), now=clock):
                was_open = stated.alert_id in told
                (told.add if stated.holds else told.discard)(stated.alert_id)
                if stated.alert.kind is Kind.QUOTA and not (was_open and stated.holds):  # only its time was restated
                    raised.append(stated)
            assert alerts_of(setup.plans, raised) == Counter(due), (number, what, value)
            by_worker = worker.take(new, len(sent))
            new_ids = {s.alert_id for s in raised if s.state is State.FIRED}
            assert Counter(a.alert_id for a in by_worker if a.kind == "quota") == Counter(new_ids)
            ended = {s.alert_id for s in raised if s.state is State.WITHDRAWN}
            assert {a.withdraws for a in by_worker if a.kind == "withdrawn"} <= ended, "that the ledger withdraws"
            assert not evaluation.alert(Lake(root), setup.catalog(), now=clock)
            sent += new
            begin = again.randrange(len(sent) + 1)
            assert not worker.take(sent[begin:], begin), "a worker died before it had acknowledged these"
            new = totals.reload(Lake(root), range(partitions))
            assert not worker.take(new, len(sent))
            sent += new
            agrees(root, setup, reckoning, clock)


def landed(root: Path, totals: Totals, uses: Sequence[Use], number: int) -> list[Total]:
    """Land events, each partition's apart, and what is published of them."""
    new: list[Total] = []
    for part in sorted({u.partition for u in uses}):
        rows = [
            event(f"{number}-{part}-{i}-{n}", to_us(OCTOBER) + ((u.day - 1) * 24 + u.hour) * 3_600_000_000 + n, status=u.status)
            for i, u in enumerate(uses)
            if u.partition == part
            for n in range(u.count)
        ]  # fmt: skip
        worker = Land(
            Lake(root), MemoryLog(partition(rows, f"g{number}-{part}", number=part)), catalog_sha256="c", now=now
        )
        for each in worker.run():
            new += totals.add(each.fold, each.version)
    return new


def given(root: Path, reckoning: Reckoning, what: str, value: Any, clock: datetime) -> None:
    """Record or revoke a grant, in the lake and in the reckoning."""
    if what == "grant":
        kind, amount, day, days = value
        start = None if day is None else OCTOBER + timedelta(days=day - 1)
        end = max(clock, start or clock).replace(hour=0, minute=0, second=0) + timedelta(days=days)
        asked = grants.Asked("acme", "requests", kind, Decimal(amount), start, end, "more")
        found, is_new = grants.record(Lake(root), asked, by="on-call", now=clock)
        assert grants.record(Lake(root), asked, by="another", now=clock) == (found, False)
        if is_new:
            reckoning.grants.append(Given(kind, amount, start or clock, end, clock, found.grant_id))
    elif what == "revoke" and value < len(reckoning.grants):
        one = reckoning.grants[value]
        grants.revoke(Lake(root), one.grant_id, reason="enough", by="on-call", now=clock)
        if one.revoked is None and one.end > clock:
            reckoning.grants[value] = one._replace(revoked=clock)


def alerts_of(plans: str, statements: Sequence[Statement]) -> Counter[ExpectedAlert]:
    """Alerts in the reckoning's words."""
    sent = Counter[ExpectedAlert]()
    for statement in statements:
        key, evidence = statement.alert.key, statement.alert.evidence
        limit = int(key["limit"]), datetime.fromisoformat(key["limit_since"])
        kind = "quota" if statement.state is State.FIRED else statement.state
        start = datetime.fromisoformat(key["period_start"])
        sent[ExpectedAlert(kind, key["plan"], key["quota_period"], start, int(key["threshold_percent"]), *limit)] += 1
        if at := evidence["projected_exhaustion_at"]:
            moment = datetime.fromisoformat(at)
            days = [(a, b) for plan, a, b in PLANS[plans] if plan == key["plan"]]
            assert any(a <= (moment - OCTOBER).days + 1 < b for a, b in days), "there is no plan then"
    return sent


def agrees(root: Path, setup: Setup, reckoning: Reckoning, clock: datetime) -> None:
    """The statement of the month's invoice, and the table of `tollbook usage`, to the unit."""
    catalog, october = setup.catalog(), month("2026-10", "Etc/UTC")
    house = Warehouse(Lake(root), only=["rollups", "grants"])
    partner = catalog.partners[0]
    period = billing_period(catalog, partner, "2026-10", None)
    assert period is not None
    rows = []
    for quota in quota_statement.held_quotas(catalog, partner, period, house.grants()):
        sums = house.usage(catalog, [Span("acme", quota.meter, held.start, held.end) for held in quota.held])
        rows.append(quota_statement.statement_row(catalog, quota, sum(sums, Decimal(0))))
    held = dict.fromkeys(plan for plan, _, _ in PLANS[setup.plans])
    assert [row.plan for row in rows] == list(held)
    for row in rows:
        used = reckoning.used(setup, row.plan, range(1, 32))
        limit = setup.limits[row.plan, "MONTH"]
        granted = reckoning.limit(row.plan, "MONTH", 1, range(1, 32), OCTOBER + timedelta(days=99))[0] - limit
        assert (row.used, row.limit, row.granted, row.over) == (used, limit, granted, used >= limit + granted)
    months = {
        q.plan: (q.used, q.limit)
        for each in month_sums.of_month(house, catalog, [partner], "2026-10", now=clock)
        for q in each.quotas
        if q.kind == "MONTH"
    }
    limits_now = {plan: reckoning.limit(plan, "MONTH", 1, range(1, 32), clock)[0] for plan in held}
    assert months == {row.plan: (row.used, limits_now[row.plan]) for row in rows}
    days = house.usage_by_day_and_route(catalog, [Span("acme", "requests", *october)], "Etc/UTC").to_pylist()
    everything = sum((in_unit(catalog, "requests", d["quantity"]) for d in days), Decimal(0))
    outside = sum(
        u.count
        for u in reckoning.uses
        if (u.status != 500 or setup.counts_500) and not any(a <= u.day < b for _, a, b in PLANS[setup.plans])
    )
    assert sum((row.used for row in rows), Decimal(outside)) == everything
