"""Billing periods: the calendar month in the partner's time zone, [start, end), as UTC instants; and quota periods.

A month in any zone is a whole number of 15-minute windows, also where clocks change or a day is left out.
"""

import itertools
import re
from collections.abc import Iterable, Iterator
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple

from schemas import zones
from schemas.catalog import Catalog, Partner, Plan, RateCardVersion


class BadPeriod(ValueError):
    """The text names no month. The message shows the form."""


class Period(NamedTuple):
    """[start, end), UTC."""

    start: datetime
    end: datetime


class Segment(NamedTuple):
    """A part of a period in which one plan and one version of its rate card held."""

    start: datetime
    end: datetime
    plan: Plan
    version: RateCardVersion | None  # None: the rate card begins later


@lru_cache
def month(label: str, zone: str) -> Period:
    """The month `YYYY-MM` in `zone`. Raises BadPeriod."""
    if not re.fullmatch(r"20[0-9]{2}-(0[1-9]|1[0-2])", label):  # the years in which an event can lie
        raise BadPeriod(f"{label!r} is no billing period; write a month from 2000-01 to 2099-12, such as 2026-10")
    first = date.fromisoformat(f"{label}-01")
    return Period(_midnight(first, zone), _midnight((first + timedelta(days=31)).replace(day=1), zone))


def quota_period(kind: str, instant: datetime, zone: str) -> Period:
    """The DAY, WEEK (from Monday) or MONTH in `zone` that holds `instant`."""
    today = local_day(instant, zone)
    if kind == "MONTH":
        return month(f"{today:%Y-%m}", zone)
    first = today - timedelta(days=today.weekday() if kind == "WEEK" else 0)
    return Period(_midnight(first, zone), _midnight(first + timedelta(days=7 if kind == "WEEK" else 1), zone))


def quota_periods(kind: str, first: datetime, last: datetime, zone: str) -> Iterator[Period]:
    """The quota periods in `zone` from the one that holds `first` to the one that holds `last`, in order."""
    period = quota_period(kind, first, zone)
    yield period
    while period.end <= last:
        period = quota_period(kind, period.end, zone)
        yield period


def segments(catalog: Catalog, partner: Partner, period: Period) -> Iterator[Segment]:
    """The parts of `period` in which the partner had a plan, cut where its rate card changes; in time order."""
    for assigned in sorted(partner.plans, key=lambda a: a.valid_from):
        start = max(period.start, partner.instant(assigned.valid_from))
        end = period.end if assigned.valid_to is None else min(period.end, partner.instant(assigned.valid_to))
        plan = catalog.plan(assigned.plan)
        versions = catalog.rate_card(plan.rate_card).versions
        changes = [partner.instant(v.valid_from) for v in versions]
        cuts = sorted({start, end, *(c for c in changes if start < c < end)})
        for left, right in itertools.pairwise(cuts):
            if left < right:
                valid = [v for v, c in zip(versions, changes, strict=True) if c <= left]
                yield Segment(left, right, plan, valid[-1] if valid else None)


def uncovered(period: Period, parts: Iterable[Segment]) -> list[Period]:
    """What is left of `period` outside of its segments, which are in time order: when the partner had no plan."""
    gaps = []
    reached = period.start
    for segment in parts:
        if reached < segment.start:
            gaps.append(Period(reached, segment.start))
        reached = segment.end
    return [*gaps, Period(reached, period.end)] if reached < period.end else gaps


def local_day(instant: datetime, zone: str) -> date:
    """The date that people in `zone` write at `instant`."""
    return zones.local_day(instant, zone)


def _midnight(day: date, zone: str) -> datetime:
    """The first instant of a local day; where midnight does not exist, the first instant after the gap."""
    return zones.midnight(day, zone)
