"""docs/on-call.md: a section for every kind of alert and every rule, with commands that exist."""

import re

import pytest
import yaml

from schemas.alerts import Kind
from tests.deploy.dockerfile import ROOT
from tests.docs.pages import text_of

RULES = yaml.safe_load((ROOT / "deploy" / "alerts.yml").read_text())["groups"][0]["rules"]
PAGE = text_of("docs/on-call.md")


def sections(part: str) -> dict[str, str]:
    """Heading → text of the sections of one part of the page."""
    _, _, text = PAGE.partition(f"\n## {part}\n")
    text = text.partition("\n## ")[0]
    return dict(re.findall(r"^### (\S+)\n(.*?)(?=^### |\Z)", text, re.MULTILINE | re.DOTALL))


KINDS, ALERTS = sections("Alerts of Tollbook"), sections("Alerts of Prometheus")


def test_every_kind_and_every_rule_has_a_section_and_no_other_has() -> None:
    """Who is woken by an alert finds it here, in the order of the files that define it."""
    assert list(KINDS) == [kind.value for kind in Kind]
    assert list(ALERTS) == [rule["alert"] for rule in RULES]


@pytest.mark.parametrize("name", [*KINDS, *ALERTS])
def test_a_section_says_what_it_means_how_to_check_it_and_what_to_do(name: str) -> None:
    """A section without an action is a description, and nobody is woken for one."""
    text = {**KINDS, **ALERTS}[name]
    assert re.findall(r"^- \*\*(\w+):\*\* \S", text, re.MULTILINE) == ["Meaning", "Check", "Do"]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_a_rule_leads_to_its_section(rule: dict[str, dict[str, str]]) -> None:
    """The annotation is what Alertmanager's messages link to."""
    assert rule["annotations"]["runbook"] == f"docs/on-call.md#{str(rule['alert']).lower()}"


def test_the_metrics_of_the_page_exist() -> None:
    """A query by a name that was changed shows nothing, and that looks like health."""
    served = {line.split()[0] for line in (ROOT / "tests" / "public_names" / "metrics.txt").read_text().splitlines()}
    named = {name.removesuffix("_total") for name in re.findall(r"`(tollbook_\w+)`", PAGE)}
    assert named
    assert named <= served
