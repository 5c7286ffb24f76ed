"""The rule of decisions against a second reading of docs/enforcement.md, on drawn accounts and instants."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from aggregate.decisions.rule import (
    Account,
    Decision,
    DecisionPolicy,
    DenialReason,
    LimitStanding,
    PlanTerms,
    decision,
)
from tests.long import amount

T0 = datetime(2026, 10, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


@st.composite
def standings(draw: st.DrawFn) -> LimitStanding:
    """A quota or budget whose period begins and ends around the instants that are asked about."""
    is_budget = draw(st.booleans())
    start = T0 + HOUR * draw(st.integers(-3, 3))
    end = start + HOUR * draw(st.integers(1, 5))
    resets_at = min(end, start + HOUR * draw(st.integers(1, 5)))
    limit = Decimal(draw(st.integers(1, 20)))
    used = draw(st.sampled_from([Decimal(0), limit - Decimal("0.5"), limit, limit * Decimal("1.1"), limit * 3]))
    grace = Decimal(draw(st.sampled_from(["0", "10", "12.5"])))
    reason = DenialReason.BUDGET if is_budget else DenialReason.QUOTA
    meter, unit = (None, "EUR") if is_budget else ("requests", "requests")
    return LimitStanding(
        reason, meter, unit, "p", "DAY", start, end, resets_at, used, limit, draw(st.booleans()), grace
    )  # fmt: skip


def expected(account: Account, as_of: datetime | None, now: datetime, policy: DecisionPolicy) -> str | None:
    """Why a request is denied, read from the page; None: it is allowed."""
    if account.is_suspended and policy.deny_suspended:
        return "SUSPENDED"
    blocking = [s for s in account.standings if s.blocks and s.start <= now and now < s.resets_at]
    is_old = as_of is None or (now - as_of).total_seconds() > account.terms.max_lag_s
    if is_old:
        return "STALE" if blocking and account.terms.when_stale == "closed" else None
    over = [s for s in blocking if Fraction(s.used) >= Fraction(s.limit) * (100 + Fraction(s.grace_percent)) / 100]
    if not over:
        return None
    latest = max(s.resets_at for s in over)
    reasons = {str(s.reason) for s in over if s.resets_at == latest}
    return reasons.pop() if len(reasons) == 1 else "EITHER"


@settings(max_examples=amount(100, 600, 20_000), deadline=None)
@given(
    st.lists(standings(), max_size=4),
    st.booleans(),
    st.booleans(),
    st.sampled_from(["open", "closed"]),
    st.integers(-8, 8).map(lambda n: T0 + n * HOUR / 2),
    st.one_of(st.none(), st.sampled_from([0, 299, 300, 301, 86_400])),
)
def test_a_decision_is_what_the_page_says(
    found: list[LimitStanding], suspended: bool, deny_suspended: bool, when_stale: str, now: datetime, age_s: int | None
) -> None:
    """Periods that begin and end, grace to the last unit, ages on both sides of the bound, open and closed."""
    terms = PlanTerms(300, "open" if when_stale == "open" else "closed")
    account = Account("acme", suspended, terms, tuple(found))
    as_of = None if age_s is None else now - timedelta(seconds=age_s)
    policy = DecisionPolicy(deny_suspended=deny_suspended)
    decided = decision("api_key:k", account, as_of=as_of, now=now, policy=policy)
    reason = expected(account, as_of, now, policy)
    assert decided.reason in ({"QUOTA", "BUDGET"} if reason == "EITHER" else {reason})
    assert_retry(decided)


def assert_retry(decided: Decision) -> None:
    """Who is denied by a limit may come again when the longest of those that deny has ended."""
    if decided.reason in {DenialReason.QUOTA, DenialReason.BUDGET}:
        assert decided.shown is not None
        assert decided.retry_after_s is not None
        again = decided.now + timedelta(seconds=decided.retry_after_s)
        assert again >= decided.shown.resets_at > again - timedelta(seconds=1)
        later = decision(
            "api_key:k", Account("acme", False, decided.terms, decided.standings), as_of=again, now=again, policy=DecisionPolicy()
        )  # fmt: skip
        assert later.allows, "nothing that was known denies any more, without any event"


def test_who_is_unknown_is_allowed_unless_told_otherwise() -> None:
    """A gateway may have credentials that nobody meters."""
    for policy, reason in ((DecisionPolicy(), None), (DecisionPolicy(deny_unknown=True), DenialReason.UNKNOWN)):
        assert decision("api_key:x", None, as_of=T0, now=T0, policy=policy).reason == reason
