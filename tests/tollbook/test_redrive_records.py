"""Redrive where Kafka is the log: each refused line is counted once, as the first reading would have counted it."""

import json
import shutil
from collections.abc import Callable
from copy import copy
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from aggregate.landing.known_topics import KnownTopic, recognise
from aggregate.landing.redrive import Redrive, Wanted
from billing.catalog import loading as catalogs
from ingest.attribution.catalog_rules import attribution, source_decoder
from ingest.replay.records import from_text
from lake.errors import Fenced, LakeError
from lake.lake import Lake
from lake.storage.local import LocalStore
from lake.storage.store import Store
from tests.aggregate.fixtures import now
from tests.ingest.fixtures import line
from tests.lake.faulty import FaultyStore, Killed, Operation, commits, commits_to, writes
from tests.long import long_only
from tests.tollbook.access import EVENTS_PARTITIONS, Access, place
from tests.tollbook.fixtures import DAY_MS, T0_MS, requests, table_rows, write_catalog
from tests.tollbook.test_redrive import NEW, stored, unnamed
from tollbook.redrive import redrive as redriving
from tollbook.redrive.records import Refetch
from tollbook.redrive.redrive import How, Redriven

NEXT_MS = T0_MS + DAY_MS
COUNTED = ("UNKNOWN_CREDENTIAL", "counted")
LEFT = ("UNKNOWN_CREDENTIAL", "left")


def unknown_keys(count: int, start_ms: int = NEXT_MS) -> list[bytes]:
    """Lines of a key that the catalog does not have yet. Each has an id, and nothing in it is redacted."""
    return [text.replace(b"?page=2", b"") for text in requests(count, start_ms, consumer="c-new")]


def secret(count: int, start_ms: int = NEXT_MS) -> list[bytes]:
    """The same without ids, and with a secret in each."""
    return unnamed(requests(count, start_ms, consumer="c-new"))


def nameless(count: int, start_ms: int = NEXT_MS) -> list[bytes]:
    """The same without ids, and without anything to redact."""
    made = [json.loads(text) for text in unknown_keys(count, start_ms)]
    for record in made:
        del record["request"]["id"]
    return [line(record) for record in made]


def array(*lines: bytes) -> bytes:
    """Several entries in one line."""
    return b"[" + b",".join(text.strip() for text in lines) + b"]\n"


@pytest.fixture
def access(tmp_path: Path) -> Access:
    write_catalog(tmp_path / "catalog")
    return Access(tmp_path, received_ms=NEXT_MS + DAY_MS)


def fix_catalog(access: Access) -> None:
    write_catalog(access.catalog, **NEW)


def redrive(
    access: Access,
    *,
    store: Store | None = None,
    refetch: Refetch | None = None,
    reason: str | None = None,
    **more: Any,
) -> Redriven:
    book = catalogs.load(access.catalog)
    return redriving.redrive(
        Lake(store or access.lake), book, Wanted("edge", reason), How("kong"), now=now, refetch=refetch, **more
    )


def became(done: Redriven) -> dict[tuple[str, str], int]:
    return {(row.reason, row.became): row.entries for row in done.outcomes}


def counted(access: Access) -> list[dict[str, Any]]:
    """All of table events but the day, which follows from the time."""
    rows = table_rows(access.lake, "events", "FROM t ORDER BY source, event_id")
    return [{name: value for name, value in row.items() if name != "client_network"} for row in rows]


def of_all_kinds(access: Access) -> int:
    """Records of every kind that entries can be told by; how many entries there are."""
    access.send(*requests(3), *unknown_keys(2), *secret(1), b"\n", *nameless(2, NEXT_MS + 600_000))
    access.send(
        array(*requests(1, T0_MS + 900_000), *unknown_keys(1, NEXT_MS + 900_000)), *secret(1, NEXT_MS + 960_000)
    )
    access.send(*nameless(2, NEXT_MS + 1_200_000), headers=[("generation", b"f00"), ("position", b"4096")], partition=1)
    access.send(*secret(2, NEXT_MS + 1_800_000), headers=[("request", b"r1"), ("position", b"0")], partition=1)
    access.send(*unknown_keys(1, NEXT_MS + 2_400_000), partition=1)
    return 16


def test_a_redriven_lake_is_the_lake_that_the_right_catalog_would_have_made(access: Access, tmp_path: Path) -> None:
    """Ids, coordinates and partitions: of lines with and without ids, redacted or not, alone or several in a line,
    of files, of requests.
    """
    entries = of_all_kinds(access)
    access.land()
    fix_catalog(access)
    tried = redrive(access, refetch=access.refetch, dry_run=True)
    assert (len(counted(access)), tried.problems) == (4, [])
    done = redrive(access, refetch=access.refetch)
    assert became(done) == became(tried) == {COUNTED: 12}
    stored(access.lake, entries=entries, counted=entries)
    assert redrive(access, refetch=access.refetch).outcomes == []
    (tmp_path / "right").mkdir()
    write_catalog(tmp_path / "right/catalog", **NEW)
    right = Access(tmp_path / "right", received_ms=NEXT_MS + DAY_MS)
    of_all_kinds(right)
    right.land()
    assert counted(access) == counted(right)
    assert {row["events_partition"] for row in counted(right)} == set(range(EVENTS_PARTITIONS)), "a poor example"


def test_without_brokers_what_the_lake_keeps_whole_is_counted_and_the_rest_is_left(access: Access) -> None:
    """Nothing was redacted, so the text is the line. Its position, and so its id, is in the dead letter."""
    entries = of_all_kinds(access)
    access.land()
    fix_catalog(access)
    done = redrive(access)
    assert became(done) == {COUNTED: 7, LEFT: 5}
    assert done.problems == [
        f"{n} refused entries were not redriven: gateway.access/{p}: their records are needed; name the brokers with --bootstrap-servers"
        for p, n in ((0, 3), (1, 2))
    ]
    stored(access.lake, entries=entries, counted=4 + 7)
    assert access.fetched == 0
    assert became(redrive(access, refetch=access.refetch)) == {COUNTED: 5}
    assert access.fetched == 3, "only the records that were needed"
    stored(access.lake, entries=entries, counted=entries)


@pytest.mark.slow
def test_a_line_that_is_sent_again_after_a_redrive_meets_it(access: Access) -> None:
    """Whichever partition of events brings the resend, the worker of that partition knows the redriven id."""
    access.send(*unknown_keys(30))
    access.land()
    fix_catalog(access)
    assert became(redrive(access)) == {COUNTED: 30}
    access.send(*unknown_keys(30))
    assert sum(landed.counts.duplicates for landed in access.land()) == 30
    stored(access.lake, entries=60, counted=30)


@pytest.mark.slow
def test_what_was_counted_before_stays_first(access: Access) -> None:
    """A shipper that sent its lines again after the fix has counted them already."""
    access.send(*unknown_keys(2))
    access.land()
    fix_catalog(access)
    access.send(*unknown_keys(1), *requests(1, NEXT_MS + 60_000))
    access.land()
    assert became(redrive(access)) == {
        ("UNKNOWN_CREDENTIAL", "duplicate"): 1,
        ("UNKNOWN_CREDENTIAL", "conflict"): 1,
    }
    stored(access.lake, entries=4, counted=2)


@pytest.mark.slow
def test_a_dry_run_says_what_will_come_of_lines_that_meet_each_other(access: Access) -> None:
    """The same line was refused twice: the second one is a duplicate of what the first will be, in whichever commit."""
    access.send(*unknown_keys(1))
    access.send(*unknown_keys(1), partition=1)
    access.land()
    fix_catalog(access)
    tried = redrive(access, dry_run=True, commit_entries=1)
    assert became(tried) == {COUNTED: 1, ("UNKNOWN_CREDENTIAL", "duplicate"): 1}
    assert became(redrive(access, commit_entries=1)) == became(tried)
    stored(access.lake, entries=2, counted=1)


@pytest.mark.sampled(keep=1)
@pytest.mark.parametrize(
    ("harm", "why"),
    [
        pytest.param(
            "gone",
            "the topic no longer retains their records; send their lines again",
            id="retention",
        ),
        pytest.param("remade", "their topic was deleted or recreated; send their lines again", id="another topic"),
        pytest.param("replaced", "these records have changed; send their lines again", id="another record"),
        pytest.param("emptied", "these records have changed; send their lines again", id="nothing in it"),
    ],
)
def test_a_record_that_is_not_there_any_more_is_left_with_the_reason(access: Access, harm: str, why: str) -> None:
    """No other text is ever decoded in its place. The others are counted."""
    access.send(*secret(1))
    access.send(*secret(1, NEXT_MS + 60_000))
    access.land()
    fix_catalog(access)
    refetch: Refetch = access.refetch
    if harm == "gone":
        access.gone = 1
    elif harm == "remade":
        refetch = lambda asked, offsets: access.refetch(asked._replace(topic_id="other"), offsets)  # noqa: E731
    else:
        access.replace(0, *([secret(1)[0].replace(b'"size": 900', b'"size": 100')] if harm == "replaced" else []))
    done = redrive(access, refetch=refetch)
    lost = 2 if harm == "remade" else 1
    assert done.problems == [f"{lost} refused entries were not redriven: gateway.access/0: {why}"]
    stored(access.lake, entries=2, counted=2 - lost)


@pytest.mark.slow
def test_lateness_is_judged_by_the_records_own_time_of_receipt(access: Access) -> None:
    """Kafka tells when a line came; no one has to remember it."""
    source = "sources: [{id: edge, max_age_days: DAYS}]\n"
    write_catalog(access.catalog, sources=source.replace("DAYS", "1"))
    whole = [text.replace(b"?page=2", b"") for text in requests(3)]
    access.send(*whole, *requests(2, NEXT_MS))
    assert [landed.counts.refused for landed in access.land()] == [3]
    assert became(redrive(access)) == {("TOO_LATE", "left"): 3}
    assert became(redrive(access, refetch=access.refetch)) == {("TOO_LATE", "TOO_LATE"): 3}
    write_catalog(access.catalog, sources=source.replace("DAYS", "2"))
    assert became(redrive(access, refetch=access.refetch)) == {("TOO_LATE", "counted"): 3}
    stored(access.lake, entries=5, counted=5)


@pytest.mark.slow
def test_a_partner_that_the_records_key_names_is_judged_by_the_record(access: Access) -> None:
    """The key stands beside the line, not in it."""
    write_catalog(access.catalog, sources="sources: [{id: edge, key_is_partner: true}]\n")
    access.send(*unknown_keys(2), key=b"acme")
    access.send(*unknown_keys(1, NEXT_MS + 600_000), key=b"bolt")
    access.land()
    fix_catalog(access)
    assert became(redrive(access)) == {LEFT: 3}
    assert became(redrive(access, refetch=access.refetch)) == {COUNTED: 2, ("UNKNOWN_CREDENTIAL", "KEY_MISMATCH"): 1}
    stored(access.lake, entries=3, counted=2)


@pytest.mark.sampled(keep=1)
@pytest.mark.parametrize(
    ("fields", "now"),
    [
        pytest.param("time: seen", "TOO_LATE", id="another time, which nobody has judged"),
        pytest.param("request_id: rid", "counted", id="an id that is derived now"),
    ],
)
def test_a_letter_that_does_not_tell_what_the_line_is_now_needs_the_record(
    access: Access, fields: str, now: str
) -> None:
    """The catalog named wrong fields: time and id in the dead letter are not those that the first reading should
    have found.
    """
    wrong = {"sources": f"sources: [{{id: edge, fields: {{{fields}}}}}]\n"}
    write_catalog(access.catalog, **wrong)
    record = json.loads(nameless(1, T0_MS - 40 * DAY_MS if "time" in fields else T0_MS)[0])
    access.send(line({**record, "seen": "2026-10-02T00:00:00Z", "rid": "r-1"}))
    access.land()
    write_catalog(access.catalog, sources="sources: []\n", **NEW)
    assert became(redrive(access)) == {LEFT: 1}
    assert became(redrive(access, refetch=access.refetch)) == {("UNKNOWN_CREDENTIAL", now): 1}
    assert [row["event_id"] for row in counted(access)] == ([f"@{place().generation}:0:0"] if now == "counted" else [])


def test_records_of_which_nothing_was_kept_are_left(access: Access) -> None:
    """Of a record in an unknown format no text is kept, and none can be compared."""
    access.send(*requests(1), headers=[("source", b"edge"), ("format", b"kongg")], named=False)
    access.land()
    done = redrive(access, refetch=access.refetch)
    assert became(done) == {("UNKNOWN_FORMAT", "left"): 1}
    assert "no hash of these records was stored" in done.problems[0]


@pytest.mark.slow
def test_a_format_that_cuts_a_record_into_other_entries_is_not_followed(access: Access) -> None:
    """What each letter was could not be told by its place any more."""
    caddy = [("source", b"edge"), ("format", b"caddy")]
    access.send(array(*requests(2)), headers=caddy, named=False)
    access.send(*requests(2, NEXT_MS), headers=caddy, named=False)
    access.land()
    done = redrive(access, refetch=access.refetch)
    assert {now: n for (_, now), n in became(done).items()} == {"counted": 2, "left": 1}
    assert "the format now splits their records into different entries" in done.problems[0]
    stored(access.lake, entries=3, counted=2)


def test_alerts_are_left_to_the_quota_worker(access: Access) -> None:
    """Two ledgers of alerts would tell a partner twice."""
    access.send(*unknown_keys(100))
    access.land()
    fix_catalog(access)
    assert redrive(access).alerts == []
    assert table_rows(access.lake, "alerts") == []


# What happens at the same time.


def overtaken(root: Path, *others: Callable[[], object]) -> Store:
    """A store on which others commit just before each of the next attempts to commit to events."""
    store: Store = LocalStore(root)
    for n, other in reversed(list(enumerate(others, 1))):
        store = FaultyStore(store, n, partial(_called, other), counted=commits_to("events"))
    return store


def _called(other: Callable[[], object]) -> None:
    other()


@pytest.mark.slow
def test_land_workers_that_commit_all_the_time_do_not_keep_a_redrive_out(access: Access) -> None:
    """What they counted meanwhile is none of the redriven entries: the same commit is tried again at once."""
    access.send(*unknown_keys(5))
    access.land()
    fix_catalog(access)
    access.send(*requests(12))
    access.ingest()
    worker = access.worker(commit_entries=1)
    store = overtaken(access.lake, worker.step, worker.step, worker.step)
    assert became(redrive(access, store=store)) == {COUNTED: 5}
    stored_then = len(counted(access))
    assert stored_then > 5, "nobody came in between"
    with pytest.raises(Fenced, match="a redrive or a settlement has changed which events count"):
        worker.step()
    access.land()
    stored(access.lake, entries=17, counted=17)


@pytest.mark.slow
def test_a_redrive_gives_up_when_land_never_lets_it_in(access: Access, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 75 and a repeat are better than a process that tries for ever."""
    access.send(*unknown_keys(1))
    access.land()
    fix_catalog(access)
    monkeypatch.setattr("aggregate.landing.redrive.ATTEMPTS", 3)

    def traffic(n: int) -> None:
        access.send(*requests(3, T0_MS + n * 600_000))
        access.land()

    store = overtaken(access.lake, *(partial(traffic, n) for n in range(3)))
    with pytest.raises(Fenced):
        redrive(access, store=store)


@pytest.mark.slow
def test_a_redrive_that_land_has_overtaken_with_the_same_line_is_fenced(access: Access) -> None:
    """The resend is counted; the refused entry is then a duplicate of it, which only a new look can tell."""
    access.send(*unknown_keys(2))
    access.land()
    fix_catalog(access)
    access.send(*unknown_keys(1))
    with pytest.raises(Fenced, match="land has counted one of these entries"):
        redrive(access, store=overtaken(access.lake, access.land))
    assert became(redrive(access)) == {COUNTED: 1, ("UNKNOWN_CREDENTIAL", "duplicate"): 1}
    stored(access.lake, entries=3, counted=2)


@pytest.mark.slow
def test_of_two_redrives_at_once_one_is_fenced_whichever_partitions_they_count_in(access: Access) -> None:
    """Read in another format a line may have another id, and belong into another partition: it is the same letter
    still.
    """
    access.send(*unknown_keys(1))
    access.land()
    fix_catalog(access)
    book = catalogs.load(access.catalog)
    first, *others = (Redrive(Lake(access.lake), catalog_sha256="c", now=now) for _ in range(5))
    letters = first.letters(Wanted("edge"), place().generation)
    events = from_text(letters, source_decoder(book, attribution(book), "kong", "edge")).events
    reasons = letters["reason"].combine_chunks()
    first.settle(events, reasons)
    column = events.schema.get_field_index("event_id")
    for other, name in zip(others, "abcd", strict=True):
        with pytest.raises(Fenced, match="another redrive or a settlement came first"):
            other.settle(events.set_column(column, "event_id", pa.array([name])), reasons)
    first.end()
    stored(access.lake, entries=1, counted=1)


def test_a_land_worker_without_work_notices_a_redrive(access: Access) -> None:
    """In a quiet night nothing else would make it publish what the partner has used now."""
    access.send(*unknown_keys(1))
    access.ingest()
    worker = access.worker()
    assert len(list(worker.run())) == 1
    assert worker.step() is None
    fix_catalog(access)
    redrive(access)
    with pytest.raises(Fenced, match="a redrive or a settlement has changed which events count"):
        worker.step()


def test_topics_of_events_of_different_numbers_of_partitions_are_refused(access: Access) -> None:
    """Nobody could say which partition an id belongs into."""
    recognise(Lake(access.lake), KnownTopic("other-usage.events", "x", EVENTS_PARTITIONS + 1))
    with pytest.raises(LakeError, match="different numbers of partitions"):
        redrive(access)


# What dies.


@pytest.mark.slow
@pytest.mark.parametrize("step", [pytest.param(writes, marks=long_only), commits])
def test_death_between_any_two_steps_costs_nothing(tmp_path: Path, step: Callable[[Operation], bool]) -> None:
    """Before any file and any commit, of events and of every table that follows: the next redrive ends with the same
    lake.
    """
    write_catalog(tmp_path / "0/catalog")
    first = Access(tmp_path / "0", received_ms=NEXT_MS + DAY_MS)
    first.send(*requests(1), *unknown_keys(1))
    first.send(*secret(2))
    first.land()
    fix_catalog(first)
    deaths, wanted = 0, None
    for call in range(1, 100):
        access = copy(first)
        access.lake = shutil.copytree(first.lake, tmp_path / str(call))
        try:
            redrive(access, store=FaultyStore(LocalStore(access.lake), call, counted=step), refetch=access.refetch)
        except Killed:
            deaths += 1
        else:
            break
        redrive(access, refetch=access.refetch)
        stored(access.lake, entries=4, counted=4)
        wanted = wanted or counted(access)
        assert counted(access) == wanted, f"death before {step.__name__} {call}"
    assert deaths >= 3
