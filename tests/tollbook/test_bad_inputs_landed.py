"""Bad inputs that show only in the lake and at the month's end: identities, edges, sizes, late usage."""

import gzip
import json
import subprocess
import sys
from typing import Any, NamedTuple

import pytest

from tests.ingest.bad_inputs import EVENT
from tests.ingest.fixtures import line
from tests.tollbook.fixtures import ROOT, T0_MS, Here, requests, write_catalog

SOURCES = """
sources:
  - {id: events, may_tag: true, partner_field: subject}
  - {id: others, may_tag: true, partner_field: subject}
"""
GOOD = 1000


@pytest.fixture
def at(here: Here) -> Here:
    """A catalog in which two sources may name partners."""
    other = {"id": "bolt", "name": "Bolt", "legal_entity": "seller", "time_zone": "Etc/UTC"}
    partners = (here.catalog / "partners.yaml").read_text() + f"  - {json.dumps(other)}\n"
    write_catalog(here.catalog, sources=SOURCES, partners=partners)
    return here


def event(event_id: str, **changes: Any) -> bytes:
    return line(EVENT | {"id": event_id, "time": "2026-10-02T00:00:00Z"} | changes)


def good() -> list[bytes]:
    return [event(f"ok-{i}") for i in range(GOOD)]


def run(at: Here, source: str, *lines: bytes) -> dict[str, int]:
    """Land lines as a file of their own; what became of them."""
    name = f"{source}-{len(list(at.folder.iterdir()))}.log"
    words = ["--catalog", at.catalog, "--lake", at.lake, "--format", "cloudevents", "--source", source, "--json"]
    ended = at.tollbook("run", *words, at.log(name, *lines))
    assert ended.code == 0, ended.err
    counts: dict[str, int] = ended.json
    return {name: counts[name] for name in ("counted", "duplicates", "conflicts", "refused")}


class Identity(NamedTuple):
    """The first lines, later ones of a source, and what becomes of the later ones."""

    name: str
    first: list[bytes]
    source: str
    later: list[bytes]
    counted: int = 0
    duplicates: int = 0
    conflicts: int = 0


OTHER_DATA = EVENT["data"] | {"request_bytes": 8}
OLD = "2026-01-05T00:00:00Z"
IDENTITIES = [
    Identity("35: the same payload", [event("a")], "events", [event("a")], duplicates=1),
    Identity("36: another payload", [event("a")], "events", [event("a", data=OTHER_DATA)], conflicts=1),
    Identity("37: another source of logs", [event("a")], "others", [event("a")], counted=1),
    Identity("37: another source of events", [event("a")], "events", [event("a", source="svc-2")], counted=1),
    Identity("38: another partner", [event("a")], "events", [event("a", subject="bolt")], conflicts=1),
    Identity("39: nine months later", [event("a", time=OLD)], "events", [event("a", time=OLD)], duplicates=1),
    Identity("40: 1,000 copies at once", [], "events", [event("a")] * 1000, counted=1, duplicates=999),
    Identity("77: the same batch twice", [line([json.loads(event(i)) for i in "ab"])], "events", [line([json.loads(event(i)) for i in "ab"])], duplicates=2),
]  # fmt: skip


@pytest.mark.sampled(keep=1)
@pytest.mark.parametrize("case", IDENTITIES, ids=lambda c: c.name)
def test_what_identity_decides(at: Here, case: Identity) -> None:
    """Identity is source and id; the first one counts, whatever comes later, at any age; the good events beside it
    all count.
    """
    run(at, "events", *good(), *case.first)
    beside = [event(f"late-{i}") for i in range(GOOD)]
    outcome = run(at, case.source, *beside[:500], *case.later, *beside[500:])
    assert outcome == {
        "counted": GOOD + case.counted,
        "duplicates": case.duplicates,
        "conflicts": case.conflicts,
        "refused": 0,
    }
    proof = at.tollbook("verify", "--lake", at.lake, "--json").json
    assert (proof["ok"], proof["unexplained"]) == (True, 0)
    letters = at.table("dead", "SELECT reason FROM t")
    assert [row["reason"] for row in letters] == ["ID_CONFLICT"] * case.conflicts


def test_an_event_of_an_unlikely_size_forbids_the_close_until_it_is_released(here: Here) -> None:
    """It is counted, for it may be true; but nobody gets an invoice for a petabyte that no person has looked at."""
    huge = requests(1, T0_MS + 60_000 * GOOD, response={"status": 200, "size": 10**15})
    assert here.run(here.log("a.log", *requests(GOOD), *huge)).out.startswith("1,001 entries: 1,001 counted")
    refused = here.close()
    assert refused.code == 1
    [complaint] = refused.complaints
    event_id = f"id-{T0_MS + 60_000 * GOOD}"
    assert f"event {event_id} of source edge says 1,000,000,000,000,000 bytes" in complaint
    assert "`released`" in complaint
    write_catalog(here.catalog, sources=f"sources:\n  - {{id: edge, released: [{event_id}]}}\n")
    assert here.close().code == 0


@pytest.mark.slow
def test_usage_of_an_invoiced_month_is_reported_and_the_invoice_stays(here: Here) -> None:
    """What was sent to a partner never changes; what comes later is seen, not lost."""
    assert here.run(here.log("a.log", *requests(GOOD))).code == 0
    assert here.close().code == 0
    issued = here.tollbook(
        "invoice", "issue", "--lake", here.lake, "--period", "2026-10", "--now", "2026-11-06T00:00:00Z"
    )
    assert issued.code == 0, issued.err
    before = {p: p.read_bytes() for p in (here.lake / "documents").rglob("*") if p.is_file()}
    assert len(before) >= 3
    late = requests(1, T0_MS + 30_000)
    assert here.run(here.log("late.log", *late)).out.startswith("1 entries: 1 counted")
    checked = here.tollbook("invoice", "verify", "--lake", here.lake)
    assert (checked.code, len(checked.complaints)) == (3, 1)
    assert "+1 requests of acme arrived after S-2026-000001 was closed; they are in no invoice yet" in checked.out
    assert {p: p.read_bytes() for p in (here.lake / "documents").rglob("*") if p.is_file()} == before


def test_an_instant_on_an_edge_belongs_to_what_begins_there(at: Here) -> None:
    """Windows and months are half-open: midnight is the new month's, the microsecond before it the old one's."""
    edges = [
        "2026-09-30T23:59:59.999999Z",
        "2026-10-01T00:00:00Z",
        "2026-10-31T23:59:59.999999Z",
        "2026-11-01T00:00:00Z",
    ]
    assert (
        run(at, "events", *good(), *(event(f"edge-{i}", time=time) for i, time in enumerate(edges)))["counted"]
        == GOOD + 4
    )
    windows = at.table(
        "rollups", "SELECT window_start::VARCHAR AS start, sum(requests)::BIGINT AS n FROM t GROUP BY ALL ORDER BY ALL"
    )
    assert [(row["start"][:16], row["n"]) for row in windows] == [
        ("2026-09-30 23:45", 1), ("2026-10-01 00:00", 1), ("2026-10-02 00:00", GOOD), ("2026-10-31 23:45", 1), ("2026-11-01 00:00", 1),
    ]  # fmt: skip


BOMB_MIB = 192
PEAK = """
import re, sys
from pathlib import Path
from tollbook.__main__ import main
try:
    main(sys.argv[1:])
finally:  # getrusage tells the size of the process that started this one, where that is larger
    print("peak", re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1], file=sys.stderr)
"""


def peak_mib(*words: object) -> tuple[float, str]:
    """The peak memory of a command, and its output."""
    done = subprocess.run(
        [sys.executable, "-c", PEAK, *map(str, words)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return int(done.stderr.split("peak")[1]) / 1024, done.stdout


@pytest.mark.slow
def test_a_bomb_is_one_refusal_in_little_memory(at: Here) -> None:
    """A packed file of a few hundred kilobytes that holds one line of 192 MiB: it is never held as a whole."""
    bomb = at.folder / "bomb.log.gz"
    with gzip.open(bomb, "wb", compresslevel=1) as packed:
        packed.writelines(good()[:500])
        for _ in range(BOMB_MIB):
            packed.write(b" x" * (1 << 19))
        packed.write(b"\n")
        packed.writelines(good()[500:])
    assert bomb.stat().st_size < 2 << 20
    small = at.log("small.log", *good())
    edge = ("--catalog", at.catalog, "--format", "cloudevents", "--source", "events")
    plain, output = peak_mib("run", *edge, "--lake", at.folder / "plain", "--block-bytes", 1 << 20, small)
    assert output.startswith(f"{GOOD:,} entries: {GOOD:,} counted")
    bombed = ("--lake", at.folder / "bombed")
    peak, output = peak_mib("run", *edge, *bombed, "--block-bytes", 1 << 20, bomb)
    assert output.startswith(f"{GOOD + 1:,} entries: {GOOD:,} counted")
    assert peak < plain + 160
    peak, output = peak_mib("formats", "detect", bomb)
    assert "cloudevents reads the most lines" in output
    assert peak < plain + 160
    peak, output = peak_mib("dead", "redrive", *edge, *bombed, bomb)
    assert "still refused: TOO_LARGE" in output
    assert peak < plain + 160 + 64  # it reads in blocks of 64 MiB
    found = at.tollbook("dead", "list", "--lake", at.folder / "bombed", "--json").json
    assert "TOO_LARGE" in json.dumps(found)
