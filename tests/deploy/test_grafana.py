"""Grafana's dashboards: written by the code, over metrics that exist, provisioned by the Compose file."""

import json
import re
from itertools import combinations
from typing import Any

import promql_parser
import pytest
import yaml

from tests.deploy import compose
from tests.deploy.dockerfile import ROOT
from tests.deploy.test_prometheus import on_the_wire

GRAFANA = ROOT / "deploy" / "grafana"
FILES = sorted((GRAFANA / "dashboards").glob("*.json"))
DASHBOARDS = {file.stem: json.loads(file.read_text()) for file in FILES}
PANELS = [
    pytest.param(panel, id=f"{name}: {panel['title']}")
    for name, dashboard in DASHBOARDS.items()
    for panel in dashboard["panels"]
    if panel["type"] != "row"
]


def test_the_files_are_what_the_code_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that was changed by hand would be lost with the next change of the code."""
    monkeypatch.syspath_prepend(ROOT / ".dashboards")
    pytest.importorskip("grafana_foundation_sdk", reason="needs the SDK: make dashboards")
    from tests.deploy import grafana

    assert sorted(grafana.ALL) == sorted(DASHBOARDS)
    for file in FILES:
        assert file.read_text() == grafana.rendered(file.stem), f"{file.name}: make dashboards"


@pytest.mark.parametrize("panel", PANELS)
def test_a_panel_asks_for_metrics_that_exist(panel: dict[str, Any]) -> None:
    """A panel over a name that was changed is empty, which looks like health."""
    for target in panel["targets"]:
        expression = target["expr"].replace("$partner", "acme")
        promql_parser.parse(expression)
        named = set(re.findall(r"\b(?:tollbook_\w+|up)\b", expression))
        assert named
        assert named <= {*on_the_wire(), "up"}
        shown = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
        summed = {name for names in re.findall(r"by \(([^)]+)\)", expression) for name in names.split(", ")}
        assert shown <= summed
        assert target["datasource"] == panel["datasource"] == {"type": "prometheus", "uid": "prometheus"}
    assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])


@pytest.mark.parametrize("name", DASHBOARDS)
def test_panels_have_places_and_ids_of_their_own(name: str) -> None:
    """Grafana moves panels that overlap, and takes two with one id for one."""
    panels = DASHBOARDS[name]["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for one, other in combinations([panel["gridPos"] for panel in panels], 2):
        apart = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        assert apart or one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in panels)


def test_compose_provisions_them() -> None:
    """The folder that Grafana reads is the one that is mounted, and the datasource is the Prometheus beside it."""
    definition = compose.read()["services"]["grafana"]
    mounts = {target: source for source, target, *_ in (volume.split(":") for volume in definition["volumes"])}
    (provider,) = yaml.safe_load((GRAFANA / "provisioning" / "dashboards" / "tollbook.yml").read_text())["providers"]
    assert ROOT / mounts[provider["options"]["path"]] == GRAFANA / "dashboards"
    assert ROOT / mounts["/etc/grafana/provisioning"] == GRAFANA / "provisioning"
    (source,) = yaml.safe_load((GRAFANA / "provisioning" / "datasources" / "prometheus.yml").read_text())["datasources"]
    assert source["uid"] == "prometheus"
    assert source["url"] == "http://prometheus:9090"
    home = definition["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home.removeprefix(provider["options"]["path"] + "/").removesuffix(".json") in DASHBOARDS
    (pinned,) = re.findall(r"!([\d.]+) ", (ROOT / "tests" / "deploy" / "requirements.lock").read_text())
    assert definition["image"] == f"grafana/grafana:{pinned}"
