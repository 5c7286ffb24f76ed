"""Grants, as on-call gives them: the command, the alerts that follow, the usage table, the close and the invoice."""

import json
from typing import Any

import pytest

from tests.tollbook.fixtures import AFTER_OCTOBER, DAY_MS, PRICES, T0_MS, Ended, Here, requests, write_catalog

DAYS = [f"2026-10-{day:02}T00:00:00Z" for day in range(1, 32)]


def granted(here: Here, *words: object, now: str = DAYS[9]) -> Ended:
    return here.tollbook("quota", "grant", *words, "--lake", here.lake, "--catalog", here.catalog, "--now", now, "--json")  # fmt: skip


def given(here: Here, amount: str, until: str, *words: object, by: str = "ada", now: str = DAYS[9]) -> dict[str, Any]:
    done = granted(here, "acme", "requests", amount, "--until", until, "--reason", "launch", "--by", by, *words, now=now)  # fmt: skip
    assert (done.code, done.err) == (0, "")
    return dict(done.json)


def told(here: Here, now: str, *lines: bytes) -> list[tuple[str, str, str]]:
    """Run, and what was stated about thresholds: state, threshold, limit of the alert."""
    log = here.log(f"{len(list(here.folder.glob('*.log')))}.log", *lines)
    done = here.tollbook(*here.run_words(log), "--now", now, "--json")
    assert (done.code, done.err) == (0, "")
    alerts = [a for a in done.json["alerts"] if a["threshold_percent"] is not None]
    return [(a["kind"], a["threshold_percent"], a["key"]["limit"]) for a in alerts]


def used(here: Here, now: str) -> tuple[str, str]:
    done = here.tollbook("usage", "--catalog", here.catalog, "--lake", here.lake, "--period", "2026-10", "--now", now, "--json")  # fmt: skip
    [quota] = done.json["sums"][0]["quotas"]
    return quota["limit"], quota["share_percent"]


def test_a_grant_withdraws_alerts_and_expires_alone(here: Here) -> None:
    """95 of 100 are 95 percent; of 200 they are less than half; when the grant ends they are 95 percent again."""
    assert told(here, DAYS[9], *requests(95)) == [
        ("quota", "50", "100"),
        ("quota", "80", "100"),
        ("quota", "90", "100"),
    ]
    given(here, "100", DAYS[19])
    assert told(here, DAYS[10]) == [("withdrawn", "50", "100"), ("withdrawn", "80", "100"), ("withdrawn", "90", "100")]
    assert used(here, DAYS[10]) == ("200", "47.5")
    assert told(here, DAYS[11], *requests(5, T0_MS + DAY_MS)) == [("quota", "50", "200")]
    assert told(here, DAYS[18]) == []
    assert told(here, DAYS[19]) == [(("quota"), t, "100") for t in ("50", "80", "90", "100")]
    assert used(here, DAYS[19]) == ("100", "100.0")
    assert told(here, DAYS[20]) == []


def test_a_revoked_grant_ends_at_once(here: Here) -> None:
    told(here, DAYS[9], *requests(60))
    found = given(here, "100", DAYS[19])
    assert told(here, DAYS[10]) == [("withdrawn", "50", "100")]
    done = granted(here, "--revoke", found["grant_id"], "--reason", "mistake", "--by", "bob", now=DAYS[11])
    assert (done.json["revoked_by"], done.json["revoked_reason"], done.json["new"]) == ("bob", "mistake", True)
    assert not granted(here, "--revoke", found["grant_id"], "--reason", "again", now=DAYS[12]).json["new"]
    assert told(here, DAYS[12]) == [("quota", "50", "100")]


def test_the_same_command_grants_once_and_again_after_it_was_revoked(here: Here) -> None:
    told(here, DAYS[9], *requests(1))
    first = given(here, "100", DAYS[19])
    again = given(here, "100.0", DAYS[19], by="bob", now=DAYS[11])
    assert (first["new"], again["new"]) == (True, False)
    assert {**again, "new": True} == first
    assert used(here, DAYS[12])[0] == "200"
    granted(here, "--revoke", first["grant_id"], "--reason", "mistake", now=DAYS[12])
    anew = given(here, "100", DAYS[19], now=DAYS[13])
    assert anew["new"]
    assert anew["grant_id"] != first["grant_id"]
    assert given(here, "50", DAYS[19], now=DAYS[13])["new"], "another amount is another grant"
    assert used(here, DAYS[14])[0] == "250"


def test_grants_are_listed_with_who_and_why(here: Here) -> None:
    told(here, DAYS[9], *requests(1))
    assert here.tollbook("quota", "grants", "--lake", here.lake).out == "No grants.\n"
    given(here, "100", "2026-10-20")
    given(here, "1.5", "2026-11-01", "--from", "2026-10-25")
    done = here.tollbook("quota", "grants", "--lake", here.lake, "--now", DAYS[14], "--json")
    facts = [(g["amount"], g["from"], g["until"], g["by"], g["reason"], g["active"]) for g in done.json["grants"]]
    assert facts == [
        ("100", "2026-10-10T00:00:00+00:00", "2026-10-20T00:00:00+00:00", "ada", "launch", True),
        ("1.5", "2026-10-25T00:00:00+00:00", "2026-11-01T00:00:00+00:00", "ada", "launch", False),
    ]
    screen = here.tollbook("quota", "grants", "--lake", here.lake, "--now", DAYS[25]).out
    assert [word in screen for word in ("ended", "active", "ada", "launch", "acme")] == [True] * 5


def test_the_close_pins_grants_and_the_invoice_shows_them(here: Here) -> None:
    """A grant that holds at the end of the month raises its limit; one that ended before is listed and does not."""
    told(here, DAYS[9], *requests(120))
    given(here, "50", "2026-11-03")
    given(here, "7", DAYS[19])
    closed = here.close("--json")
    assert closed.code == 0, closed.err
    assert closed.json["versions"]["grants"] == 2
    [row] = here.table("closes")
    held = json.loads(row["document"])["partners"]["acme"]["quotas"][0]["grants"]
    assert [(g["amount"], g["holds_at_end"], g["reason"], g["recorded_by"]) for g in held] == [
        ("50", True, "launch", "ada"),
        ("7", False, "launch", "ada"),
    ]
    given(here, "1000", "2026-11-04", now=AFTER_OCTOBER.replace("11-05", "11-02"))  # after the close
    words = ("--lake", here.lake, "--period", "2026-10", "--now", AFTER_OCTOBER)
    assert here.tollbook("invoice", "issue", *words).code == 0
    shown = here.tollbook("invoice", "show", "S-2026-000001", "--lake", here.lake, "--json").json
    [quota] = shown["quotas"]
    assert (quota["used"], quota["limit"], quota["granted"], quota["over"]) == ("120", "100", "50", False)
    assert [g["amount"] for g in quota["grants"]] == ["50", "7"]
    assert here.tollbook("invoice", "verify", "--lake", here.lake).code == 0


def test_without_grants_a_close_is_what_it_was(here: Here) -> None:
    """Closes and documents of lakes without grants are those of earlier versions, byte for byte."""
    told(here, DAYS[9], *requests(120))
    assert "grants" not in here.close("--json").json["versions"]
    [row] = here.table("closes")
    assert "grant" not in row["document"]


@pytest.mark.slow
def test_a_month_that_is_over_keeps_the_limit_of_its_last_instant(here: Here) -> None:
    """An old log that is read in December is judged by what held at the end of October."""
    told(here, DAYS[9], *requests(1))
    given(here, "100", "2026-11-10")
    assert told(here, "2026-12-24T00:00:00Z", *requests(98, T0_MS + DAY_MS)) == []
    assert told(here, "2026-12-25T00:00:00Z", *requests(2, T0_MS + 2 * DAY_MS)) == [("quota", "50", "200")]


def test_what_is_no_grant_is_refused(here: Here) -> None:
    told(here, DAYS[9], *requests(1))
    two = PRICES + "      - {meter: requests, period: DAY, limit: 10}\n"
    cases = [
        (("acme", "requests", "0", "--until", DAYS[19]), "is not a number above 0"),
        (("acme", "requests", "nan", "--until", DAYS[19]), "is not a number above 0"),
        (("acme", "requests", "1", "--until", DAYS[8]), "is not later than now"),
        (("acme", "requests", "1", "--until", DAYS[19], "--from", DAYS[20]), "is not later than --from"),
        (("acme", "requests", "1", "--until", "soon"), "is neither a date nor a time"),
        (("acme", "bytes", "1", "--until", DAYS[19]), "meters with a quota: requests"),
        (("acme", "requests", "1", "--until", DAYS[19], "--period", "DAY"), "name one with --period"),
        (("ghost", "requests", "1", "--until", DAYS[19]), "the catalog has: acme"),
        (("acme", "requests", "1"), "needs a partner"),
        (("--revoke", "f00"), "no grant 'f00'"),
        (("acme", "--revoke", "f00"), "nothing else"),
    ]
    for words, message in cases:
        done = granted(here, *words, "--reason", "launch")
        assert (done.code, message in done.err) == (2, True), (words, done.err)
    write_catalog(here.catalog, prices=two)
    done = granted(here, "acme", "requests", "1", "--until", DAYS[19], "--reason", "launch")
    assert (done.code, "DAY, MONTH; name one with --period" in done.err) == (2, True)
    assert given(here, "1", DAYS[19], "--period", "DAY")["quota_period"] == "DAY"
