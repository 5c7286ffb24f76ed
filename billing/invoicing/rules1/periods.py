"""The month in the partner's time zone, and its segments, as rules 1 cut it."""

import itertools
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple

from schemas import zones
from schemas.catalog.records import Catalog, Partner, Plan, RateCardVersion


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
    """The month `YYYY-MM` in `zone`."""
    first = date.fromisoformat(f"{label}-01")
    return Period(_midnight(first, zone), _midnight((first + timedelta(days=31)).replace(day=1), zone))


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


def local_day(instant: datetime, zone: str) -> date:
    """The date that people in `zone` write at `instant`."""
    return zones.local_day(instant, zone)


def _midnight(day: date, zone: str) -> datetime:
    """The first instant of a local day; where midnight does not exist, the first instant after the gap."""
    return zones.midnight(day, zone)
