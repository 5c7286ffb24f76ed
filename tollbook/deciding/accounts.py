"""The accounts of all partners of a catalog: sums of their quotas in memory, from the rollups of commits.

The sums are those of the invoice (billing/usage/quota_statement.py). Only periods that have not ended are summed.
"""

from bisect import bisect_right
from collections.abc import Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from aggregate.decisions.credentials import Named, Owners
from aggregate.decisions.rule import Account, Decision, DecisionPolicy, DenialReason, LimitStanding, PlanTerms, decision
from billing.periods import Period, month_of, quota_period
from billing.periods import month as month_period
from billing.rating.drafts import in_unit
from billing.usage import quota_statement
from billing.usage.quota_statement import PartnerQuota
from billing.usage.warehouse import Meters
from lake import duck
from schemas.catalog.records import Catalog, Partner
from schemas.grants import Grants, effective_limit
from schemas.money import EXACT
from schemas.quotas import ALWAYS
from schemas.windows import to_us

_ZERO = Decimal(0)
_MINUTE_US = 60_000_000


class Amount(NamedTuple):
    """What a partner owes for a month so far."""

    amount: Decimal
    currency: str


class _AccountQuota(NamedTuple):
    promise: PartnerQuota
    sums: dict[datetime, Decimal]  # start of the period → usage in the meter's field


class _Granted(NamedTuple):
    grants: Grants
    version: int
    bounds: tuple[datetime, ...]  # when grants begin and end, ascending


class Accounts:
    """The accounts under one catalog. One thread adds usage, others ask; each sum is replaced whole."""

    def __init__(self, catalog: Catalog, *, now: datetime) -> None:
        """Periods that have ended at `now` are not summed."""
        self.catalog = catalog
        self.owners = Owners(catalog.partners)
        self.amounts: dict[tuple[str, str], Amount] = {}  # partner id, YYYY-MM
        self._granted = _Granted(Grants(), 0, ())
        self._quotas: dict[str, list[_AccountQuota]] = {}
        self._changes: dict[str, int] = {}  # by partner
        self._known: dict[str, tuple[tuple[int, ...], Account]] = {}  # by partner, with minute and change
        for promise in quota_statement.partner_quotas(catalog, catalog.partners):
            if (current := _from(promise, now)) is not None:
                self._quotas.setdefault(promise.partner.id, []).append(_AccountQuota(current, {}))

    def add(self, meters: Meters) -> None:
        """Add the usage of the relation `rollups` of `meters`."""
        seen = {row["partner_id"] for row in meters.ask(duck.statement("tollbook.sql", "partners_used")).to_pylist()}
        quotas = [quota for partner_id in sorted(seen & self._quotas.keys()) for quota in self._quotas[partner_id]]
        for row in quota_statement.quota_usage(meters, self.catalog, [quota.promise for quota in quotas]):
            sums = quotas[row.partner_quota].sums
            sums[row.period.start] = EXACT.add(sums.get(row.period.start, _ZERO), row.quantity)
        for partner_id in seen:
            self._changes[partner_id] = self._changes.get(partner_id, 0) + 1

    def grant(self, grants: Grants) -> None:
        """Replace all grants."""
        bounds = sorted({bound for g in grants.all for bound in (g.took_effect_at, g.until)})
        self._granted = _Granted(grants, self._granted.version + 1, tuple(bounds))

    def owe(self, amounts: Mapping[tuple[str, str], Amount]) -> None:
        """Replace what partners owe, by partner id and month (YYYY-MM)."""
        before, self.amounts = self.amounts, dict(amounts)
        for partner_id in {p for p, _ in [*before, *amounts]}:
            self._changes[partner_id] = self._changes.get(partner_id, 0) + 1

    def decide(self, credential: Named, *, as_of: datetime | None, now: datetime, policy: DecisionPolicy) -> Decision:
        """Whether to allow a credential."""
        partner_id = self.owners.partner_id(credential, now)
        account = None if partner_id is None else self._at(partner_id, now)
        return decision(str(credential), account, as_of=as_of, now=now, policy=policy)

    def _at(self, partner_id: str, now: datetime) -> Account:
        """The account, computed once a minute and after each change. Periods and plans begin and end on the minute."""
        # Read before the sums are: an account that lacks what is added meanwhile is made again by the next question.
        mark = self.mark(partner_id, now)
        known = self._known.get(partner_id)
        if known is None or known[0] != mark:
            known = self._known[partner_id] = mark, self.account(self.catalog.known_partner(partner_id), now)
        return known[1]

    def mark(self, partner_id: str, now: datetime) -> tuple[int, ...]:
        """What changes whenever the account of a partner may have changed."""
        granted = self._granted
        return (
            to_us(now) // _MINUTE_US, self._changes.get(partner_id, 0), granted.version, bisect_right(granted.bounds, now)
        )  # fmt: skip

    def account(self, partner: Partner, now: datetime) -> Account:
        """The account of a partner at an instant."""
        plan = next((a.plan for a in partner.plans if _holds(partner.validity_us(a), now)), None)
        found = None if plan is None else self.catalog.plan(plan)
        terms = PlanTerms() if found is None else PlanTerms(found.max_lag_s, found.when_stale)
        standings = (*self._of_quotas(partner.id, now), *self._of_budget(partner, now))
        return Account(partner.id, partner.status == "suspended", terms, standings)

    def _of_quotas(self, partner_id: str, now: datetime) -> Iterator[LimitStanding]:
        for promise, sums in self._quotas.get(partner_id, ()):
            quota = promise.quota
            held = next((h for h in promise.held if h.start <= now < h.end), None)
            if held is None:
                continue
            period = quota_period(quota.period, now, promise.partner.time_zone)
            meter = self.catalog.meter(quota.meter)
            used = in_unit(self.catalog, quota.meter, sums.get(period.start, _ZERO))
            grants = self._granted.grants.of(partner_id, quota.meter, quota.period)
            limit = effective_limit(quota.limit, ALWAYS, grants, start=period.start, end=period.end, now=now)
            yield LimitStanding(
                DenialReason.QUOTA, quota.meter, meter.unit, promise.plan, quota.period, *period, min(period.end, held.end),
                used, limit.limit, quota.enforce == "block", quota.grace_percent,
            )  # fmt: skip

    def _of_budget(self, partner: Partner, now: datetime) -> Iterator[LimitStanding]:
        budget = partner.budget
        label = month_of(now, partner.time_zone)
        if budget is None or (found := self.amounts.get((partner.id, label))) is None:
            return
        start, end = month_period(label, partner.time_zone)
        yield LimitStanding(
            DenialReason.BUDGET, None, found.currency, None, "MONTH", start, end, end,
            found.amount, budget.amount, budget.enforce == "block", budget.grace_percent,
        )  # fmt: skip


def _from(promise: PartnerQuota, now: datetime) -> PartnerQuota | None:
    """The quota with the times with the plan from the start of the period of `now`. None: they are over."""
    start = quota_period(promise.quota.period, now, promise.partner.time_zone).start
    held = tuple(Period(max(h.start, start), h.end) for h in promise.held if h.end > start)
    return promise._replace(held=held) if held else None


def _holds(validity_us: tuple[int, int], now: datetime) -> bool:
    return validity_us[0] <= to_us(now) < validity_us[1]
