"""`tollbook neighbours`: shares that add up, and the jumps that alerts are made of."""

import json

import pytest

from tests.ingest.fixtures import kong, line
from tests.tollbook.fixtures import MINUTE_MS, T0_MS, Here, write_catalog
from tests.tollbook.test_neighbour_alerts import PARTNERS, PRICES

OURS = """
  - {id: us, name: Us, time_zone: Etc/UTC, status: internal, credentials: [{kind: consumer, id: c-us}]}
"""
WINDOW_MS = 5 * MINUTE_MS
HOUR = 12  # windows


def flood(here: Here) -> None:
    """An hour of two partners and our own requests, then a flood of one of them, in which the others wait."""
    write_catalog(here.catalog, prices=PRICES, partners=PARTNERS + OURS)
    lines = []
    for window in range(HOUR + 3):
        is_flood = window == HOUR
        for partner, count in (("a", 300 if is_flood else 10), ("b", 60), ("us", 20)):
            lines += [
                line(
                    kong(
                        f"{window}-{partner}-{i}", started_at=T0_MS + window * WINDOW_MS + i * 900, consumer={"id": f"c-{partner}"},
                        latencies__request=180 if is_flood and partner != "a" else 40, response__status=503 if is_flood and i < 8 else 200,
                    )
                )
                for i in range(count)
            ]  # fmt: skip
    here.run(here.log("a.log", *lines))


@pytest.fixture
def flooded(here: Here) -> Here:
    """A lake with these requests."""
    flood(here)
    return here


def shown(here: Here, *words: str) -> str:
    done = here.tollbook("neighbours", "--catalog", here.catalog, "--lake", here.lake, *words)
    assert (done.code, done.err) == (0, "")
    return done.out


def test_shares_are_of_all_requests_bytes_and_time(flooded: Here) -> None:
    """By window and in sum, our own requests among them."""
    told = json.loads(shown(flooded, "--from", "2026-10-01", "--to", "2026-10-01T01:15", "--json"))
    sums = {p["partner_id"]: (p["internal"], p["requests"], p["requests_percent"]) for p in told["partners"]}
    assert sums == {
        "b": (False, 900, "54.88"), "a": (False, 440, "26.83"), "us": (True, 300, "18.29"),
    }  # fmt: skip
    for name in ("requests", "bytes", "time_us"):
        assert sum(p[name] for p in told["partners"]) == told["everybody"][name]
        for partner in told["partners"]:
            assert sum(w[name] for w in partner["windows"]) == partner[name]
    assert told["everybody"] == {"requests": 1640, "bytes": 1640 * 1100, "time_us": 1560 * 40_000 + 80 * 180_000}
    [flood] = [w for p in told["partners"] if p["partner_id"] == "a" for w in p["windows"] if w["requests"] == 300]
    assert (flood["start"], flood["requests_percent"], flood["time_percent"]) == (
        "2026-10-01T01:00:00+00:00",
        "78.95",
        "45.45",
    )


def test_a_jump_shows_what_the_others_saw_before_and_during(flooded: Here) -> None:
    """It is the window of the alert, with the same figures."""
    told = json.loads(shown(flooded, "--json"))
    [jump] = told["jumps"]
    [alert] = [row for row in flooded.table("alerts") if row["kind"] == "neighbour"]
    assert (jump.pop("partner_id"), jump.pop("start"), jump.pop("noisy")) == ("a", "2026-10-01T01:00:00+00:00", True)
    assert jump == json.loads(alert["evidence"])
    assert (jump["causes"], jump["effects"]) == ("requests, bytes", "latency, errors")
    assert [jump[f"others_{name}"] for name in ("p95_ms_before", "p95_ms", "errors_percent_before", "errors_percent")] == [
        "40", "180", "0", "20",
    ]  # fmt: skip
    assert (jump["requests_percent_before"], jump["requests_percent"]) == ("11.11", "78.95")


def test_the_screen_shows_shares_as_bars_and_jumps(flooded: Here) -> None:
    """On-call looks here after the alert."""
    text = shown(flooded, "--from", "2026-10-01", "--to", "2026-10-01T01:15")
    rows = {words[0]: words for words in (each.split() for each in text.splitlines()) if words}
    assert rows["a"][:9] == ["a", "440", "26.83", "%", "26.83", "%", "22.92", "%", "78.95"]
    assert rows["a"][-1] == "▁▁▁▁▁▁▁▁▁▁▁▁▇▁▁"
    assert rows["us"][:3] == ["us", "(own)", "300"]
    assert "11.11 % → 78.95 %" in text
    assert "40 ms → 180 ms" in text
    assert "0 % → 20 %" in text
    assert text.rstrip().endswith("noisy")


def test_fewer_partners_are_shown_on_demand_and_our_own_always(flooded: Here) -> None:
    told = json.loads(shown(flooded, "--top", "1", "--window", "15m", "--json"))
    assert [p["partner_id"] for p in told["partners"]] == ["b", "us"]
    assert told["window_s"] == 900
    assert [w["requests"] for w in told["partners"][0]["windows"]] == [180, 180, 180, 180, 180]


def test_an_empty_lake_and_a_time_without_usage_say_so(here: Here, flooded: Here) -> None:
    """Nothing to divide by is no error."""
    text = shown(flooded, "--from", "2026-09-01", "--to", "2026-09-02")
    assert "No partner's load jumped." in text
    done = flooded.tollbook(
        "neighbours", "--catalog", here.catalog, "--lake", here.lake, "--from", "2026-10-02", "--to", "2026-10-01"
    )
    assert done.code == 2
    assert "is not before --to" in done.err
