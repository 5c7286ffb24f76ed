"""Alert rules of deploy/: they speak of metrics that are there, and lead people to what they should do."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from tests.deploy import prometheus, rule_cases
from tests.deploy.dockerfile import ROOT
from tollbook.workers import metrics

DEPLOY = ROOT / "deploy"
ALERTS = DEPLOY / "alerts.yml"
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
    assert labels == {
        "reason", "topic", "partition", "mark", "credential", "instance", "partner", "meter", "period", "webhook",
    }  # fmt: skip


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_a_rule_tells_people_what_it_is_about(rule: dict[str, dict[str, str]]) -> None:
    """At three in the morning the summary is all that is read; labels in it must be ones that the expression leaves
    over.
    """
    summary = rule["annotations"]["summary"]
    assert len(summary) < 140
    assert rule["labels"]["severity"] in {"page", "ticket"}
    for label in re.findall(r"\$labels\.(\w+)", summary):
        assert label == "instance" or re.search(rf"by \([^)]*\b{label}\b", str(rule["expr"])), label


def test_every_rule_has_a_case() -> None:
    """A rule that was never seen to fire is a guess, and one that was never seen silent may fire always."""
    assert [case.alert for case in rule_cases.CASES] == [rule["alert"] for rule in RULES]
    assert all(case.fires and case.silent for case in rule_cases.CASES)


@pytest.mark.integration
@pytest.mark.parametrize("case", rule_cases.CASES, ids=lambda case: case.alert)
@pytest.mark.sampled(keep=6)
def test_a_rule_fires_and_stays_silent(case: rule_cases.Case, tmp_path: Path) -> None:
    """By Prometheus' own evaluation of the series of each case, with the labels and the summary that people read."""
    rules = {rule["alert"]: rule for rule in RULES}
    file = tmp_path / "suite.yml"
    file.write_text(yaml.safe_dump(rule_cases.suite(rules, str(ALERTS), [case])))
    done = promtool("test", "rules", str(file))
    if done is None:
        pytest.skip("needs promtool, of Debian's package `prometheus`")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.integration
def test_alertmanager_is_told_and_tells_the_right_people() -> None:
    """Prometheus sends to the service of the Compose file. A page and a ticket go to receivers of their own."""
    (managers,) = prometheus.config(DEPLOY / "prometheus.yml").alerting.alertmanagers
    assert [target for group in managers.static_configs for target in group.targets] == ["alertmanager:9093"]
    file = DEPLOY / "alertmanager.yml"
    parsed = prometheus.alertmanager(file)
    named = {receiver.name for receiver in parsed.receivers}
    assert {parsed.route.receiver, *(route.receiver for route in parsed.route.routes)} == named
    known = {rule["alert"] for rule in RULES}
    assert set(re.findall(r"Tollbook\w+", file.read_text())) <= known
    tool = shutil.which("amtool")
    if tool is None:
        pytest.skip("needs amtool, of Debian's package `prometheus-alertmanager`")
    for severity, receiver in (("page", "pages"), ("critical", "pages"), ("ticket", "tickets"), ("warning", "tickets")):
        words = [tool, "config", "routes", "test", f"--config.file={file}", f"severity={severity}"]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout.strip()) == (0, receiver), done.stdout + done.stderr


@pytest.mark.integration
def test_the_files_are_valid() -> None:
    """Every key is one that Prometheus knows, every expression has its types, every duration is one.

    Prometheus' own checker reads expressions as the server does: it is asked, too, where Debian's package `prometheus`
    is.
    """
    config = prometheus.config(DEPLOY / "prometheus.yml")
    assert [DEPLOY / name for name in config.rule_files] == [ALERTS]
    assert len(prometheus.rules(ALERTS)) == len(RULES)
    for words in (["check", "rules", str(ALERTS)], ["check", "config", str(DEPLOY / "prometheus.yml")]):
        done = promtool(*words)
        assert done is None or done.returncode == 0, done.stdout + done.stderr


@pytest.mark.integration  # promtool is a process
@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        pytest.param("expr: up{job", "expr: ups({job", id="an expression that cannot be read"),
        pytest.param("sum(rate(tollbook_http_requests_total[5m]))", "sum(rate(tollbook_http_requests_total))", id="a rate of an instant"),
        pytest.param("increase(", "increases(", id="a function that does not exist"),
        pytest.param('status=~"5.."', 'status=~"5("', id="a pattern that is none"),
        pytest.param("for: 3m", "for: 3 minutes", id="not a duration"),
        pytest.param("for: 3m", "during: 3m", id="a key that Prometheus does not know"),
        pytest.param("labels: {severity: page}", "labels: {sever-ity: page}", id="a label with a dash"),
        pytest.param("{{ $value }}", "{{ $valu }}", id="a variable that a template does not have"),
        pytest.param("{{ $value }}", "{{ $value }", id="a template that is not closed"),
        pytest.param("  - name: tollbook", "  - name: tollbook\n    name: other", id="a key that stands twice"),
    ],
)  # fmt: skip
def test_a_fault_in_the_rules_is_found(tmp_path: Path, right: str, wrong: str) -> None:
    """By us, and by promtool where it is installed."""
    text = ALERTS.read_text()
    assert right in text
    file = tmp_path / "alerts.yml"
    file.write_text(text.replace(right, wrong))
    with pytest.raises(ValueError, match=r"."):
        prometheus.rules(file)
    done = promtool("check", "rules", str(file))
    assert done is None or done.returncode != 0


@pytest.mark.integration  # promtool is a process
@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        pytest.param("scrape_interval: 15s", "scrape_interval: 15", id="not a duration"),
        pytest.param("scrape_interval", "scrape_intervals", id="a key that Prometheus does not know"),
        pytest.param("serve:9464", "http://serve:9464", id="a target that is an address with a scheme"),
        pytest.param("alerts.yml]", "alarms.yml]", id="a file of rules that is not there"),
    ],
)
def test_a_fault_in_the_configuration_is_found(tmp_path: Path, right: str, wrong: str) -> None:
    """The same of prometheus.yml."""
    text = (DEPLOY / "prometheus.yml").read_text()
    assert right in text
    file = tmp_path / "prometheus.yml"
    file.write_text(text.replace(right, wrong))
    shutil.copy(ALERTS, tmp_path)
    with pytest.raises(ValueError, match=r"."):
        prometheus.config(file)
    done = promtool("check", "config", str(file))
    assert done is None or done.returncode != 0


def promtool(*words: str) -> "subprocess.CompletedProcess[str] | None":
    """What it says; None where it is not installed."""
    tool = shutil.which("promtool")
    return tool and subprocess.run([tool, *words], capture_output=True, text=True, check=False)
