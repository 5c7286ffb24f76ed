"""Time zones, read only from the package `tzdata`.

The zone files of the system and of PYTHONTZPATH are never used: they differ between machines, and a system update could
move the bounds of an invoiced month. SQL statements use no time zones: they receive instants that were computed here.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from functools import cache, lru_cache
from importlib import resources
from zoneinfo import ZoneInfo  # only for `from_file`: lookups by name read the system's files

# Names that time zone libraries may accept although they name no place, with what to write instead.
_NO_ZONES = {
    "localtime": "means the zone of whichever machine reads it; write the name of that zone",
    "Factory": "means that no zone was set; write the name of the zone",
    "posixrules": "is a default of the C library, not a zone; write the name of the zone",
}
_COPIES = ("posix/", "right/")  # system folders with copies of all zones; those in right/ count leap seconds

_FIRST, _LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


class UnknownZone(ValueError):
    """The text is not the name of a time zone. The message says what to write instead."""


@cache
def names() -> frozenset[str]:
    """The names of all zones."""
    return frozenset(resources.files("tzdata").joinpath("zones").read_text("utf-8").split()) - _NO_ZONES.keys()


@cache
def zone(name: str) -> ZoneInfo:
    """The zone with an IANA name such as Europe/Berlin. Cached, so it is always the same object. Raises UnknownZone."""
    if name not in names():
        raise UnknownZone(_remedy(name))
    with resources.files("tzdata").joinpath("zoneinfo", *name.split("/")).open("rb") as file:
        return ZoneInfo.from_file(file, key=name)


def local_day(instant: datetime, name: str) -> date:
    """The local date in the zone at `instant`. Raises UnknownZone."""
    return instant.astimezone(zone(name)).date()


@lru_cache(maxsize=4096)
def midnight(day: date, name: str) -> datetime:
    """The first instant of a local day, in UTC. If midnight does not exist, it is the first instant after the gap.

    It is clamped to the range of datetime, as in `in_utc`. Raises UnknownZone.
    """
    return in_utc(datetime.combine(day, time(), zone(name)))


def local_days(first: datetime, last: datetime, name: str) -> Iterator[tuple[date, datetime]]:
    """Each local day from that of `first` to that of `last`, in order, with its first instant in UTC.

    A day that the zone skipped (30 December 2011 in Pacific/Apia) is not included. Raises UnknownZone.
    """
    day, until = local_day(first, name), local_day(last, name)
    while day <= until:
        following = day + timedelta(days=1)
        if midnight(day, name) < midnight(following, name):
            yield day, midnight(day, name)
        day = following


def in_utc(instant: datetime) -> datetime:
    """The same instant in UTC, clamped to the years 1 to 9999."""
    try:
        return instant.astimezone(UTC)
    except OverflowError:
        return _FIRST if instant.year == _FIRST.year else _LAST


def _remedy(name: str) -> str:
    if name in _NO_ZONES:
        return f"time zone {name!r} {_NO_ZONES[name]}, such as Europe/Berlin"
    for copies in _COPIES:
        if (real := name.removeprefix(copies)) != name and real in names():
            return f"time zone {name!r} is a copy that exists only on some machines; write {real}"
    return f"unknown time zone {name!r}; use an IANA name such as Europe/Berlin"


def utc_text(instant: datetime) -> str:
    """An instant as text in UTC, as JSON has it: 2026-10-01T00:00:00+00:00."""
    return instant.astimezone(UTC).isoformat()


def utc_midnight(day: date) -> datetime:
    """The first instant of a UTC day."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
