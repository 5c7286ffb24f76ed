"""A gateway that partners share with their operator: its own traffic is counted exactly, never invoiced, and no dead
letter.
"""

from typing import Any

import pytest

from tests.ingest.fixtures import kong, line
from tests.tollbook.fixtures import AFTER_OCTOBER, MINUTE_MS, PARTNERS, T0_MS, Here, requests, write_catalog

INTERNAL = """
  - id: us
    name: Our own clients
    status: internal
    time_zone: Etc/UTC
    credentials: [{kind: consumer, id: c-us}]
"""
OWN = """
sources:
  - id: edge
    own: {partner: us, %s}
"""


def anonymous(count: int, start_ms: int, **changes: Any) -> list[bytes]:
    """Lines without a credential."""
    times = range(start_ms, start_ms + count * MINUTE_MS, MINUTE_MS)
    return [line(kong(f"own-{at}", started_at=at, consumer=None, **changes)) for at in times]


@pytest.mark.sampled(keep=1)
@pytest.mark.parametrize(
    ("claim", "route"),
    [("without_credential: true", "orders"), ("routes: [/health, /own/**]", "/own/page")],
    ids=["without a credential", "by route"],
)
def test_of_a_thousand_lines_nine_hundred_are_own(here: Here, claim: str, route: str) -> None:
    """100 billed, 900 own, none dead, and the books balance; own traffic has neither a plan nor a legal entity."""
    write_catalog(here.catalog, partners=PARTNERS + INTERNAL, sources=OWN % claim)
    lines = [
        *requests(60, route__name=route),
        *requests(40, T0_MS + 1_000),
        *requests(300, T0_MS + 2_000, consumer="c-us"),
        *anonymous(600, T0_MS + 3_000, route__name=route),
    ]
    landed = here.run(here.log("a.log", *lines))
    assert landed.out.startswith("1,000 entries: 1,000 counted, 0 duplicates, 0 conflicts, 0 refused")
    assert here.balanced(1000)
    counted = "SELECT partner_id, count(*) AS n FROM t GROUP BY ALL ORDER BY ALL"
    assert here.table("events", counted) == [{"partner_id": "acme", "n": 100}, {"partner_id": "us", "n": 900}]
    rated = here.tollbook(
        "invoice", "rate", "--catalog", here.catalog, "--lake", here.lake, "--period", "2026-10", "--json"
    )
    assert (rated.code, rated.json["problems"]) == (0, [])
    assert [(d["partner_id"], d["total"]) for d in rated.json["drafts"]] == [("acme", "25.00")]
    closed = here.close("--json")
    assert closed.code == 0, closed.err
    assert list(closed.json["usage"]) == ["acme"]
    issued = here.tollbook(
        "invoice", "issue", "--lake", here.lake, "--period", "2026-10", "--now", AFTER_OCTOBER, "--json"
    )
    assert [(i["partner_id"], i["total"]) for i in issued.json["invoices"]] == [("acme", "25.00")]
    assert issued.json["without"] == []
    assert here.tollbook("invoice", "verify", "--lake", here.lake).code == 0
    alerts = here.table("alerts", "SELECT DISTINCT partner_id FROM t")
    assert alerts == [{"partner_id": "acme"}]
    usage = here.tollbook(
        "usage", "us", "--catalog", here.catalog, "--lake", here.lake, "--period", "2026-10", "--json"
    )
    assert usage.code == 0


def test_an_event_of_an_unlikely_size_of_ones_own_blocks_no_close(here: Here) -> None:
    """Nobody is billed for it."""
    write_catalog(here.catalog, partners=PARTNERS + INTERNAL)
    huge = requests(1, T0_MS + 1_000, consumer="c-us", response__size=10**15)
    assert here.run(here.log("a.log", *requests(3), *huge)).code == 0
    assert here.close().code == 0


def test_what_was_refused_before_it_was_claimed_is_redriven(here: Here) -> None:
    """The lines of before are own traffic as well; those of an unknown credential stay."""
    log = here.log("a.log", *requests(2), *anonymous(3, T0_MS + 1_000), *requests(4, T0_MS + 2_000, consumer="c-new"))
    assert ", 7 refused" in here.run(log).out
    write_catalog(here.catalog, partners=PARTNERS + INTERNAL, sources=OWN % "without_credential: true")
    words = ("--catalog", here.catalog, "--lake", here.lake, "--format", "kong", "--source", "edge", "--json")
    became = {
        (row["reason"], row["became"]): row["entries"]
        for row in here.tollbook("dead", "redrive", *words).json["outcomes"]
    }
    assert became == {("NO_PARTNER", "counted"): 3, ("UNKNOWN_CREDENTIAL", "UNKNOWN_CREDENTIAL"): 4}
    assert here.balanced(9)
