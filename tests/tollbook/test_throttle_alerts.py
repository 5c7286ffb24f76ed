"""Throttle breaches of a lake, of lines that come shuffled, late and twice, against the oracle on the same lines."""

import json
from collections import Counter
from datetime import UTC, datetime
from fractions import Fraction
from random import Random
from typing import Any

import pytest

from tests.aggregate.throttle_oracle import episodes_of
from tests.ingest.fixtures import kong, line
from tests.long import amount
from tests.tollbook.fixtures import CARD, DAY_MS, T0_MS, Here, write_catalog

THROTTLED = (
    CARD
    + """
plans:
  - {id: small, rate_card: card, throttle: {rate_per_s: 2, burst: 4}}
  - {id: large, rate_card: card, throttle: {rate_per_s: 2.5, burst: 1}}
  - {id: free, rate_card: card}
"""
)
PARTNERS = """
partners:
  - id: acme
    name: Acme Inc
    legal_entity: seller
    time_zone: Etc/UTC
    plans: [{plan: small, valid_from: 2026-01-01, valid_to: 2026-10-03}, {plan: large, valid_from: 2026-10-03}]
    credentials: [{kind: consumer, id: c-acme}]
  - id: bolt
    name: Bolt Inc
    legal_entity: seller
    time_zone: Etc/UTC
    plans: [{plan: free, valid_from: 2026-01-01}]
    credentials: [{kind: consumer, id: c-bolt}]
"""
CHANGE = (T0_MS + 2 * DAY_MS) // 1000  # acme's plan
LIMITS = {"small": (Fraction(2), 4), "large": (Fraction(5, 2), 1)}


def drawn(chance: Random) -> list[dict[str, Any]]:
    """Requests of two partners in bursts, some around midnights and around the change of the plan."""
    made = []
    places = [0, 30, 86_390, 86_399, 86_400, 2 * 86_400 - 3, 2 * 86_400, 3 * 86_400 - 30, 3 * 86_400 + 40, 100_000]
    for number in range(chance.randrange(20, 120)):
        second = T0_MS // 1000 + chance.choice(places) + chance.choice([0, 0, 0, 1, 1, 2, 5, 59, 61])
        made += [
            {"second": second, "partner": chance.choice(["acme", "acme", "acme", "bolt"]), "status": chance.choice([200, 200, 429])}
            | {"id": f"{number}-{i}", "ms": chance.randrange(1000)}
            for i in range(chance.randrange(1, 6))
        ]  # fmt: skip
    return made


def expected(requests: list[dict[str, Any]]) -> set[tuple[Any, ...]]:
    """What the oracle finds in distinct requests."""
    found = set()
    for plan, is_mine in (("small", lambda s: s < CHANGE), ("large", lambda s: s >= CHANGE)):
        counts: dict[int, tuple[int, int]] = {}
        for request in requests:
            if request["partner"] == "acme" and is_mine(second := request["second"]):
                known = counts.get(second, (0, 0))
                counts[second] = known[0] + 1, known[1] + (request["status"] == 429)
        for first, last, peak, excess, count, refused in episodes_of(counts, *LIMITS[plan]):
            start, end = (datetime.fromtimestamp(at, UTC) for at in (first, last + 1))
            found.add((plan, start, end, peak, float(excess), count, refused))
    return found


def holding(here: Here) -> set[tuple[Any, ...]]:
    """The newest statements of the ledger about breaches that hold."""
    newest: dict[str, dict[str, Any]] = {}
    fired = Counter[str]()
    for row in here.table("alerts", "FROM t ORDER BY number"):
        about = row["withdraws"] or row["restates"] or row["alert_id"]
        if row["kind"] == "throttle" or about in newest:
            newest[about] = row
            fired[about] += row["kind"] == "throttle"
    assert set(fired.values()) <= {1}, "an alert fires once"
    found = set()
    for row in newest.values():
        if row["kind"] != "withdrawn":
            evidence = json.loads(row["evidence"])
            figures = evidence["peak_per_s"], float(evidence["excess"]), evidence["requests"], evidence["refused"]
            found.add((json.loads(row["key"])["plan"], row["began_at"], row["ends_at"], *figures))
            assert (row["partner_id"], row["subject"]) == ("acme", "acme")
    return found


@pytest.mark.parametrize("seed", range(amount(5, 5, 300)))
@pytest.mark.slow
def test_breaches_are_those_of_the_oracle_after_every_run(here: Here, seed: int) -> None:
    """Each run brings a part of the requests in any order, late ones among them, and some that were read before."""
    chance = Random(seed)
    write_catalog(here.catalog, prices=THROTTLED, partners=PARTNERS)
    requests = drawn(chance)
    chance.shuffle(requests)
    runs = chance.randrange(1, 4)
    read: list[dict[str, Any]] = []
    for run in range(runs):
        new = requests[run::runs]
        again = chance.sample(read, len(read) // 3)
        lines = [
            line(kong(r["id"], started_at=r["second"] * 1000 + r["ms"], consumer={"id": f"c-{r['partner']}"}, response__status=r["status"]))
            for r in chance.sample([*new, *again], len(new) + len(again))
        ]  # fmt: skip
        here.run(here.log(f"{run}.log", *lines))
        read += new
        assert holding(here) == expected(read), f"after run {run}"


def test_an_episode_that_later_lines_join_to_another_is_withdrawn(here: Here) -> None:
    """Two breaches 100 seconds apart are two alerts, until lines between them make one of them."""
    write_catalog(here.catalog, prices=THROTTLED, partners=PARTNERS)

    def burst(second: int) -> list[bytes]:
        return [line(kong(f"{second}-{i}", started_at=T0_MS + second * 1000)) for i in range(9)]

    here.run(here.log("a.log", *burst(10), *burst(110)))
    assert len(holding(here)) == 2
    here.run(here.log("b.log", *burst(60)))
    assert {(at.second, ends.minute, ends.second) for _, at, ends, *_ in holding(here)} == {(10, 1, 51)}
    kinds = Counter(row["kind"] for row in here.table("alerts"))
    assert kinds == {"throttle": 2, "restated": 1, "withdrawn": 1}
