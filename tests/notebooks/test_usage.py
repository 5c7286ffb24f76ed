"""notebooks/usage.ipynb, executed from top to bottom as an analyst does."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import nbformat
import pytest
from nbclient.exceptions import CellExecutionError

from billing.catalog import loading as catalogs
from billing.invoicing import issuing
from billing.periods import month
from billing.usage.warehouse import Span, Warehouse
from lake.lake import Lake
from tests.aggregate.fixtures import now
from tests.notebooks.conftest import DemoLake
from tests.notebooks.executing import execute
from tests.tollbook.fixtures import METERS, PRICES, requests, write_catalog
from tollbook.cli.invoices import commands
from tollbook.local_run import run

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "usage.ipynb"
# Run last, in the notebook's own kernel: its figures, as text.
FIGURES = """
import json
print(json.dumps({
    "usage": usage.to_dict("records"), "lines": lines.to_dict("records"), "as_of": as_of.isoformat(), "used": burn.used,
    "line": line.to_dict(), "windows": windows["quantity"].sum(), "window": window["quantity"], "events": events["quantity"].sum(),
    "exhausted_at": burn.exhausted_at, "daily": daily.to_dict("records"), "types": [str(t) for t in usage.dtypes],
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


def invoices(lake: Path) -> Iterator[dict[str, Any]]:
    """The documents as finance has them on disk."""
    for file in sorted((lake / "documents").glob("*.json")):
        yield json.loads(file.read_text())


def test_usage_by_partner_is_what_the_invoices_say(figures: dict[str, Any], demo_lake: DemoLake) -> None:
    """An analyst's figure and the invoice's are one number, or nobody believes either."""
    counted = {(row["partner_id"], row["meter"]): Decimal(row["quantity"]) for row in figures["usage"]}
    billed = {
        (document["buyer"]["id"], line["meter"]): Decimal(line["quantity"])
        for document in invoices(demo_lake.lake)
        for line in document["lines"]
        if line["meter"]
    }
    assert len(billed) >= 7
    assert {key: counted[key] for key in billed} == billed


def test_days_add_up_to_the_month(figures: dict[str, Any]) -> None:
    """Local days cut the local month without a rest."""
    days: dict[str, Decimal] = {}
    for row in figures["daily"]:
        days[row["partner_id"]] = days.get(row["partner_id"], Decimal(0)) + Decimal(row["quantity"])
    whole = {row["partner_id"]: Decimal(row["quantity"]) for row in figures["usage"] if row["meter"] == "requests"}
    assert days == whole


def test_lines_are_those_of_the_document(figures: dict[str, Any], demo_lake: DemoLake) -> None:
    """What the notebook takes apart is the document that the partner has."""
    document = next(d for d in invoices(demo_lake.lake) if d["number"] == "TW-2026-000003")
    shown = [(x["position"], Decimal(x["quantity"]), Decimal(x["amount"])) for x in figures["lines"]]
    assert shown == [(x["position"], Decimal(x["quantity"]), Decimal(x["amount"])) for x in document["lines"]]


def test_a_line_is_its_windows_and_a_window_its_events(figures: dict[str, Any]) -> None:
    """The walk from the invoice down to the log line loses nothing on the way."""
    assert Decimal(figures["line"]["quantity"]) == Decimal(figures["windows"]) > 0
    assert Decimal(figures["window"]) == Decimal(figures["events"]) > 0


def test_burn_down_rests_on_the_usage_up_to_that_moment(figures: dict[str, Any], demo_lake: DemoLake) -> None:
    """The plot counts what the invoice's SQL counts up to the day, and projects beyond it."""
    start = month("2026-10", "Europe/London").start
    as_of = datetime.fromisoformat(figures["as_of"])
    assert as_of == datetime(2026, 10, 17, tzinfo=ZoneInfo("Europe/London"))
    span = Span("northwind", "requests", start, as_of)
    assert (
        Decimal(figures["used"]) == Warehouse(Lake(demo_lake.lake)).usage(catalogs.load(demo_lake.catalog), [span])[0]
    )
    assert as_of < datetime.fromisoformat(figures["exhausted_at"]) < month("2026-10", "Europe/London").end


def test_frames_hold_no_floats(figures: dict[str, Any]) -> None:
    """A float here is a cent there."""
    assert figures["types"][-1].startswith("decimal128")


def test_charts_are_drawn_without_a_network(executed: nbformat.NotebookNode) -> None:
    """Both plots are pictures in the notebook itself; nothing is fetched when they are looked at."""
    drawn = {c.id: o.data for c in executed.cells if c.cell_type == "code" for o in c.outputs if "image/svg+xml" in o.get("data", {})}  # fmt: skip
    assert drawn.keys() == {"daily", "burn-down"}
    assert all("<script" not in d["image/svg+xml"] and "text/html" not in d for d in drawn.values())
    assert "quota" in drawn["burn-down"]["image/svg+xml"]
    assert "used up on" in drawn["burn-down"]["image/svg+xml"]


def test_no_lake_has_a_clear_message(tmp_path: Path, demo_lake: DemoLake) -> None:
    """The first thing a newcomer meets is a missing lake: the message must name it and what makes one."""
    with pytest.raises(CellExecutionError) as raised:
        execute(read(), tmp_path / "nowhere", demo_lake.catalog)
    assert raised.value.ename == "LakeError"
    assert "nowhere` is not a Tollbook lake" in raised.value.evalue
    assert "tollbook run" in raised.value.evalue


def test_the_committed_notebook_is_clean() -> None:
    """Outputs would show another run's figures, and partners' usage, in the repository."""
    for cell in read().cells:
        if cell.cell_type == "code":
            assert not cell.outputs, cell.id
            assert cell.execution_count is None, cell.id


SMALL = """
partners:
  - id: acme
    name: Acme Inc
    legal_entity: seller
    time_zone: Europe/Berlin
    plans: [{plan: small, valid_from: 2026-01-01}]
    credentials: [{kind: consumer, id: c-acme}]
"""
NO_QUOTA = "plans: [{id: small, rate_card: card}]\n"


def own(folder: Path, *, quota: bool, issued: bool) -> tuple[Path, Path]:
    """Lake and catalog of somebody else: other partners, other meters, other numbers; a month of one day."""
    prices = PRICES if quota else PRICES.partition("plans:")[0] + NO_QUOTA
    catalog = write_catalog(
        folder / "catalog", partners=SMALL, prices=prices, meters=METERS.replace("requests", "calls")
    )
    for file in catalog.glob("prices.yaml"):
        file.write_text(file.read_text().replace("meter: requests", "meter: calls"))
    (folder / "a.log").write_bytes(b"".join(requests(20)))
    book = catalogs.load(catalog)
    lake = folder / "lake"
    run.run(Lake(lake), book, [folder / "a.log"], format_name="kong", source="edge", now=now)
    if issued:
        made = commands.closed(Lake(lake), book, "2026-10", "seller", now=datetime(2026, 11, 5, tzinfo=UTC))
        issuing.issue(Lake(lake), made, now=datetime(2026, 11, 5, tzinfo=UTC))
    return lake, catalog


@pytest.mark.slow
@pytest.mark.parametrize(
    ("quota", "issued"), [(True, False), (False, True)], ids=["not invoiced yet", "without a quota"]
)
def test_it_runs_as_it_is_on_a_lake_of_ones_own(tmp_path: Path, quota: bool, issued: bool) -> None:
    """With the two variables of the page alone: month, partner and invoice of the demonstration are nobody else's."""
    done = execute(read(), *own(tmp_path, quota=quota, issued=issued))
    printed = {
        cell.id: "".join(o.get("text", "") for o in cell.outputs) for cell in done.cells if cell.cell_type == "code"
    }
    number = "S-2026-000001" if issued else "none yet"
    assert printed["choice"] == f"2026-10: calls of acme, as of 2026-10-02; invoice {number}\n"
    drawn = {
        c.id for c in done.cells if c.cell_type == "code" for o in c.outputs if "image/svg+xml" in o.get("data", {})
    }
    assert drawn == ({"daily", "burn-down"} if quota else {"daily"})
    assert ("has no quota of 'calls'" in printed["burn-down"]) == (not quota)
    assert ("has no invoice yet" in printed["lines"]) == (not issued)
    assert ("events, together" in printed["events"]) == issued


@pytest.mark.slow
def test_a_lake_without_usage_has_a_clear_message(tmp_path: Path) -> None:
    """There is nothing to choose from; what fills a lake is named."""
    catalog = write_catalog(tmp_path / "catalog")
    Lake(tmp_path / "lake").create()
    with pytest.raises(CellExecutionError) as raised:
        execute(read(), tmp_path / "lake", catalog)
    assert raised.value.ename == "LookupError"
    assert "holds no usage of the partners" in raised.value.evalue
    assert "tollbook run" in raised.value.evalue
