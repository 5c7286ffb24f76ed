"""The page on alerts: its file of sinks works as it stands, and each example is what the sink is sent."""

import base64
import json
import re
from datetime import UTC, datetime
from pathlib import Path

from aggregate.sinks.alertmanager import alert
from aggregate.sinks.chat import pagerduty, slack
from aggregate.sinks.file import sinks
from aggregate.sinks.mail import message
from aggregate.sinks.notices import _SEVERITIES, PARTNER_EVIDENCE, Notice, Severity, notice
from schemas.alerts import Kind
from tests.docs.pages import ROOT, block

PAGE = "docs/alerts.md"
NOW = datetime(2026, 10, 3, 1, 0, 30, tzinfo=UTC)


def first() -> Notice:
    """The first example of a statement."""
    found = re.search(r"```json\n(.*?)```", (ROOT / PAGE).read_text(), re.DOTALL)
    assert found is not None
    return notice(found[1].encode())


def test_the_file_that_is_shown_is_one_that_works(tmp_path: Path) -> None:
    """It is copied as it stands; a field that the program does not know would be met at night."""
    (tmp_path / "slack").write_text("https://hooks.slack.com/services/T/B/x\n")
    (tmp_path / "smtp").write_text("password\n")
    file = tmp_path / "alerts.yaml"
    file.write_text(block(PAGE, "sinks").replace("/run/secrets", str(tmp_path)))
    key = "whsec_" + base64.b64encode(bytes(24)).decode()
    read = sinks(file, {"PAGERDUTY_KEY": "k", "NORTHWIND_WEBHOOK_KEY": key})
    assert [sink.name for sink in read] == ["on-call", "security", "pager", "sales", "northwind"]
    assert read[0].route.min_severity is Severity.WARNING
    assert read[1].route.kinds == {Kind.NETWORK, Kind.CREDENTIAL}
    assert read[3].route.partners == {"northwind", "acme"}
    assert read[4].route.partner == "northwind"


def test_each_example_is_what_is_sent() -> None:
    """Whoever writes a template or a rule begins with the examples."""
    assert json.loads(block(PAGE, "alertmanager")) == [alert(first(), NOW, 300)]
    assert json.loads(block(PAGE, "slack")) == slack(first())
    assert json.loads(block(PAGE, "pagerduty")) == {"routing_key": "KEY", **pagerduty(first())}
    mail = message(first(), NOW, "tollbook@example.com", ("on-call@example.com",))
    head, _, text = block(PAGE, "email").partition("\n\n")
    assert head.splitlines() == [f"{name}: {mail[name]}" for name in re.findall(r"^([\w-]+):", head, re.MULTILINE)]
    body = mail.get_body()
    assert body is not None
    assert body.get_content() == text


def test_the_page_says_what_each_kind_is_worth_and_what_partners_get() -> None:
    """A new kind that has no severity here would be routed to nobody knows whom."""
    page = (ROOT / PAGE).read_text()
    assert {*_SEVERITIES, Kind.QUOTA, Kind.BUDGET} == set(Kind)
    for kind, severity in _SEVERITIES.items():
        (row,) = re.findall(rf"^\| {severity.name.lower()} \|.*$", page, re.MULTILINE)
        assert f"`{kind}`" in row
    names = " and ".join(", ".join(f"`{kind}`" for kind in PARTNER_EVIDENCE).rsplit(", ", 1))
    assert f"only {names} alerts" in page.replace("\n", " ")
