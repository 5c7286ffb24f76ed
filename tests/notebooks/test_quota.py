"""notebooks/quota.ipynb, executed from top to bottom as on-call does."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient.exceptions import CellExecutionError

from lake.lake import Lake
from tests.notebooks.conftest import DemoLake
from tests.notebooks.executing import execute
from tests.tollbook.fixtures import table_rows, write_catalog
from tollbook.analysis import open_lake

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "quota.ipynb"
# Run last, in the notebook's own kernel: its figures, as text.
FIGURES = """
import json
print(json.dumps({
    "burns": [[b.rule.partner_id, b.rule.meter, b.used, b.exhausted_at] for b in burns], "shares": shares.to_dict("records"),
    "hours": hours.to_dict("records"), "alerts": alerts.to_dict("records"), "throttled": throttled.to_dict("records"),
}, default=str))
"""


def read() -> nbformat.NotebookNode:
    return nbformat.read(NOTEBOOK, as_version=4)


@pytest.fixture(scope="module")
def executed(demo_lake: DemoLake) -> nbformat.NotebookNode:
    notebook = read()
    notebook.cells.append(nbformat.v4.new_code_cell(FIGURES))
    return execute(notebook, *demo_lake)


@pytest.fixture(scope="module")
def figures(executed: nbformat.NotebookNode) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(executed.cells[-1].outputs[0].text)
    return found


def test_every_quota_burns_down_as_the_rule_of_alerts_says(figures: dict[str, Any], demo_lake: DemoLake) -> None:
    """One curve for each partner with a quota, as `burn_down` gives it at that instant."""
    lake = open_lake(*demo_lake)
    as_of = datetime(2026, 10, 17, tzinfo=UTC)
    assert [(partner, meter) for partner, meter, *_ in figures["burns"]] == [
        (partner, "requests") for partner in ("northwind", "globex", "initech")
    ]
    for partner, meter, used, exhausted_at in figures["burns"]:
        burn = lake.burn_down(partner, meter, as_of)
        assert Decimal(used) == burn.used
        assert exhausted_at == (str(burn.exhausted_at) if burn.exhausted_at else None)


def test_shares_and_hours_hold_every_event_of_the_month(figures: dict[str, Any], demo_lake: DemoLake) -> None:
    """What is drawn by day and by hour adds up to the same requests: those of the events."""
    lake = open_lake(*demo_lake)
    events = lake.frame(
        "SELECT count(*) AS n FROM events WHERE occurred_at >= TIMESTAMPTZ '2026-10-01 00:00Z' AND occurred_at < TIMESTAMPTZ '2026-11-01 00:00Z'"
    )
    whole = int(events["n"].iloc[0])
    assert whole > 25_000
    for name in ("shares", "hours", "throttled"):
        assert sum(int(row["requests"]) for row in figures[name]) == whole
    assert sum(int(row["throttled"]) for row in figures["hours"]) == sum(
        int(row["throttled"]) for row in figures["throttled"]
    )


def test_every_alert_of_the_month_is_a_point_once(figures: dict[str, Any], demo_lake: DemoLake) -> None:
    """At the time of its newest statement: restatements move it, and are no alerts of their own."""
    rows = table_rows(demo_lake.lake, "alerts", "SELECT * FROM t ORDER BY number")
    newest = {row["withdraws"] or row["restates"] or row["alert_id"]: row for row in rows}
    inside = {
        alert: row
        for alert, row in newest.items()
        if datetime(2026, 10, 1, tzinfo=UTC) <= row["began_at"] < datetime(2026, 11, 1, tzinfo=UTC)
    }
    drawn = {row["alert"]: row for row in figures["alerts"]}
    assert len(figures["alerts"]) == len(drawn) > 0
    assert drawn.keys() == inside.keys()
    for alert, row in drawn.items():
        assert datetime.fromisoformat(row["began_at"]) == inside[alert]["began_at"]
        assert row["kind"] not in {"restated", "withdrawn"}
        assert row["withdrawn"] == (inside[alert]["kind"] == "withdrawn")


def test_plots_are_drawn_without_a_network(executed: nbformat.NotebookNode) -> None:
    """All are pictures in the notebook itself; nothing is fetched when they are looked at."""
    drawn = {c.id: o.data for c in executed.cells if c.cell_type == "code" for o in c.outputs if "image/svg+xml" in o.get("data", {})}  # fmt: skip
    assert drawn.keys() == {"burn", "shares", "busiest", "breaches", "throttled"}
    assert all("<script" not in d["image/svg+xml"] and "text/html" not in d for d in drawn.values())
    assert "northwind: requests" in drawn["burn"]["image/svg+xml"]
    assert "northwind: quota" in drawn["breaches"]["image/svg+xml"]


def test_the_committed_notebook_is_clean() -> None:
    """Outputs would show another run's figures, and partners' usage, in the repository."""
    for cell in read().cells:
        if cell.cell_type == "code":
            assert not cell.outputs, cell.id
            assert cell.execution_count is None, cell.id


@pytest.mark.slow
def test_a_lake_without_usage_has_a_clear_message(tmp_path: Path) -> None:
    """There is nothing to choose from; what fills a lake is named."""
    catalog = write_catalog(tmp_path / "catalog")
    Lake(tmp_path / "lake").create()
    with pytest.raises(CellExecutionError) as raised:
        execute(read(), tmp_path / "lake", catalog)
    assert raised.value.ename == "LookupError"
    assert "holds no usage of the partners" in raised.value.evalue
