"""Open quantities from a log file to the lake."""

import json
from typing import Any

import pytest

from tests.ingest.test_quantities import event
from tests.tollbook.fixtures import PARTNERS, Ended, Here, write_catalog
from tests.tollbook.test_redrive import became, redrive

pytestmark = pytest.mark.integration


PARTNER_NEW = PARTNERS.replace(
    "{kind: consumer, id: c-acme}", "{kind: consumer, id: c-acme}, {kind: consumer, id: c-new}"
)
METERS = """
meters:
  - {id: requests, aggregate: count, unit: request}
  - {id: tokens, aggregate: sum, quantity: tokens, unit: token, filter: {types: [prompt]}, value_property: $.tokens, group_by: {model: $.model}, billable: false}
"""
CLOUD_EVENTS = {"format": "cloudevents"}


def lines(*events: dict[str, Any]) -> list[bytes]:
    return [json.dumps(each).encode() + b"\n" for each in events]


def run(here: Here, *words: object) -> Ended:
    return here.tollbook(
        "run", "--catalog", here.catalog, "--lake", here.lake, "--format", "cloudevents", "--source", "edge", *words, "--json"
    )  # fmt: skip


def test_what_was_refused_carries_its_quantities_when_it_is_redriven(here: Here) -> None:
    """The first for its customer, who becomes known, and the second for its quantity, which stays wrong."""
    write_catalog(here.catalog, meters=METERS)
    data = {"tokens": 0.25, "model": "large"}
    known = event(1, subject="c-acme", data=data)
    log = here.log(
        "a.log", *lines(known, event(2, subject="c-new", data=data), known | {"id": "3", "data": {"tokens": "1e3"}})
    )
    assert run(here, log).json["refused"] == 2
    write_catalog(here.catalog, meters=METERS, partners=PARTNER_NEW)
    assert became(redrive(here, "--json", **CLOUD_EVENTS)) == {
        ("UNKNOWN_CREDENTIAL", "counted"): 1,
        ("WRONG_TYPE", "WRONG_TYPE"): 1,
    }
    carried = [(row["event_type"], row["quantities"], row["attributes"]) for row in here.table("events")]
    assert carried == [("prompt", '{"tokens":"0.25"}', '{"model":"large"}')] * 2
    assert here.balanced(3)


def test_a_resend_with_another_quantity_is_a_conflict(here: Here) -> None:
    """And not a duplicate: the first is kept, and the second is shown. Values of the lake are those of the log."""
    write_catalog(here.catalog, meters=METERS)
    first = [event(n, subject="c-acme", data={"tokens": 100}) for n in range(3)]
    again = [first[0], {**first[1], "data": {"tokens": 101}}]
    ended = run(here, here.log("a.log", *lines(*first, *again)))
    assert (ended.json["counted"], ended.json["duplicates"], ended.json["conflicts"]) == (3, 1, 1)
    assert [row["quantities"] for row in here.table("events")] == ['{"tokens":"100"}'] * 3
    assert [row["event_type"] for row in here.table("events")] == ["prompt"] * 3


def test_a_trial_shows_what_entries_carry_and_what_would_be_refused(here: Here) -> None:
    write_catalog(here.catalog, meters=METERS)
    good = event(1, subject="c-acme", data={"tokens": "0.250", "model": "large"})
    log = here.log("a.log", *lines(good, good | {"id": "2", "data": {"tokens": -1}}))
    (file,) = run(here, log, "--dry-run").json["files"]
    assert [row["reason"] for row in file["by_reason"]] == ["NEGATIVE"]
    (shown,) = file["read"]
    assert (shown["event_type"], shown["quantities"], shown["attributes"]) == (
        "prompt", '{"tokens":"0.25"}', '{"model":"large"}'
    )  # fmt: skip
    assert not here.lake.exists()
    words = ["--catalog", here.catalog, "--lake", here.lake, "--format", "cloudevents", "--source", "edge", "--dry-run"]
    assert "quantities" in here.tollbook("run", *words, log).out
