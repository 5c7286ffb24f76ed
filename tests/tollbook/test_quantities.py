"""Open quantities from a log file to the lake."""

import json

import pytest

from tests.ingest.test_quantities import event
from tests.tollbook.fixtures import Here

pytestmark = pytest.mark.integration


def test_a_resend_with_another_quantity_is_a_conflict(here: Here) -> None:
    """And not a duplicate: the first is kept, and the second is shown. Values of the lake are those of the log."""
    (here.catalog / "meters.yaml").write_text(
        (here.catalog / "meters.yaml").read_text()
        + "  - {id: tokens, aggregate: sum, quantity: tokens, unit: token, filter: {types: [prompt]}, value_property: $.tokens, billable: false}\n"
    )
    first = [event(n, subject="c-acme", data={"tokens": 100}) for n in range(3)]
    again = [first[0], {**first[1], "data": {"tokens": 101}}]
    log = here.log("a.log", *(json.dumps(e).encode() + b"\n" for e in [*first, *again]))
    ended = here.tollbook(
        "run", "--catalog", here.catalog, "--lake", here.lake, "--format", "cloudevents", "--source", "edge", log, "--json"
    )  # fmt: skip
    assert (ended.json["counted"], ended.json["duplicates"], ended.json["conflicts"]) == (3, 1, 1)
    assert [row["quantities"] for row in here.table("events")] == ['{"tokens":"100"}'] * 3
    assert [row["event_type"] for row in here.table("events")] == ["prompt"] * 3
