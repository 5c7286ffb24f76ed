"""The evening of docs/on-call.md: what the page shows is what the commands print, the server answers and sinks get."""

import json
import re
import shlex
from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

import pytest

from tests.aggregate.receivers import Receiver, receiver
from tests.docs.pages import text_of
from tests.ingest.fixtures import kong, line
from tests.tollbook.deciding import Server, decide
from tests.tollbook.fixtures import METERS, SELLER, Here
from tests.tollbook.waiting import eventually

PAGE = text_of("docs/on-call.md").partition("\n## An evening\n")[2].partition("\n## ")[0]
BLOCKS = re.findall(r"<!-- run by tests/tollbook/test_on_call.py -->\n```console\n(.*?)```", PAGE, re.DOTALL)
(SLACK,) = re.findall(r"test_on_call.py: slack -->\n```text\n(.*?)```", PAGE, re.DOTALL)
PARTNER = """
  - id: NAME
    name: NAME Inc
    legal_entity: seller
    time_zone: Etc/UTC
    plans: [{plan: wholesale, valid_from: 2026-01-01}]
    credentials: [{kind: consumer, id: c-NAME}]
"""
CATALOG = f"""{SELLER}{METERS}
rate_cards:
  - id: card
    currency: EUR
    versions:
      - {{valid_from: 2026-01-01, rates: [{{meter: requests, price: {{model: per_unit, unit_price: 0.25}}}}]}}
plans:
  - id: wholesale
    rate_card: card
    throttle: {{rate_per_s: 100, burst: 50}}
    quotas: [{{meter: requests, period: DAY, limit: 1000, enforce: block, thresholds: [80, 100]}}]
partners:{PARTNER.replace("NAME", "acme")}{PARTNER.replace("NAME", "bolt")}"""
SINKS = """
- {name: on-call, type: slack, private: true, secret_env: SLACK_URL}
- {name: bolt, url: "BOLT_URL", private: true, secret_env: BOLT_KEY, partner: bolt}
"""


@pytest.fixture
def slack() -> Iterator[Receiver]:
    with receiver(200) as running:
        yield running


@pytest.fixture
def bolt() -> Iterator[Receiver]:
    with receiver(200) as running:
        yield running


def as_shown(text: str, today: datetime) -> list[str]:
    """The lines of an output, with the day of the page, and without ids, the time of the grant, and trailing blanks."""
    for days, shown in ((0, "01"), (1, "02")):
        day = today + timedelta(days=days)
        text = text.replace(f"{day:%Y-%m-%d}", f"2026-10-{shown}").replace(f"{day:%m-%d}", f"10-{shown}")
    text = re.sub(r"\b[0-9a-f]{16}\b", "ID", text)
    text = re.sub(r"(500  10-01 )\d\d:\d\d", r"\1TIME", text)
    return [shown.rstrip() for shown in text.splitlines()]


def commands(block: str) -> list[tuple[str, str]]:
    """Each line that is typed, with the lines that are printed."""
    return [(typed, printed) for typed, printed in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block, re.MULTILINE)]


def answers(server: Server, typed: str, printed: str) -> bool:
    """Whether the decision server answers what the page shows."""
    status, *headers = printed.splitlines()
    reply = server.ask(typed.partition("8091")[2].rstrip("'"))
    expected = dict(header.split(": ", 1) for header in headers)
    if not status.startswith(f"HTTP/1.1 {reply.status} ") or not expected.keys() <= reply.headers.keys():
        return False
    retry_s = expected.pop("retry-after", None)
    assert retry_s is None or 0 < int(reply.headers["retry-after"]) <= 86_400
    return expected.items() <= reply.headers.items()


def test_the_evening_is_as_the_page_shows_it(
    here: Here, slack: Receiver, bolt: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who is told what, what the gateway is told, and what a grant changes."""
    if datetime.now(UTC).time() > time(23, 55):
        pytest.skip("the day that the quota is about ends while the test runs")
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    begin_ms = int(today.timestamp()) * 1000
    monkeypatch.chdir(here.folder)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("SLACK_URL", slack.url)
    monkeypatch.setenv("BOLT_KEY", "whsec_" + "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz")
    for file in here.catalog.iterdir():
        file.unlink()
    (here.catalog / "catalog.yaml").write_text(CATALOG)
    Path("alerts.yaml").write_text(SINKS.replace("BOLT_URL", bolt.url))
    flood = [
        line(kong(f"f{i}", started_at=begin_ms + 9 * 3_600_000 + i, response__status=429 if i >= 150 else 200)) for i in range(600)
    ]  # fmt: skip
    steady = [line(kong(f"s{i}", started_at=begin_ms + i * 30_000, consumer={"id": "c-bolt"})) for i in range(1020)]
    here.log("evening.log", *flood, *steady)
    before, *after = BLOCKS
    typed_and_shown(here, None, before, today)
    with decide(here.lake, here.catalog) as server:
        for block in after:
            typed_and_shown(here, server, block, today)
    told = [json.loads(slack.received.get_nowait().body)["text"] for _ in SLACK.splitlines()]
    assert told == SLACK.splitlines()
    partners = [json.loads(bolt.received.get_nowait().body) for _ in range(bolt.received.qsize())]
    assert {event["subject"] for event in partners} == {"bolt"}
    assert [event["data"]["kind"] for event in partners[:2]] == ["quota", "quota"]


def typed_and_shown(here: Here, server: Server | None, block: str, today: datetime) -> None:
    for typed, printed in commands(block):
        if typed.startswith("curl"):
            assert server is not None
            running = server
            eventually(lambda typed=typed, printed=printed, running=running: answers(running, typed, printed))
        else:
            words = shlex.split(typed.replace("2026-10-02", f"{today + timedelta(days=1):%Y-%m-%d}"))
            ended = here.tollbook(*words[1:])
            assert ended.code == 0, ended.err
            assert as_shown(ended.out, today) == as_shown(printed, today), typed
