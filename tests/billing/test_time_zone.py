"""The machine's time zone is nobody's business: the same logs, the same invoices, in Hamburg, New York and
Kathmandu.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.schemas.test_zones import falsified

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parent.parent.parent
# Everything in a process of its own: the zone is read once, when Python and DuckDB start.
PROGRAM = """
import hashlib, json, sys
from pathlib import Path
from billing.invoicing import closing, issuing
from billing.periods import month
from billing.usage.warehouse import Span, Warehouse
from lake.lake import Lake
from tests.billing.catalogs import book
from tests.billing.lakes import NOW, OCTOBER, books, land
root = land(Path(sys.argv[1]) / "lake", OCTOBER)
made = closing.close(Lake(root), book(), "2026-10", "north", prove=books(root), now=NOW)
issuing.issue(Lake(root), made, now=NOW)
for path in sorted((root / "documents").glob("*.csv")):
    print(path.name, hashlib.sha256(path.read_bytes()).hexdigest())
for path in sorted((root / "documents").glob("*.json")):
    document = json.loads(path.read_text())
    del document["evidence"]  # it names a close, which pins the names of this lake's own files
    print(path.name, document)
for path in sorted((root / "rollups").glob("event_day=*")):
    print(path.name)
for partner in book().partners:
    span = Span(partner.id, "requests", *month("2026-10", partner.time_zone))
    print(Warehouse(Lake(root)).usage_by_day_and_route(book(), [span], partner.time_zone).to_pylist())
print([problem for checked in issuing.verify(Lake(root)) for problem in checked.problems])
"""


def output_of(folder: Path, zone: str, **more: str) -> str:
    folder.mkdir()
    environment = {**os.environ, "TZ": zone, "PYTHONPATH": str(ROOT), **more}
    command = [sys.executable, "-W", "error", "-c", PROGRAM, str(folder)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def in_utc(tmp_path_factory: pytest.TempPathFactory) -> str:
    return output_of(tmp_path_factory.mktemp("zones") / "utc", "UTC")


@pytest.mark.sampled(keep=1)
@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Kathmandu"])
def test_the_machines_time_zone_changes_no_byte(tmp_path: Path, in_utc: str, zone: str) -> None:
    """Documents, days of usage and folders of days are functions of the logs and the catalog alone."""
    assert "NM-2026-000002.json" in in_utc
    assert in_utc.splitlines()[-1] == "[]"
    assert output_of(tmp_path / "there", zone) == in_utc


@pytest.mark.slow
def test_the_machines_zone_files_change_no_byte(tmp_path: Path, in_utc: str) -> None:
    """Nor do they move a month, a day of usage or what `verify` finds, though they say New York of every place."""
    assert output_of(tmp_path / "there", "UTC", PYTHONTZPATH=str(falsified(tmp_path))) == in_utc
