"""What an input must not be able to do: carry a secret into the lake or onto a screen, draw on a terminal, break a
line of output.
"""

import itertools
import json
import random
import re
from typing import Any

import pytest

from schemas.tables import ALL
from tests.ingest import test_secrets as secret_shapes
from tests.ingest.fixtures import kong, line
from tests.tollbook.fixtures import Here

CANARY = "canary7f3a"
JWT = f"eyJhbGciOiJub25lIn0.eyJzdWIiOiJ{CANARY}In0.c2ln{CANARY}"
HEADERS = {
    "host": "api.example",
    "authorization": f"Bearer {JWT}",
    "proxy-authorization": f"Basic {CANARY}Zm9vOmJhcg==",
    "cookie": f"sid={CANARY}; theme=dark",
    "apikey": CANARY,
    "x-api-key": CANARY,
    "x-auth-token": CANARY,
    "x-client-secret": CANARY,
}


REFUSED = [{"consumer": {"id": "c-nobody"}}, {"started_at": "soon"}, {"response": {"status": 999, "size": 1}}]


def leaky(event_id: str, **changes: Any) -> bytes:
    """A line of Kong that holds a secret wherever gateways have been seen to write one."""
    record = kong(
        event_id, request__uri=f"/v1/orders?apikey={CANARY}&sig={CANARY}", request__headers=HEADERS, **changes
    )
    record["request"]["querystring"] = {"apikey": CANARY}
    record["request"]["url"] = f"https://api.example/v1/orders?token={CANARY}"
    return line(record)


def test_a_secret_in_a_line_is_in_no_table_and_on_no_screen(here: Here) -> None:
    """Counted, refused for any reason, in conflict, cut: what is planted in every place is found in none."""
    lines = [
        leaky("a"),
        leaky("a", response={"status": 500, "size": 1}),
        leaky("b", consumer={"id": "c-nobody"}),
        leaky("c", started_at="soon"),
        leaky("d", response={"status": 999, "size": 1}),
        leaky("e")[:-9] + b"\n",
        leaky("f").rstrip() + b" " + leaky("f"),
    ]
    screens = [
        here.run(here.log("a.log", *lines)),
        here.tollbook("dead", "list", "--lake", here.lake, "--limit", "100"),
        here.tollbook("dead", "list", "--lake", here.lake, "--limit", "100", "--json"),
        here.tollbook("verify", "--lake", here.lake, "--json"),
        here.tollbook("usage", "acme", "--catalog", here.catalog, "--lake", here.lake, "--period", "2026-10"),
    ]
    assert screens[0].out.startswith("7 entries: 1 counted, 0 duplicates, 1 conflicts, 5 refused")
    assert [s for s in screens if CANARY in s.out or CANARY in s.err] == []
    assert [name for name in ALL if CANARY in repr(here.table(name))] == []
    assert [p.name for p in here.lake.rglob("*") if p.is_file() and CANARY.encode() in p.read_bytes()] == []


def test_a_secret_in_any_shape_is_in_no_file_of_the_lake_and_on_no_screen(here: Here) -> None:
    """Lists, objects, numbers, pairs, escaped and doubled names, JSON within texts, addresses: each in a line that
    is refused.
    """
    some = random.Random(7)
    lines = []
    for n, (name, text) in enumerate(itertools.zip_longest(secret_shapes.NAMES, secret_shapes.TEXTS, fillvalue="x")):
        for kind, member in enumerate(secret_shapes.members(name, some.choice(secret_shapes.shapes(CANARY)))):
            entry = line(kong(f"s{n}-{kind}", **some.choice(REFUSED), note=text)).decode().rstrip()
            lines.append(f"{entry[:-1]},{member}}}\n".encode())
    assert CANARY == secret_shapes.CANARY
    screens = [
        here.run(here.log("a.log", *lines)),
        here.tollbook("dead", "list", "--lake", here.lake, "--limit", "1000"),
        here.tollbook("dead", "list", "--lake", here.lake, "--limit", "1000", "--json"),
        here.tollbook(
            "dead", "redrive", "--source", "edge", "--dry-run", "--catalog", here.catalog, "--lake", here.lake
        ),
    ]
    assert here.table("dead", "SELECT count(*) AS n FROM t")[0]["n"] > len(lines) // 2
    assert [s for s in screens if CANARY in s.out or CANARY in s.err] == []
    assert [p.name for p in here.lake.rglob("*") if p.is_file() and CANARY.encode() in p.read_bytes()] == []
    assert [name for name in ALL if CANARY in repr(here.table(name))] == [], (
        "compressed files hide it from a search of bytes"
    )


INJECTIONS = {
    "a line end": "x\r\n2026-10-01 ERROR root logged in",
    "a bare carriage return": "x\rERROR",
    "colours": "\x1b[31mred\x1b[0m",
    "a title for the window": "\x1b]0;owned\x07",
    "a control character of one byte": "\x9b2J",
    "line separators of Unicode": "a\u2028b\u2029c\x85d",
    "right to left": "\u202egnp.exe",
    "patterns of formatting": "%s %n {0} {!r} ${jndi:ldap://x}",
    "a field of 200 kB": "y" * 200_000,
    "NUL": "a\x00b",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", INJECTIONS)
def test_nothing_in_a_line_can_act_on_a_screen_or_forge_a_line(here: Here, name: str) -> None:
    """As consumer, as route, as id, as time: one entry stays one entry, shown in plain characters, and not by the
    megabyte.
    """
    text = INJECTIONS[name]
    lines = [
        line(kong("a", consumer={"id": text})),
        line(kong("b", route={"name": text})),
        line(kong(f"c{text}")),
        line(kong("d", started_at=text)),
        line(kong("e", response={"status": text, "size": 1})),
    ]
    ended = here.run(here.log("a.log", *lines))
    assert (ended.code, ended.err) == (0, "")
    shown = [
        here.tollbook("dead", "list", "--lake", here.lake),
        here.tollbook("usage", "acme", "--catalog", here.catalog, "--lake", here.lake, "--period", "2026-10"),
    ]
    for screen in shown:
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]", screen.out), (
            screen.out
        )
        assert "\nERROR" not in screen.out
        assert len(screen.out) < 20_000
    listed = here.tollbook("dead", "list", "--lake", here.lake, "--json").json
    assert (
        sum(row["entries"] for row in listed["by_reason"]) + here.table("events", "SELECT count(*) AS n FROM t")[0]["n"]
        == 5
    )
    assert json.dumps(listed)
