"""Time zones: the pinned package alone decides, whatever files the machine has; what is no zone is refused with the
remedy.
"""

import os
import shutil
import subprocess
import sys
from datetime import UTC, date, datetime
from importlib import resources
from pathlib import Path

import pytest
from pydantic import ValidationError

from billing.periods import month
from schemas import zones
from schemas.catalog.records import LegalEntity
from schemas.windows import WINDOW_US, to_us

ROOT = Path(__file__).parent.parent.parent
LABELS = [f"{year}-{number:02d}" for year in range(2000, 2100) for number in range(1, 13)]
# What a machine's own files say of every month, and of the first days of a local year.
PROGRAM = """
import hashlib, sys
from datetime import date
from billing.periods import month
from schemas import zones
from tests.schemas.test_zones import LABELS
for name in sorted(zones.names()):
    bounds = [month(label, name) for label in LABELS[::7]]
    print(name, hashlib.sha256(repr([(p.start.isoformat(), p.end.isoformat()) for p in bounds]).encode()).hexdigest())
print(zones.local_day(month("2026-11", "Asia/Tokyo").start, "Asia/Tokyo"))
"""


def falsified(folder: Path) -> Path:
    """A folder of zone files in which every name is New York's, as a system may have that was not updated, or too well.

    Every name but UTC, which no edition can change: it is the zone that Arrow gives its instants.
    """
    wrong = folder / "zoneinfo"
    source = resources.files("tzdata").joinpath("zoneinfo", "America", "New_York")
    with resources.as_file(source) as file:
        for name in [*zones.names() - {"UTC"}, "localtime", "posix/Europe/Berlin"]:
            (wrong / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, wrong / name)
    return wrong


def output_of(program: str, *args: str, **environment: str) -> str:
    command = [sys.executable, "-c", program, *args]
    given = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    return subprocess.run(command, cwd=ROOT, env=given, capture_output=True, text=True, check=True).stdout


@pytest.mark.integration
@pytest.mark.slow
def test_files_of_the_machine_move_no_month(tmp_path: Path) -> None:
    """All months in all zones, with other zone files in front of the system's: the same instants."""
    wrong = falsified(tmp_path)
    probe = "import zoneinfo, datetime; print(datetime.datetime(2026, 7, 1, tzinfo=zoneinfo.ZoneInfo('Asia/Tokyo')).utcoffset())"
    assert output_of(probe, PYTHONTZPATH=str(wrong)).strip() == "-1 day, 20:00:00", "the files are not falsified"
    here = output_of(PROGRAM)
    assert here.splitlines()[-1] == "2026-11-01"
    assert output_of(PROGRAM, PYTHONTZPATH=str(wrong)) == here


@pytest.mark.parametrize("name", sorted(zones.names()))
def test_every_month_begins_on_a_quarter_of_an_hour(name: str) -> None:
    """So that a month is a whole number of windows: every seventh month of a century, in every zone."""
    for label in LABELS[::7]:
        period = month(label, name)
        assert to_us(period.start) % WINDOW_US == to_us(period.end) % WINDOW_US == 0, (name, label)


def test_the_package_is_the_one_that_is_pinned() -> None:
    """Every name that the package lists can be read, and is itself again."""
    assert "Europe/Berlin" in zones.names()
    for name in zones.names():
        assert zones.zone(name).key == name
        assert zones.zone(name) is zones.zone(name)


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("localtime", "whichever machine reads it; write the name of that zone, such as Europe/Berlin"),
        ("Factory", "no zone was set; write the name of the zone"),
        ("posixrules", "not a zone; write the name of the zone"),
        ("posix/Europe/Berlin", "a copy that exists only on some machines; write Europe/Berlin"),
        ("right/Asia/Tokyo", "a copy that exists only on some machines; write Asia/Tokyo"),
        ("posix/nowhere", "unknown time zone 'posix/nowhere'; use an IANA name such as Europe/Berlin"),
        ("europe/berlin", "unknown time zone"),
        ("Europe", "unknown time zone"),
        ("../tzdata/zones", "unknown time zone"),
        ("/etc/localtime", "unknown time zone"),
        ("", "unknown time zone"),
        ("UTC\0", "unknown time zone"),
    ],
)
def test_what_is_no_zone_is_refused_with_the_remedy(name: str, remedy: str) -> None:
    """By a catalog, too: these names say something else on each machine, or nothing."""
    with pytest.raises(zones.UnknownZone, match=remedy):
        zones.zone(name)
    with pytest.raises(ValidationError, match=remedy):
        LegalEntity(id="e", name="E", invoice_prefix="E", time_zone=name)


def test_days_follow_each_other_and_a_day_that_was_left_out_is_none() -> None:
    """Apia had no 30 December 2011; midnight in Cairo on 24 April 2026 does not exist, and the day begins where it
    would have been.
    """
    first, last = datetime(2011, 12, 29, 12, tzinfo=UTC), datetime(2011, 12, 31, 12, tzinfo=UTC)
    assert list(zones.local_days(first, last, "Pacific/Apia")) == [
        (date(2011, 12, 29), datetime(2011, 12, 29, 10, tzinfo=UTC)),
        (date(2011, 12, 31), datetime(2011, 12, 30, 10, tzinfo=UTC)),
        (date(2012, 1, 1), datetime(2011, 12, 31, 10, tzinfo=UTC)),
    ]
    assert zones.midnight(date(2026, 4, 24), "Africa/Cairo") == datetime(2026, 4, 23, 22, tzinfo=UTC)


def test_at_the_edges_of_time_the_nearest_instant_is_meant() -> None:
    """The first day of the year 1 in Tokyo lies before it in UTC, the last of 9999 in New York after it."""
    assert zones.midnight(date.min, "Asia/Tokyo") == datetime.min.replace(tzinfo=UTC)
    assert zones.in_utc(datetime.fromisoformat("9999-12-31T23:59:59-05:00")) == datetime.max.replace(tzinfo=UTC)
    assert zones.in_utc(datetime.fromisoformat("2026-01-01T00:00:00+09:00")) == datetime(2025, 12, 31, 15, tzinfo=UTC)
