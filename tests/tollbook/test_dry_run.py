"""`tollbook run --dry-run`: what a run would do with the first entries of each file, and nothing is written."""

import gzip
from pathlib import Path
from typing import Any

import pytest

from tests.ingest.fixtures import kong, line
from tests.tollbook.fixtures import PARTNERS, T0_MS, Ended, Here, requests, write_catalog
from tests.tollbook.test_own_traffic import INTERNAL

SECRET = "hunter2secret"
NGINX = b'203.0.113.9 - %s [01/Oct/2026:10:00:0%d +0000] "GET /v1/orders?token=%s HTTP/1.1" 200 320 "-" "curl/8"\n'
USERS = [
    NGINX % (user, second, SECRET.encode()) for second, user in enumerate((b"c-acme", b"c-acme", b"c-nobody", b"-"))
]
BOLT = PARTNERS.removeprefix("\npartners:\n").replace("acme", "bolt").replace("Acme", "Bolt")


def mixed() -> list[bytes]:
    """Kong: 4 of acme, 2 of bolt, 3 of an unknown consumer, one without any, one that is no JSON."""
    return [
        *requests(4),
        *requests(2, T0_MS + 1, consumer="c-bolt"),
        *requests(3, T0_MS + 2, consumer="c-nobody", **{"request.uri": f"/v1/orders?api_key={SECRET}"}),
        line(kong("none", consumer=None, **{"request.headers": {"authorization": f"Bearer {SECRET}"}})),
        f"cut password={SECRET}\n".encode(),
    ]


@pytest.fixture
def two(here: Here) -> Here:
    """A catalog of two partners."""
    write_catalog(here.catalog, partners=PARTNERS + BOLT)
    return here


def files_in(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Every path below a folder, with its bytes and its time of change; a folder has no bytes."""
    return {
        str(path): (path.read_bytes() if path.is_file() else b"", path.stat().st_mtime_ns) for path in folder.rglob("*")
    }


def run(here: Here, *words: object, log_format: str = "kong") -> Ended:
    return here.tollbook(
        "run", "--catalog", here.catalog, "--lake", here.lake, "--source", "edge", "--format", log_format, *words
    )


def dry(here: Here, *words: object, log_format: str = "kong") -> Ended:
    return run(here, *words, "--dry-run", log_format=log_format)


def only_file(ended: Ended) -> dict[str, Any]:
    (found,) = ended.json["files"]
    return dict(found)


def test_each_file_is_told_by_partner_and_reason(two: Here) -> None:
    """Two files, one packed: each has its own numbers, and the document has their sums."""
    plain = two.log("a.log", *mixed())
    packed = two.log("b.log.gz", gzip.compress(b"".join(requests(5, T0_MS + 7))))
    ended = dry(two, plain, packed, "--json")
    assert ended.code == 0
    first, second = ended.json["files"]
    assert {row["partner_id"]: row["entries"] for row in first["by_partner"]} == {"acme": 4, "bolt": 2}
    assert {row["reason"]: row["entries"] for row in first["by_reason"]} == {
        "UNKNOWN_CREDENTIAL": 3,
        "NO_PARTNER": 1,
        "NOT_JSON": 1,
    }
    assert (first["file"], first["packing"], second["packing"]) == (str(plain), None, "gzip")
    assert (second["counted"], second["refused"], second["by_reason"]) == (5, 0, [])
    assert [ended.json[name] for name in ("entries", "counted", "refused")] == [16, 11, 5]


def test_the_fields_of_the_first_counted_entries_are_told(here: Here) -> None:
    """Whoever tries a format compares these with the line."""
    log = here.log("a.log", b"no request\n", *requests(5))
    read = only_file(dry(here, log, "--json"))["read"]
    assert len(read) == 3
    assert read[0] == {
        "occurred_at": "2026-10-01T00:00:00+00:00",
        "method": "GET",
        "path": "/v1/orders",
        "route": "orders",
        "status": 200,
        "request_bytes": 200,
        "response_bytes": 900,
        "latency_us": 12_000,
        "credential_kind": "consumer",
        "credential": "c-acme",
        "partner_id": "acme",
        "event_type": None,
        "quantities": None,
        "attributes": None,
    }
    shown = [row.split() for row in dry(here, log).out.splitlines()]
    times = ["2026-10-01", "00:00:00", "2026-10-01", "00:01:00", "2026-10-01", "00:02:00"]
    assert ["time", "(UTC)", *times] in shown
    assert ["path", *["/v1/orders"] * 3] in shown
    assert ["latency", "(ms)", *["12"] * 3] in shown
    assert ["identity", *["consumer", "c-acme"] * 3] in shown


def test_the_names_that_a_source_gives_its_fields_are_used(here: Here) -> None:
    """The fields come from the statement of the run, not from the one of a format without a source."""
    write_catalog(here.catalog, sources="sources: [{id: edge, fields: {route: kind}}]\n")
    (read,) = only_file(dry(here, here.log("a.log", line(kong(kind="special"))), "--json"))["read"]
    assert read["route"] == "special"


def test_an_internal_partner_is_counted_and_not_billed(here: Here) -> None:
    """Own traffic is usage, but nobody's invoice."""
    write_catalog(here.catalog, partners=PARTNERS + INTERNAL)
    log = here.log("a.log", *requests(2), *requests(1, T0_MS + 1, consumer="c-us"))
    assert only_file(dry(here, log, "--json"))["by_partner"] == [
        {"partner_id": "acme", "entries": 2, "invoiced": True},
        {"partner_id": "us", "entries": 1, "invoiced": False},
    ]


@pytest.mark.parametrize("shape", [(), ("--json",)], ids=["screen", "json"])
@pytest.mark.parametrize("log", ["kong", "nginx"])
def test_no_secret_is_shown(two: Here, log: str, shape: tuple[str, ...]) -> None:
    """In a refused line, in its detail, and in the path of a counted entry."""
    lines = mixed() if log == "kong" else USERS
    counted = line(kong("p", **{"request.uri": f"/v1/api_key={SECRET}/x?sig={SECRET}"})) if log == "kong" else b""
    ended = dry(two, two.log("a.log", counted, *lines), "--trust-user", *shape, log_format=log)
    assert ended.code == 0
    assert "/v1/" in ended.out
    assert SECRET not in ended.out + ended.err
    assert "203.0.113.9 " not in ended.out  # as in the lake: networks, no addresses


def test_the_screen_has_the_numbers_of_the_document(two: Here) -> None:
    """Both are made of one trial."""
    log = two.log("a.log", *mixed())
    found = only_file(dry(two, log, "--json"))
    shown = dry(two, log).out
    assert f"{found['entries']} read, {found['counted']} counted, {found['refused']} refused" in shown
    told = [line.split() for line in shown.splitlines()]
    for row in found["by_partner"]:
        assert [row["partner_id"], str(row["entries"])] in [words[:2] for words in told]
    for row in found["by_reason"]:
        assert [row["reason"], str(row["entries"])] in [words[:2] for words in told]
        assert row["remedy"] in shown
    assert str(log) in shown
    assert "Nothing was written." in shown


def test_nothing_is_written_where_there_is_no_lake(here: Here) -> None:
    """No folder appears, neither that of the lake nor one beside it."""
    log = here.log("a.log", *requests(3))
    before = files_in(here.folder)
    assert dry(here, log).code == 0
    assert files_in(here.folder) == before


def test_a_lake_stays_as_it_is_and_says_where_reading_continues(here: Here) -> None:
    """What the lake has read is not read again; a file that has grown begins at its new lines."""
    known, grown = here.log("a.log", *requests(3)), here.log("b.log", *requests(4, T0_MS + 1))
    assert here.run(known, grown).code == 0
    offset = grown.stat().st_size
    here.log("b.log", *requests(6, T0_MS + 1))
    before = files_in(here.folder)
    ended = dry(here, known, grown, "--json")
    assert files_in(here.folder) == before
    assert [(row["from_offset"], row["entries"]) for row in ended.json["files"]] == [
        (known.stat().st_size, 0),
        (offset, 2),
    ]
    assert here.run(grown, "--json").json["counted"] == 2


def test_a_folder_that_is_no_lake_is_refused_as_by_the_run(here: Here) -> None:
    """The trial must not succeed where the run would not begin."""
    here.log("lake/notes.txt", b"mine\n")
    log = here.log("a.log", *requests(1))
    assert dry(here, log).code == here.run(log).code == 2


def test_a_lake_that_is_not_complete_yet_is_no_obstacle(here: Here) -> None:
    """A run that died in between leaves its marker; the next run completes the tables, the trial needs none."""
    here.lake.mkdir()
    (here.lake / "tollbook-lake.json").write_text('{"format": 3}')
    log = here.log("a.log", *requests(2))
    assert only_file(dry(here, log, "--json"))["counted"] == 2
    assert [path.name for path in here.lake.iterdir()] == ["tollbook-lake.json"]
    assert here.run(log, "--json").json["counted"] == 2


def test_lines_limits_each_file(here: Here) -> None:
    """The number is of entries: a line with several counts as several."""
    first = here.log("a.log", *requests(30))
    second = here.log("b.log", b"[" + b",".join(r.strip() for r in requests(30, T0_MS + 1)) + b"]\n")
    ended = dry(here, first, second, "--lines", "7", "--json")
    assert [(row["entries"], row["whole"]) for row in ended.json["files"]] == [(7, False), (7, False)]
    assert only_file(dry(here, first, "--lines", "30", "--json"))["whole"] is True
    assert "The first entries: 7 read" in dry(here, first, "--lines", "7").out


@pytest.mark.parametrize(
    ("log_format", "lines"), [("kong", mixed()), ("nginx", USERS)], ids=["kong", "nginx, trusted users"]
)
@pytest.mark.slow
def test_a_dry_run_tells_what_the_run_then_does(two: Here, log_format: str, lines: list[bytes]) -> None:
    """One decoder for both: the same entries by partner and by reason, and the unfinished last line waits in both."""
    log = two.log("a.log", *lines, b'{"unfinished')
    words = (log, "--trust-user", "--json")
    tried, done = only_file(dry(two, *words, log_format=log_format)), run(two, *words, log_format=log_format).json
    assert [tried[name] for name in ("entries", "counted", "refused")] == [
        done[name] for name in ("entries", "counted", "refused")
    ]
    assert tried["waiting_bytes"] == sum(done["waiting"].values()) > 0
    by_partner = two.table("events", "SELECT partner_id, count(*)::INT AS entries FROM t GROUP BY ALL")
    assert sorted((row["partner_id"], row["entries"]) for row in tried["by_partner"]) == sorted(
        (row["partner_id"], row["entries"]) for row in by_partner
    )
    by_reason = two.table("dead", "SELECT reason, count(*)::INT AS entries FROM t GROUP BY ALL")
    assert {row["reason"]: row["entries"] for row in tried["by_reason"]} == {
        row["reason"]: row["entries"] for row in by_reason
    }


@pytest.mark.slow
def test_a_wrong_format_is_told_with_the_one_that_fits(here: Here) -> None:
    """The run would stop, so the exit code is the run's."""
    log = here.log("a.log", *requests(30))
    ended = dry(here, log, "--json", log_format="nginx")
    found = only_file(ended)
    assert (found["would_pause"], found["likely_format"]) == (True, "kong")
    assert ended.code == run(here, log, log_format="nginx").code == 1
    [complaint] = ended.complaints
    assert "--format kong" in complaint
    assert dry(here, log, "--accept-form-errors", log_format="nginx").code == 0


def test_a_file_that_cannot_be_read_is_named_and_the_others_are_tried(here: Here) -> None:
    """As in a run: exit code 1, one line with the file and the remedy."""
    damaged = here.log("a.log.gz", gzip.compress(b"".join(requests(3)))[:-9])
    ended = dry(here, damaged, here.log("b.log", *requests(2, T0_MS + 1)), "--json")
    assert ended.code == 1
    [complaint] = ended.complaints
    assert str(damaged) in complaint
    assert ended.json["files"][0]["problems"] == [complaint]
    assert ended.json["files"][1]["counted"] == 2


def test_following_is_refused(here: Here) -> None:
    """A trial ends; following does not."""
    ended = dry(here, here.log("a.log", *requests(1)), "--follow")
    assert ended.code == 2
    assert "--dry-run and --follow contradict each other" in ended.err
    assert not here.lake.exists()
