"""Grants: more of a quota for a partner, for a time, with who gave it and why. Table `grants` holds them.

A grant is judged by the clock of whoever asks, and not by event times: a partner that is blocked has no later events by
which time could pass. After a period its limit is that of its last instant, so statements of past periods do not depend
on the clock (docs/decisions/044-grants.md).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cached_property
from typing import Any, NamedTuple

from schemas.money import EXACT

_INSTANT = timedelta(microseconds=1)
_ZERO = Decimal(0)


class QuotaGrant(NamedTuple):
    """A grant. `amount` is added to each quota of the partner on this meter and period, in the meter's unit."""

    grant_id: str
    partner_id: str
    meter: str
    quota_period: str  # DAY | WEEK | MONTH
    amount: Decimal
    starts_at: datetime
    ends_at: datetime  # it holds in [starts_at, ends_at), unless it is revoked
    reason: str
    recorded_by: str
    recorded_at: datetime
    revoked_at: datetime | None = None
    revoked_by: str | None = None
    revoked_reason: str | None = None

    @property
    def until(self) -> datetime:
        """The first instant at which it holds no more."""
        return self.ends_at if self.revoked_at is None else min(self.ends_at, self.revoked_at)

    @property
    def took_effect_at(self) -> datetime:
        """The instant from which it was known and held."""
        return max(self.starts_at, self.recorded_at)

    def is_active(self, at: datetime) -> bool:
        """Whether it holds at an instant."""
        return self.took_effect_at < self.until and self.starts_at <= at < self.until

    def concerns(self, start: datetime, end: datetime) -> bool:
        """Whether it was to hold at any time in [start, end), and took effect before it was revoked.

        Had it been revoked meanwhile, the limit has changed twice, and it must not seem as if it never had.
        """
        return self.took_effect_at < self.until and self.starts_at < end and start < self.ends_at


class EffectiveLimit(NamedTuple):
    """The limit of a quota in a period with its grants, and from when it holds."""

    limit: Decimal
    since: datetime
    granted: Decimal  # the part of the limit that is granted


@dataclass(frozen=True)
class Grants:
    """All grants of a lake, in the order in which they were recorded."""

    all: tuple[QuotaGrant, ...] = ()

    @cached_property
    def _by_quota(self) -> dict[tuple[str, str, str], tuple[QuotaGrant, ...]]:
        found: dict[tuple[str, str, str], tuple[QuotaGrant, ...]] = {}
        for grant in self.all:
            key = (grant.partner_id, grant.meter, grant.quota_period)
            found[key] = (*found.get(key, ()), grant)
        return found

    def of(self, partner_id: str, meter: str, quota_period: str) -> tuple[QuotaGrant, ...]:
        """The grants to a partner on a meter and kind of period."""
        return self._by_quota.get((partner_id, meter, quota_period), ())

    def changes(self, after: datetime, until: datetime) -> bool:
        """Whether any grant begins or ends in (after, until]."""
        return any(after < bound <= until for g in self.all for bound in (g.starts_at, g.took_effect_at, g.until))


def effective_limit(
    limit: Decimal, since: datetime, grants: Iterable[QuotaGrant], *, start: datetime, end: datetime, now: datetime
) -> EffectiveLimit:
    """The limit of a quota in its period [start, end) as of `now`, and from when it holds.

    `limit` and `since` are those of the catalog; `grants` are those of the partner, meter and kind of period.

    It holds from the last instant at which it changed. Grants of one amount that follow each other change nothing.
    """
    at = min(now, end - _INSTANT)
    granted = _ZERO
    changes: dict[datetime, Decimal] = {}
    for grant in grants:
        if not grant.concerns(start, end) or at < grant.starts_at:
            continue
        began = grant.took_effect_at
        changes[began] = EXACT.add(changes.get(began, _ZERO), grant.amount)
        if grant.is_active(at):
            granted = EXACT.add(granted, grant.amount)
        else:
            changes[grant.until] = EXACT.subtract(changes.get(grant.until, _ZERO), grant.amount)
    changed = max((instant for instant, change in changes.items() if change), default=since)
    return EffectiveLimit(EXACT.add(limit, granted), max(since, changed), granted)


def grants_of(rows: Iterable[Mapping[str, Any]]) -> Grants:
    """The grants of the rows of table `grants`, in the order in which they were recorded.

    A later row may revoke a grant.
    """
    found: dict[str, QuotaGrant] = {}
    for row in rows:
        recorded_at = row["recorded_at"].astimezone(UTC)
        if row["action"] == "revoked":
            known = found[row["grant_id"]]
            if known.revoked_at is None:
                found[known.grant_id] = known._replace(
                    revoked_at=recorded_at, revoked_by=row["recorded_by"], revoked_reason=row["reason"]
                )
            continue
        found[row["grant_id"]] = QuotaGrant(
            row["grant_id"], row["partner_id"], row["meter"], row["quota_period"], row["amount"].normalize(),
            row["starts_at"].astimezone(UTC), row["ends_at"].astimezone(UTC), row["reason"], row["recorded_by"], recorded_at,
        )  # fmt: skip
    return Grants(tuple(found.values()))
