"""Time zones, read from the package `tzdata` alone.

The files of the machine and of PYTHONTZPATH are never asked: they differ from machine to machine, and an update of the system
would move the bounds of a month that was invoiced. No SQL statement uses a time zone: statements are given instants that were
computed here.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from importlib import resources
from zoneinfo import ZoneInfo  # the class alone: what it looks up by name comes from the machine

# Names that a time zone library may know and that stand for no place, with what to write instead.
_NO_ZONES = {
    "localtime": "stands for the zone of whichever machine reads it; write that zone's own name",
    "Factory": "stands for a zone that was not set; write the zone's own name",
    "posixrules": "is a default of the C library and no zone; write the zone's own name",
}
_COPIES = ("posix/", "right/")  # folders of the system with copies of all zones, one of them with leap seconds

_FIRST, _LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


class UnknownZone(ValueError):
    """The text names no time zone. The message says what to write instead."""


@cache
def names() -> frozenset[str]:
    """The names of all zones there are."""
    return frozenset(resources.files("tzdata").joinpath("zones").read_text("utf-8").split()) - _NO_ZONES.keys()


@cache
def zone(name: str) -> ZoneInfo:
    """The zone of an IANA name such as Europe/Berlin; always the same object. Raises UnknownZone."""
    if name not in names():
        raise UnknownZone(_remedy(name))
    with resources.files("tzdata").joinpath("zoneinfo", *name.split("/")).open("rb") as file:
        return ZoneInfo.from_file(file, key=name)


def local_day(instant: datetime, name: str) -> date:
    """The date that people in the zone write at `instant`. Raises UnknownZone."""
    return instant.astimezone(zone(name)).date()


def midnight(day: date, name: str) -> datetime:
    """The first instant of a local day, in UTC; where midnight does not exist, the first instant after the gap.

    At the edges of time the nearest instant there is, as in `in_utc`. Raises UnknownZone.
    """
    return in_utc(datetime.combine(day, time(), zone(name)))


def local_days(first: datetime, last: datetime, name: str) -> Iterator[tuple[date, datetime]]:
    """Each local day from the one that holds `first` to the one that holds `last`, with its first instant in UTC; in order.

    A day that a zone left out (30 December 2011 in Pacific/Apia) is left out. Raises UnknownZone.
    """
    day, until = local_day(first, name), local_day(last, name)
    while day <= until:
        following = day + timedelta(days=1)
        if midnight(day, name) < midnight(following, name):
            yield day, midnight(day, name)
        day = following


def in_utc(instant: datetime) -> datetime:
    """The same instant in UTC; one that UTC puts before the year 1 or after the year 9999 becomes the nearest there is."""
    try:
        return instant.astimezone(UTC)
    except OverflowError:
        return _FIRST if instant.year == _FIRST.year else _LAST


def _remedy(name: str) -> str:
    if name in _NO_ZONES:
        return f"time zone {name!r} {_NO_ZONES[name]}, such as Europe/Berlin"
    for copies in _COPIES:
        if (real := name.removeprefix(copies)) != name and real in names():
            return f"time zone {name!r} is a copy that only some machines have; write {real}"
    return f"unknown time zone {name!r}; use an IANA name such as Europe/Berlin"
