"""The rule of decisions: from what a partner has used, and when that was known, to allow or deny.

Pure, with exact decimals. `now` is a parameter, so a period that has ended allows again without any event.
"""

from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from functools import lru_cache
from typing import Literal, NamedTuple

from schemas.quotas import WHOLE, is_reached

STALE_RETRY_S = 5  # a state that was stale may be fresh again soon
_SECOND = timedelta(seconds=1)


class DenialReason(StrEnum):
    """Why a request is denied."""

    QUOTA = "QUOTA"  # a quota with `enforce: block` is used up
    BUDGET = "BUDGET"  # a budget with `enforce: block` is used up
    SUSPENDED = "SUSPENDED"  # the catalog says that the partner is suspended
    STALE = "STALE"  # the usage is older than the plan allows, and the plan is closed then
    UNKNOWN = "UNKNOWN"  # the catalog does not have the credential, and the server was told to deny those


class LimitStanding(NamedTuple):
    """What a partner has used of a quota or budget in a period, [start, end). `limit` is what holds at the moment.

    `resets_at` is when it no longer denies, whatever is used: the end of the period, or of the plan if that is earlier.
    """

    reason: Literal[DenialReason.QUOTA, DenialReason.BUDGET]
    meter: str | None  # None: a budget
    unit: str  # of the meter, or the currency
    plan: str | None
    period: str  # DAY | WEEK | MONTH
    start: datetime
    end: datetime
    resets_at: datetime
    used: Decimal
    limit: Decimal
    blocks: bool  # `enforce: block`
    grace_percent: Decimal

    @property
    def is_used_up(self) -> bool:
        """Whether usage has reached the limit and its grace."""
        return is_reached(self.used, self.limit, WHOLE + self.grace_percent)


class PlanTerms(NamedTuple):
    """How old the usage may be that an answer is based on, and what to answer if it is older."""

    max_lag_s: int = 300
    when_stale: Literal["open", "closed"] = "open"


class Account(NamedTuple):
    """What is known about the partner of a credential."""

    partner_id: str
    is_suspended: bool
    terms: PlanTerms
    standings: tuple[LimitStanding, ...] = ()


class DecisionPolicy(NamedTuple):
    """What the server was told."""

    deny_unknown: bool = False
    deny_suspended: bool = True


class Decision(NamedTuple):
    """An answer. `shown` is the quota or budget that denies, or else the one that is nearest to its limit."""

    credential: str
    partner_id: str | None
    reason: DenialReason | None  # None: allowed
    now: datetime
    as_of: datetime | None  # when the usage was last known to be complete; None: never
    is_stale: bool
    terms: PlanTerms
    standings: tuple[LimitStanding, ...] = ()
    shown: LimitStanding | None = None

    @property
    def allows(self) -> bool:
        """Whether the request may pass."""
        return self.reason is None

    @property
    def lag_s(self) -> int | None:
        """The age of the usage in whole seconds."""
        return None if self.as_of is None else max(0, (self.now - self.as_of) // _SECOND)

    @property
    def retry_after_s(self) -> int | None:
        """In how many seconds it is worth to ask again; None: nobody knows, or it is allowed."""
        if self.reason is DenialReason.STALE:
            return STALE_RETRY_S
        if self.reason in {DenialReason.QUOTA, DenialReason.BUDGET} and self.shown is not None:
            return seconds_until(self.shown.resets_at, self.now)
        return None


def decision(
    credential: str, account: Account | None, *, as_of: datetime | None, now: datetime, policy: DecisionPolicy
) -> Decision:
    """Whether to allow a credential at `now`. `account` is None if the catalog does not have it.

    A suspended partner is denied whatever the age of its usage, as the catalog says that, not the usage. Usage that is
    too old decides nothing: the plan's `when_stale` does, if a quota or budget of the partner blocks at all.
    """
    if account is None:
        is_stale = _is_stale(as_of, now, PlanTerms())
        reason = DenialReason.UNKNOWN if policy.deny_unknown else None
        return Decision(credential, None, reason, now, as_of, is_stale, PlanTerms())
    standings = tuple(s for s in account.standings if s.start <= now < s.resets_at)
    is_stale = _is_stale(as_of, now, account.terms)
    used_up, nearest = _judged(standings)
    reason = None
    if account.is_suspended and policy.deny_suspended:
        reason = DenialReason.SUSPENDED
    elif is_stale:
        is_closed = account.terms.when_stale == "closed" and any(s.blocks for s in standings)
        reason = DenialReason.STALE if is_closed else None
    elif used_up is not None:
        reason = used_up.reason
    shown = used_up if reason in {DenialReason.QUOTA, DenialReason.BUDGET} else nearest
    return Decision(credential, account.partner_id, reason, now, as_of, is_stale, account.terms, standings, shown)


def seconds_until(instant: datetime, now: datetime) -> int:
    """Whole seconds until an instant, rounded up, and at least 1."""
    return max(1, -((now - instant) // _SECOND))


def _is_stale(as_of: datetime | None, now: datetime, terms: PlanTerms) -> bool:
    return as_of is None or now - as_of > timedelta(seconds=terms.max_lag_s)


@lru_cache(maxsize=16_384)  # most questions are about what has not changed since the last one
def _judged(standings: tuple[LimitStanding, ...]) -> tuple[LimitStanding | None, LimitStanding | None]:
    """The one that denies longest, as a request is allowed again only when it ends; and the one that denies next.

    One that blocks comes before one that only alerts.
    """
    used_up = [s for s in standings if s.blocks and s.is_used_up]
    return (
        max(used_up, key=lambda s: s.resets_at, default=None),
        max(standings, key=lambda s: (s.blocks, s.used / s.limit), default=None),
    )
