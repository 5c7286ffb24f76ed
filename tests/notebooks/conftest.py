"""A small demonstration month with a quota that is crossed, made once for all tests of this folder."""

from pathlib import Path
from typing import NamedTuple

import pytest

from tests.once import made_once
from tollbook.demo.run import demo

EXAMPLES = Path(__file__).parents[2] / "examples" / "catalog"
# Every kind of filter, and a divisor of its own: what reads rollups and what reads events must apply the same.
MORE_METERS = """
meters:
  - {id: writes, aggregate: count, unit: requests, billable: false, filter: {methods: [POST], status: ["2xx"]}}
  - {id: busy, aggregate: sum, field: latency_us, unit: s, divide_by: 1000000, billable: false}
  - {id: refused, aggregate: count, unit: requests, billable: false, filter: {status: ["429"]}}
"""


class DemoLake(NamedTuple):
    """What the demonstration left: paths of the lake and of the catalog it was billed by."""

    lake: Path
    catalog: Path


@pytest.fixture(scope="session")
def demo_lake(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> DemoLake:
    """30,000 requests, northwind's quota at 15,000. Read only: whoever writes to it takes a copy."""
    with made_once(pytestconfig, tmp_path_factory, "demonstration") as (root, is_made):
        catalog = root / "catalog"
        if not is_made:
            catalog.mkdir()
            for file in EXAMPLES.glob("*.yaml"):
                small = file.read_text().replace("limit: 1000000", "limit: 15000")
                (catalog / file.name).write_text(small.replace("free_units: 0.5", "free_units: 0.05"))
            (catalog / "more.yaml").write_text(MORE_METERS)
            assert demo(folder=root / "demo", requests=30_000, catalog=catalog) == 0
    return DemoLake(root / "demo" / "lake", catalog)
