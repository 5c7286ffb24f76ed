"""Alert rules of deploy/: they speak of metrics that are there, and lead people to what they should do."""

import re
import shutil
import subprocess

import pytest
import yaml
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from tests.deploy.dockerfile import ROOT
from tollbook import metrics

ALERTS = ROOT / "deploy" / "alerts.yml"
RULES = yaml.safe_load(ALERTS.read_text())["groups"][0]["rules"]
ASKED = {"up", *(name for rule in RULES for name in re.findall(r"\btollbook_\w+", rule["expr"]))}


def on_the_wire() -> set[str]:
    """Names of samples as a scrape gives them; metrics with labels that nobody has used yet are known by their kind."""
    names = set()
    for family in text_string_to_metric_families(generate_latest(metrics.REGISTRY).decode()):
        suffixes = {"counter": ["_total"], "gauge": [""], "histogram": ["_bucket", "_count", "_sum"]}[family.type]
        names |= {family.name + suffix for suffix in suffixes}
    return names


def test_the_rules_speak_of_metrics_that_are_there() -> None:
    """A rule over a name that was changed never fires, and nobody notices until it should have."""
    assert len(ASKED) > 7
    assert ASKED - {"up"} <= on_the_wire()
    labels = {name for rule in RULES for by in re.findall(r"by \(([^)]+)\)", rule["expr"]) for name in by.split(", ")}
    assert labels == {"reason", "topic", "partition", "mark", "credential"}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_a_rule_tells_people_what_it_is_about(rule: dict[str, dict[str, str]]) -> None:
    """At three in the morning the summary is all that is read; labels in it must be ones that the expression leaves over."""
    summary = rule["annotations"]["summary"]
    assert len(summary) < 140
    assert rule["labels"]["severity"] in {"page", "ticket"}
    for label in re.findall(r"\$labels\.(\w+)", summary):
        assert label == "instance" or re.search(rf"by \([^)]*\b{label}\b", str(rule["expr"])), label


def test_prometheus_itself_takes_the_files() -> None:
    """Its own checker reads expressions as the server does."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("no promtool here; it comes with Debian's package prometheus")
    for words in (["check", "rules", "alerts.yml"], ["check", "config", "prometheus.yml"]):
        done = subprocess.run([promtool, *words], cwd=ROOT / "deploy", capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
