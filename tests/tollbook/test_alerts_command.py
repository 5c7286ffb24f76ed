"""`tollbook alerts`: what is on record, by filters, and the whole history of one alert."""

import base64
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from aggregate.alerts import ledger
from lake.lake import Lake
from tests.aggregate.receivers import receiver
from tests.tollbook.fixtures import DAY_MS, METERS, T0_MS, Here, requests, write_catalog
from tollbook.__main__ import main

COUNTS_NOTHING = METERS.replace('exclude_status: ["429", "5xx"]', "routes: [no-such-route]")
SCHEMA = json.loads((Path(__file__).parents[2] / "schemas" / "alert.schema.json").read_text())


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """50 and 80 percent in October, a correction that withdraws both, and 50 percent again: a folder to be read."""
    folder = tmp_path_factory.mktemp("recorded")
    catalog = write_catalog(folder / "catalog")
    (folder / "a.log").write_bytes(b"".join(requests(85)))
    (folder / "b.log").write_bytes(b"".join(requests(1, T0_MS + DAY_MS)))
    words = ["run", "--catalog", str(catalog), "--lake", str(folder / "lake"), "--format", "kong", "--source", "edge"]
    for meters, logs in ((METERS, "a"), (COUNTS_NOTHING, "a"), (METERS, "ab")):
        write_catalog(catalog, meters=meters)
        with pytest.raises(SystemExit) as ended:
            main([*words, *(str(folder / f"{name}.log") for name in logs)])
        assert ended.value.code == 0
    return folder


@pytest.fixture
def site(recorded: Path, capsys: pytest.CaptureFixture[str]) -> Here:
    """The command in the folder that all tests share."""
    return Here(recorded, capsys)


def listed(here: Here, *words: str) -> list[dict[str, Any]]:
    done = here.tollbook("alerts", "list", "--lake", here.lake, *words, "--json")
    assert (done.code, done.err) == (0, "")
    return list(done.json)


def test_each_alert_is_listed_once_with_its_newest_statement(site: Here) -> None:
    """On-call asks what holds now, not what was stated in between."""
    rows = listed(site)
    assert [(r["key"]["threshold_percent"], r["state"], r["number"]) for r in rows] == [
        ("50", "restated", 3),
        ("80", "restated", 3),
    ]
    shown = site.tollbook("alerts", "list", "--lake", site.lake).out
    assert rows[0]["alert_id"][:8] in shown


@pytest.mark.parametrize(
    ("words", "count"),
    [
        (["--kind", "quota"], 2),
        (["--kind", "throttle"], 0),
        (["--partner", "acme"], 2),
        (["--partner", "bolt"], 0),
        (["--state", "restated"], 2),
        (["--state", "withdrawn"], 0),
        (["--since", "2026-10-01T01:19:00"], 1),
        (["--since", "2026-10-01T01:20:00"], 0),
    ],
)
def test_filters(site: Here, words: list[str], count: int) -> None:
    """Each filter from both sides; the 80th request was at 01:19."""
    assert len(listed(site, *words)) == count


def test_show_has_every_statement_and_says_what_a_wrong_id_is(site: Here) -> None:
    """The earlier statements are kept: what was told when can be read back."""
    alert_id = listed(site)[0]["alert_id"]
    rows = site.tollbook("alerts", "show", alert_id[:6], "--lake", site.lake, "--json").json
    assert [(r["number"], r["state"], r["evidence"]["used"]) for r in rows] == [
        (1, "fired", "85"),
        (2, "withdrawn", "0"),
        (3, "restated", "86"),
    ]
    assert {r["alert_id"] for r in rows} == {alert_id}
    assert "3. restated" in site.tollbook("alerts", "show", alert_id, "--lake", site.lake).out
    for wrong, why in (("abc", "too short"), ("zzzz", "no alert has an id")):
        done = site.tollbook("alerts", "show", wrong, "--lake", site.lake)
        assert done.code == 2
        assert why in done.err


def sinks_file(here: Here, *urls: tuple[str, str]) -> Path:
    """A file of webhooks on this machine; the key is in the environment."""
    file = here.folder / "alerts.yaml"
    file.write_text(
        "".join(f"- {{name: {n}, url: '{u}', secret_env: HOOK_KEY, private: true, kinds: [quota]}}\n" for n, u in urls)
    )
    return file


@pytest.mark.integration
def test_a_test_alert_is_marked_and_reaches_the_sinks_whatever_their_routes(
    here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On-call tries an address before it is needed; nobody may take it for an alarm, and its end follows."""
    monkeypatch.setenv("HOOK_KEY", base64.b64encode(bytes(24)).decode())
    with receiver(200) as good, receiver(500) as bad:
        file = sinks_file(here, ("good", good.url), ("bad", bad.url))
        done = here.tollbook("alerts", "test", "--alerts", file, "--json")
        assert done.code == 1
        assert [(r["sink"], r["delivered"], r["failed"]) for r in done.json] == [("good", 2, 0), ("bad", 0, 2)]
        events = [json.loads(good.next().body) for _ in range(2)]
        assert here.tollbook("alerts", "test", "--alerts", file, "--sink", "good").code == 0
    assert [(e["type"], e["data"]["state"]) for e in events] == [("tollbook.lag.test", "fired"), ("tollbook.lag.test", "withdrawn")]  # fmt: skip
    for event in events:
        assert event["subject"].startswith("TEST")
        assert event["data"]["evidence"]["test"] == "true"
        jsonschema.validate(event, SCHEMA)
    wrong = here.tollbook("alerts", "test", "--alerts", file, "--sink", "none")
    assert (wrong.code, "it has good, bad" in wrong.err) == (2, True)


@pytest.mark.integration
def test_a_replay_sends_what_is_on_record_with_the_ids_of_the_first_time(
    site: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A receiver that lost its data gets it again, and one that did not drops what it knows."""
    monkeypatch.setenv("HOOK_KEY", base64.b64encode(bytes(24)).decode())
    recorded = ledger.history(Lake(site.lake))
    with receiver(200) as hook:
        words = [
            "alerts",
            "replay",
            "--alerts",
            sinks_file(site, ("hook", hook.url)),
            "--sink",
            "hook",
            "--lake",
            site.lake,
        ]
        assert site.tollbook(*words, "--since", "2026-10-01", "--json").json[0]["delivered"] == len(recorded) == 6
        came = [json.loads(hook.next().body)["id"] for _ in recorded]
        assert site.tollbook(*words, "--since", "2026-10-02", "--json").json[0]["delivered"] == 0
    assert came == [s.statement_id for s in recorded]
