"""Billing periods and quota periods. A billing period is split at every instant at which the contract changes.

A billing period is the calendar month in the partner's time zone, `[start, end)`. It starts at the end of the partner's
last settled period, so that a change of the time zone causes neither an overlap nor a gap. In every zone a month is a
whole number of 15-minute windows, even if clocks change or a day is skipped.

The time zone rules are applied once, when a month is closed. The close stores the resulting instants. Later proofs of
an invoice read them and need no time zone.
"""

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any, NamedTuple

from schemas import zones
from schemas.catalog.records import Catalog, Partner
from schemas.money import plain

# Two zones differ by at most 26 hours. A settled period that ended this close to the start of a month ended with the
# previous month.
_ZONES_APART = timedelta(hours=27)
_TICK = timedelta(microseconds=1)


class BadPeriod(ValueError):
    """The text is not a month. The message shows the expected form."""


class Period(NamedTuple):
    """[start, end), UTC."""

    start: datetime
    end: datetime


class Interval(NamedTuple):
    """[start, end): two instants with the UTC offsets for display, and the first and last local day of the interval."""

    start: datetime
    end: datetime
    first_day: date
    last_day: date

    def as_json(self) -> dict[str, str]:
        """The interval as a close stores it: RFC 3339 instants and dates.

        The result is shared between callers; do not modify it.
        """
        return _interval_json(self, self.start.utcoffset(), self.end.utcoffset())

    @classmethod
    def from_json(cls, stored: Mapping[str, str]) -> "Interval":
        """The interval that a close stored."""
        return cls(
            datetime.fromisoformat(stored["start"]),
            datetime.fromisoformat(stored["end"]),
            date.fromisoformat(stored["first_day"]),
            date.fromisoformat(stored["last_day"]),
        )


class Stay(NamedTuple):
    """The part of a period in which one assignment of a plan was valid, split by versions of the rate card.

    `versions` holds pairs of the index of a version on the rate card and its part of the stay, in time order. The index
    is None for the time before the first version. Where the partner's own prices change, another pair begins with the
    same index.
    """

    plan: str
    interval: Interval
    versions: tuple[tuple[int | None, Interval], ...]


class HeldGrant(NamedTuple):
    """A grant to a monthly quota. `amount` is in the meter's unit; it held in [start, end)."""

    grant_id: str
    amount: Decimal
    start: datetime
    end: datetime
    holds_at_end: bool  # of the month
    reason: str
    recorded_by: str

    def as_json(self) -> dict[str, Any]:
        """The grant as a close stores it."""
        times = {name: getattr(self, name).isoformat() for name in ("start", "end")}
        return {**self._asdict(), "amount": plain(self.amount), **times}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "HeldGrant":
        """The grant that a close stored."""
        times = {name: datetime.fromisoformat(stored[name]) for name in ("start", "end")}
        return cls(**{**stored, "amount": Decimal(stored["amount"]), **times})


class HeldQuota(NamedTuple):
    """A monthly quota of a plan, and the intervals of the month in which the partner had the plan, in time order."""

    meter: str
    plan: str
    held: tuple[Interval, ...]
    grants: tuple[HeldGrant, ...] = ()  # of the month

    def as_json(self) -> dict[str, Any]:
        """The quota as a close stores it. Closes of earlier versions have no grants."""
        granted = {"grants": [grant.as_json() for grant in self.grants]} if self.grants else {}
        return {"meter": self.meter, "plan": self.plan, "held": [part.as_json() for part in self.held], **granted}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "HeldQuota":
        """The quota that a close stored."""
        held = tuple(Interval.from_json(part) for part in stored["held"])
        return cls(stored["meter"], stored["plan"], held, tuple(map(HeldGrant.from_json, stored.get("grants", ()))))


class BillingPeriod(NamedTuple):
    """The period that one invoice covers: stays in time order, intervals without a plan, and monthly quotas."""

    partner_id: str
    interval: Interval
    stays: tuple[Stay, ...]
    without_plan: tuple[Interval, ...]
    quotas: tuple[HeldQuota, ...] = ()
    days: tuple[tuple[date, datetime], ...] = ()  # each local day and its first instant, if the invoice lists days

    @property
    def start(self) -> datetime:
        """The first instant."""
        return self.interval.start

    @property
    def end(self) -> datetime:
        """The first instant after the period."""
        return self.interval.end

    @property
    def label(self) -> str:
        """The month `YYYY-MM`. A period that is billed again after its partner moved east ends in the next one."""
        return f"{self.interval.last_day - timedelta(days=2):%Y-%m}"

    def as_json(self) -> dict[str, Any]:
        """The period as a close stores it."""
        return {
            **self.interval.as_json(),
            "stays": [
                {
                    "plan": stay.plan,
                    **stay.interval.as_json(),
                    "versions": [{"version": place, **part.as_json()} for place, part in stay.versions],
                }
                for stay in self.stays
            ],
            "without_plan": [gap.as_json() for gap in self.without_plan],
            "quotas": [quota.as_json() for quota in self.quotas],
            **({"days": {day.isoformat(): start.isoformat() for day, start in self.days}} if self.days else {}),
        }

    @classmethod
    def from_json(cls, partner_id: str, stored: Mapping[str, Any]) -> "BillingPeriod":
        """The period that a close stored."""
        stays = tuple(
            Stay(
                stay["plan"],
                Interval.from_json(stay),
                tuple((part["version"], Interval.from_json(part)) for part in stay["versions"]),
            )
            for stay in stored["stays"]
        )
        gaps = tuple(Interval.from_json(gap) for gap in stored["without_plan"])
        quotas = tuple(map(HeldQuota.from_json, stored["quotas"]))
        days = ((date.fromisoformat(day), datetime.fromisoformat(at)) for day, at in stored.get("days", {}).items())
        return cls(partner_id, Interval.from_json(stored), stays, gaps, quotas, tuple(days))


@lru_cache(maxsize=4096)
def month(label: str, zone: str) -> Period:
    """The month `YYYY-MM` in `zone`. Raises BadPeriod."""
    if not re.fullmatch(r"20[0-9]{2}-(0[1-9]|1[0-2])", label):  # the range of event times (schemas.reasons: TIME_RANGE)
        raise BadPeriod(f"{label!r} is not a billing period; write a month from 2000-01 to 2099-12, such as 2026-10")
    first = date.fromisoformat(f"{label}-01")
    return Period(_midnight(first, zone), _midnight((first + timedelta(days=31)).replace(day=1), zone))


def month_of(instant: datetime, zone: str) -> str:
    """The label `YYYY-MM` of the month in `zone` that contains `instant`."""
    return f"{local_day(instant, zone):%Y-%m}"


def month_before(label: str) -> str:
    """The label of the previous month."""
    return f"{date.fromisoformat(f'{label}-01') - timedelta(days=1):%Y-%m}"


def month_after(label: str) -> str:
    """The label of the next month."""
    return f"{date.fromisoformat(f'{label}-01') + timedelta(days=31):%Y-%m}"


def is_settled(label: str, zone: str, settled_until: datetime) -> bool:
    """Whether the period that ended at `settled_until` was the month `label` or a later one, in any time zone."""
    return settled_until > month(label, zone).end - _ZONES_APART


def missing_month(label: str, zone: str, settled_until: datetime) -> str | None:
    """The first month before `label` that is not settled, or None. The last settled period ended at `settled_until`."""
    if settled_until > month(label, zone).start - _ZONES_APART:
        return None
    return month_of(settled_until + _ZONES_APART, zone)


def billing_period(
    catalog: Catalog, partner: Partner, label: str, settled_until: datetime | None
) -> BillingPeriod | None:
    """The part of the month `label` that is not settled yet, or None.

    `settled_until` is the end of the last settled period.
    """
    start, end = month(label, partner.time_zone)
    if settled_until is not None:
        if is_settled(label, partner.time_zone, settled_until):
            return None
        start = settled_until.astimezone(UTC)
    return period_between(catalog, partner, start, end)


def period_between(catalog: Catalog, partner: Partner, start: datetime, end: datetime) -> BillingPeriod:
    """The billing period [start, end) of a partner by the plans and rate cards of the catalog."""
    stays = tuple(_stays(catalog, partner, start, end))
    reached = start
    gaps = []
    for stay in stays:
        if reached < stay.interval.start:
            gaps.append(interval(reached, stay.interval.start, partner.time_zone))
        reached = stay.interval.end
    if reached < end:
        gaps.append(interval(reached, end, partner.time_zone))
    days = tuple(zones.local_days(start, end - _TICK, partner.time_zone)) if "days" in partner.appendices else ()
    return BillingPeriod(partner.id, interval(start, end, partner.time_zone), stays, tuple(gaps), days=days)


def _stays(catalog: Catalog, partner: Partner, start: datetime, end: datetime) -> Iterator[Stay]:
    for assigned in sorted(partner.plans, key=lambda a: a.valid_from):
        entered = max(start, partner.instant(assigned.valid_from))
        left = end if assigned.valid_to is None else min(end, partner.instant(assigned.valid_to))
        if entered < left:
            card = catalog.rate_card(catalog.plan(assigned.plan).rate_card)
            starts = [partner.instant(version.valid_from) for version in card.versions]
            also = [partner.instant(day) for own in partner.own_prices(assigned.plan) for day in own.bounds]
            parts = tuple(_versions(starts, entered, left, partner.time_zone, also))
            yield Stay(assigned.plan, interval(entered, left, partner.time_zone), parts)


def _versions(
    starts: Sequence[datetime], start: datetime, end: datetime, zone: str, also: Sequence[datetime] = ()
) -> Iterator[tuple[int | None, Interval]]:
    """The version of each part of [start, end). `also`: further instants at which a part ends."""
    for left, right in itertools.pairwise(sorted({start, end, *(s for s in (*starts, *also) if start < s < end)})):
        effective = [place for place, begins in enumerate(starts) if begins <= left]
        yield (effective[-1] if effective else None), interval(left, right, zone)


@lru_cache(maxsize=4096)
def _interval_json(shown: Interval, *_offsets: timedelta | None) -> dict[str, str]:
    """Cached, because most partners share intervals.

    The offsets are part of the key: equal instants may have different offsets.
    """
    return {name: value.isoformat() for name, value in shown._asdict().items()}


@lru_cache(maxsize=4096)
def interval(start: datetime, end: datetime, zone: str) -> Interval:
    """[start, end) as shown in `zone`.

    The offsets are fixed here, so that later changes of the zone's rules do not alter the text.
    """
    shown = [_with_offset(instant, zone) for instant in (start, end)]
    return Interval(shown[0], shown[1], local_day(start, zone), local_day(end - _TICK, zone))


def _with_offset(instant: datetime, zone: str) -> datetime:
    return datetime.fromisoformat(instant.astimezone(zones.zone(zone)).isoformat())


def quota_period(kind: str, instant: datetime, zone: str) -> Period:
    """The DAY, WEEK (from Monday) or MONTH in `zone` that contains `instant`."""
    today = local_day(instant, zone)
    if kind == "MONTH":
        return month(f"{today:%Y-%m}", zone)
    first = today - timedelta(days=today.weekday() if kind == "WEEK" else 0)
    return Period(_midnight(first, zone), _midnight(first + timedelta(days=7 if kind == "WEEK" else 1), zone))


def quota_periods(kind: str, first: datetime, last: datetime, zone: str) -> Iterator[Period]:
    """The quota periods in `zone`, from the one that contains `first` to the one that contains `last`, in order."""
    period = quota_period(kind, first, zone)
    yield period
    while period.end <= last:
        period = quota_period(kind, period.end, zone)
        yield period


def days_between(gaps: Iterable[Interval]) -> str:
    """Intervals as text, such as `from 2026-10-01 to before 2026-10-05`."""
    return ", ".join(f"from {gap.first_day} to before {gap.end.date()}" for gap in gaps)


def local_day(instant: datetime, zone: str) -> date:
    """The local date in `zone` at `instant`."""
    return zones.local_day(instant, zone)


def _midnight(day: date, zone: str) -> datetime:
    """The first instant of a local day. If midnight does not exist, the first instant after the gap."""
    return zones.midnight(day, zone)
