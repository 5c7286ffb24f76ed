"""`tollbook alerts`: what is on record, by filters, and the whole history of one alert."""

from typing import Any

import pytest

from tests.tollbook.fixtures import DAY_MS, METERS, T0_MS, Here, requests, write_catalog


@pytest.fixture
def site(here: Here) -> Here:
    """50 and 80 percent in October, a correction that withdraws both, and 50 percent again."""
    log = here.log("a.log", *requests(85))
    here.run(log)
    write_catalog(here.catalog, meters=METERS.replace('exclude_status: ["429", "5xx"]', "routes: [no-such-route]"))
    here.run(log)
    write_catalog(here.catalog)
    here.run(log, here.log("b.log", *requests(1, T0_MS + DAY_MS)))
    return here


def listed(here: Here, *words: str) -> list[dict[str, Any]]:
    done = here.tollbook("alerts", "list", "--lake", here.lake, *words, "--json")
    assert (done.code, done.err) == (0, "")
    return list(done.json)


def test_each_alert_is_listed_once_with_its_newest_statement(site: Here) -> None:
    """On-call asks what holds now, not what was said in between."""
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
