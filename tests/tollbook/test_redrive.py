"""Redrive: what was refused is counted after the catalog was fixed, each line once, even if the process dies."""

import gzip
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aggregate.landing.known_topics import KnownTopic, recognise
from aggregate.landing.land import Land
from aggregate.landing.redrive import Redrive, Wanted
from aggregate.verify import prove
from billing.catalog import loading as catalogs
from lake.errors import Fenced
from lake.lake import Lake
from lake.storage.local import LocalStore
from lake.storage.store import Store
from schemas.tables import FRESH_EVENTS
from tests.aggregate import fixtures as rows
from tests.aggregate.memory_log import MemoryLog
from tests.ingest.fixtures import line
from tests.lake.faulty import FaultyStore, Killed, Operation, commits, writes
from tests.long import LONG, long_only
from tests.tollbook.fixtures import (
    AFTER_OCTOBER,
    DAY_MS,
    MINUTE_MS,
    PARTNERS,
    T0_MS,
    Ended,
    Here,
    process,
    requests,
    table_rows,
    write_catalog,
)
from tests.tollbook.fixtures import ended as end_of
from tests.tollbook.test_runs import KILL_AFTER_COMMIT
from tollbook.local_run import run as local_run
from tollbook.redrive import files
from tollbook.redrive import redrive as redriving

NEW = {
    "partners": PARTNERS.replace(
        "{kind: consumer, id: c-acme}", "{kind: consumer, id: c-acme}, {kind: consumer, id: c-new}"
    )
}
OCTOBER = ["--period", "2026-10"]


def redrive(here: Here, *words: object, **options: str) -> Ended:
    given_ = {"format": "kong", "source": "edge", **options}
    flags = [word for name, value in given_.items() for word in (f"--{name}", value)]
    return here.tollbook("dead", "redrive", *words, "--catalog", here.catalog, "--lake", here.lake, *flags)


def unnamed(lines: Sequence[bytes]) -> list[bytes]:
    """The lines without the gateway's ids, and with a secret in each: their ids are derived, and their stored text
    is masked.
    """
    made = []
    for text in lines:
        record = json.loads(text)
        del record["request"]["id"]
        record["request"]["headers"]["apikey"] = "canary-hush"
        made.append(line(record))
    return made


def became(ended: Ended) -> dict[tuple[str, str], int]:
    return {(row["reason"], row["became"]): row["entries"] for row in ended.json["outcomes"]}


def snapshot(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """What counts in a lake, in an order of its own: events, rollups summed, duplicates, refusals by reason."""
    keys = "partner_id, window_start, source, service, method, route, status"
    sums = (
        f"SELECT {keys}, sum(requests)::BIGINT AS n, sum(response_bytes)::BIGINT AS b FROM t GROUP BY ALL ORDER BY ALL"
    )
    return {
        "events": table_rows(folder, "events", "FROM t ORDER BY source, event_id"),
        "rollups": table_rows(folder, "rollups", sums),
        "duplicates": table_rows(folder, "duplicates", "FROM t ORDER BY source, generation, position, item"),
    }


def test_a_forgotten_key_is_counted_once_when_it_was_added(here: Here) -> None:
    """The story of every new partner: its first days are refused, somebody fixes the catalog, and their usage is
    billed.
    """
    log = here.log("a.log", *requests(10), *requests(7, T0_MS + DAY_MS, consumer="c-new"), b"no JSON\n")
    assert here.run(log).out.startswith("18 entries: 10 counted, 0 duplicates, 0 conflicts, 8 refused")
    write_catalog(here.catalog, **NEW)
    before = snapshot(here.lake)
    tried = redrive(here, "--dry-run", "--json")
    assert (tried.code, became(tried)) == (0, {("NOT_JSON", "NOT_JSON"): 1, ("UNKNOWN_CREDENTIAL", "counted"): 7})
    assert snapshot(here.lake) == before
    done = redrive(here, "--json")
    assert became(done) == became(tried)
    assert done.json["counted"] == 7
    assert len(here.table("events")) == 17
    assert here.balanced(18)
    listed = here.tollbook("dead", "list", "--lake", here.lake, "--json").json
    assert [row["reason"] for row in listed["by_reason"]] == ["NOT_JSON"]
    assert became(redrive(here, "--json")) == {("NOT_JSON", "NOT_JSON"): 1}
    assert redrive(here, reason="UNKNOWN_CREDENTIAL").out == "No refused entries to redrive.\n"
    assert here.balanced(18)
    proof = here.tollbook("verify", "--lake", here.lake, "--json").json
    assert (proof["counted"], proof["refused"]) == (17, 1)


@pytest.mark.slow
def test_a_redriven_lake_is_the_lake_that_the_right_catalog_would_have_made(here: Here) -> None:
    """Ids above all: derived ones are derived from where the line stood, so that a later resend of the file still
    meets them.
    """
    lines = unnamed([*requests(20), *requests(20, T0_MS + DAY_MS, consumer="c-new")])
    lines[5:5] = [b"[" + b",".join(x.strip() for x in (lines[0], lines[30], lines[1])) + b"]\n"]
    log = here.log("a.log", *lines)
    assert here.run(log).code == 0
    write_catalog(here.catalog, **NEW)
    done = redrive(here)
    assert (done.code, done.err) == (0, "")
    fixed, here.lake = snapshot(here.lake), here.folder / "right"
    assert here.run(log).code == 0
    assert fixed == snapshot(here.lake)
    assert len(fixed["events"]) == 43


@pytest.mark.slow
def test_letters_whose_secrets_were_redacted_need_their_log_wherever_it_is_now(here: Here) -> None:
    """A stored text that is not the line as it came is never taken for it; the log may have been renamed and packed."""
    log = here.log("a.log", *unnamed(requests(5, consumer="c-new")), *requests(3, T0_MS + DAY_MS, consumer="c-new"))
    raw = [text.replace(b"?page=2", b"") for text in requests(3, T0_MS + DAY_MS, consumer="c-new")]
    log.write_bytes(b"".join([*unnamed(requests(5, consumer="c-new")), *raw]))
    assert here.run(log).code == 0
    write_catalog(here.catalog, **NEW)
    packed = here.log("moved/a.log.1.gz", gzip.compress(log.read_bytes()))
    log.unlink()
    first = redrive(here, "--json")
    assert first.code == 1
    assert first.complaints == [
        f"5 refused entries were not redriven: {log}: the log was not found; name it at the end of the command"
    ]
    assert became(first) == {("UNKNOWN_CREDENTIAL", "counted"): 3, ("UNKNOWN_CREDENTIAL", "left"): 5}
    assert here.balanced(8)
    unread = here.log("other.log", *requests(1))
    second = redrive(here, packed.parent, unread, "--json")
    assert second.complaints == [f"{unread} was never read as a log of source edge; check the path and --source"]
    assert became(second) == {("UNKNOWN_CREDENTIAL", "counted"): 5}
    assert here.balanced(8)
    assert len(here.table("events")) == 8


@pytest.mark.slow
def test_a_line_that_is_another_now_is_left(here: Here) -> None:
    """Somebody edited the log. Its offsets and its beginning are the same: the hash of the line tells."""
    lines = unnamed(requests(40, consumer="c-new"))
    log = here.log("a.log", *lines)
    assert here.run(log).code == 0
    write_catalog(here.catalog, **NEW)
    lines[20] = lines[20].replace(b'"size": 900', b'"size": 100')
    log.write_bytes(b"".join(lines))
    done = redrive(here, "--json")
    assert done.code == 1
    assert "these lines have changed" in done.complaints[0]
    assert became(done) == {("UNKNOWN_CREDENTIAL", "counted"): 39, ("UNKNOWN_CREDENTIAL", "left"): 1}
    assert here.balanced(40)


def test_what_was_counted_before_stays_first(here: Here) -> None:
    """A redriven entry may be a resend of a counted one, or contradict it. What was counted is never taken back."""
    first = requests(4)
    resent = [text.replace(b"c-acme", b"c-new") for text in first[:2]]
    alone_ = requests(1, T0_MS + DAY_MS, consumer="c-new")
    log = here.log("a.log", *first, *resent, *alone_, *alone_)
    assert here.run(log).code == 0
    write_catalog(here.catalog, **NEW)
    done = redrive(here, "--json")
    assert became(done) == {
        ("UNKNOWN_CREDENTIAL", "conflict"): 2,
        ("UNKNOWN_CREDENTIAL", "counted"): 1,
        ("UNKNOWN_CREDENTIAL", "duplicate"): 1,
    }
    assert here.balanced(8)
    assert {row["credential"] for row in here.table("events", "FROM t WHERE occurred_at < '2026-10-02'")} == {"c-acme"}


@pytest.mark.slow
def test_a_log_that_was_read_in_the_wrong_format_is_read_in_the_right_one(here: Here) -> None:
    """The whole month is refused, and nothing of it is lost.

    A line that another format cuts otherwise stays what it was.
    """
    log = here.log("a.log", *requests(12), b"[" + b",".join(x.strip() for x in requests(2, T0_MS + DAY_MS)) + b"]\n")
    wrong = ["--catalog", here.catalog, "--lake", here.lake, "--format", "caddy", "--source", "edge"]
    assert here.tollbook("run", *wrong, "--accept-form-errors", log).out.startswith("13 entries: 0 counted")
    done = redrive(here, "--json")
    assert {now: n for (_, now), n in became(done).items()} == {"counted": 12, "left": 1}
    assert "the format now splits their lines into different entries" in done.complaints[0]
    assert here.balanced(13)
    assert here.run(log).out == "Nothing new to read.\n"


@pytest.mark.slow
def test_lines_are_read_by_the_header_that_stood_before_them(here: Here) -> None:
    """CloudFront's columns are what the owner chose; they change in the middle of a log, and the stored line does
    not name them.
    """
    log = here.log(
        "edge.log",
        b"#Fields: timestamp(ms) sc-status cs-uri-stem cs-method sc-bytes x-edge-request-id\n",
        *(b"%d\t200\t/v1/a\tGET\t100\tid-%d==\n" % (T0_MS + n, n) for n in range(3)),
        b"#Fields: x-edge-request-id sc-bytes cs-method cs-uri-stem sc-status timestamp(ms)\n",
        *(b"id-%d==\t250\tGET\t/v1/b\t200\t%d\n" % (n, T0_MS + n) for n in range(3, 5)),
    )
    options = ["--catalog", here.catalog, "--lake", here.lake, "--format", "cloudfront", "--source", "cdn"]
    assert here.tollbook("run", *options, log).out.startswith("7 entries: 0 counted")  # headers are refused, too
    write_catalog(here.catalog, sources="sources: [{id: cdn, partner: acme}]")
    moved = log.rename(here.folder / "edge.log.1")
    away = redrive(here, "--json", "--reason", "NO_PARTNER", format="cloudfront", source="cdn")
    assert (became(away), away.code) == ({("NO_PARTNER", "left"): 5}, 1)
    done = redrive(here, moved, "--json", format="cloudfront", source="cdn")
    assert became(done) == {("NO_PARTNER", "counted"): 5, ("NOT_A_REQUEST", "NOT_A_REQUEST"): 2}
    assert [row["response_bytes"] for row in here.table("events", "FROM t ORDER BY event_id")] == [100] * 3 + [250] * 2
    assert here.balanced(7)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "counted"),
    [
        pytest.param(["--since", "2026-10-02"], 4, id="from a day on, that day included"),
        pytest.param(["--until", "2026-10-02"], 3, id="before a day"),
        pytest.param(["--since", "2026-10-02T00:01", "--until", "2026-10-02T00:03"], 2, id="between two minutes"),
        pytest.param(["--reason", "NOT_JSON"], 0, id="another reason"),
    ],
)
def test_only_what_is_asked_for_is_read_again(here: Here, words: list[str], counted: int) -> None:
    """A partner's contract may begin within the month: what was before stays refused."""
    write_catalog(here.catalog)
    log = here.log(
        "a.log", *requests(3, consumer="c-new"), *requests(4, T0_MS + DAY_MS, consumer="c-new"), b"no JSON\n"
    )
    assert here.run(log).code == 0
    write_catalog(here.catalog, **NEW)
    assert redrive(here, *words, "--json").json["counted"] == counted
    assert here.balanced(8)
    shown = here.tollbook("dead", "list", "--lake", here.lake, *words, "--json").json["entries"]
    assert [row["reason"] for row in shown if row["reason"] != "NOT_JSON"] == []


@pytest.mark.slow
def test_lateness_is_judged_by_the_time_of_receipt_or_not_at_all(here: Here) -> None:
    """Without that time a limit cannot be applied; passing over it would count what the source must not bring."""
    source = "sources: [{id: edge, max_age_days: 10}]\n"
    write_catalog(here.catalog, sources=source)
    log = here.log("a.log", *requests(6))
    assert "6 refused" in here.tollbook(*here.run_words(log), "--received", "2026-10-20").out
    assert became(redrive(here, "--json")) == {("TOO_LATE", "left"): 6}
    assert became(redrive(here, "--json", received="2026-10-20")) == {("TOO_LATE", "TOO_LATE"): 6}
    write_catalog(here.catalog, sources=source.replace("10", "30"))
    assert became(redrive(here, "--json", received="2026-10-20")) == {("TOO_LATE", "counted"): 6}
    assert here.balanced(6)


@pytest.mark.slow
def test_a_redrive_after_the_month_was_invoiced_changes_no_invoice_and_is_late_usage(here: Here) -> None:
    """Issued invoices never change. Usage that is counted later is listed as late, as if its line had come later."""
    assert here.run(here.log("a.log", *requests(10), *requests(5, T0_MS + DAY_MS, consumer="c-new"))).code == 0
    assert here.close("--accept-refused", "nobody knows it yet").code == 0
    issue = ["invoice", "issue", "--lake", here.lake, *OCTOBER, "--now", AFTER_OCTOBER, "--json"]
    issued = here.tollbook(*issue).json["invoices"]
    bytes_ = {path.name: path.read_bytes() for path in (here.lake / "documents").iterdir()}
    write_catalog(here.catalog, **NEW)
    assert redrive(here).code == 0
    proved = here.tollbook("invoice", "verify", "--lake", here.lake, "--json").json
    assert proved["ok"]
    assert [(late["partner_id"], late["period"], late["requests"]) for late in proved["late_usage"]] == [
        ("acme", "2026-10", 5)
    ]
    assert here.tollbook(*issue).json["invoices"] == issued
    assert {path.name: path.read_bytes() for path in (here.lake / "documents").iterdir()} == bytes_
    assert here.close().code == 1, "a month that was invoiced is not closed over late usage"
    assert here.balanced(15)


@pytest.mark.slow
def test_a_close_after_a_redrive_bills_it(here: Here) -> None:
    """Before the month is closed a redrive is as good as a right catalog from the beginning."""
    assert here.run(here.log("a.log", *requests(10), *requests(6, T0_MS + DAY_MS, consumer="c-new"))).code == 0
    write_catalog(here.catalog, **NEW)
    assert redrive(here).code == 0
    closed = here.close("--json").json
    assert (closed["completeness"][0]["counted"], closed["completeness"][0]["refused"]) == (16, 0)
    issued = here.tollbook("invoice", "issue", "--lake", here.lake, *OCTOBER, "--now", AFTER_OCTOBER, "--json").json
    assert issued["invoices"][0]["total"] == "4.00"


@pytest.mark.slow
def test_quota_alerts_follow_a_redrive(here: Here) -> None:
    """A partner may have used up its quota under a key that nobody knew."""
    assert here.run(here.log("a.log", *requests(40), *requests(40, T0_MS + DAY_MS, consumer="c-new"))).code == 0
    write_catalog(here.catalog, **NEW)
    alerts = redrive(here, "--json").json["alerts"]
    assert [(a["threshold_percent"], a["passed"]) for a in alerts if a["kind"] == "quota"] == [
        ("50", True),
        ("80", False),
    ]


@pytest.mark.sampled(keep=1)
@pytest.mark.parametrize("words", [["a.log"], ["--received", "2026-10-20"], ["--final"]], ids=lambda words: words[0])
def test_options_for_files_are_refused_where_kafka_is_the_log(here: Here, words: list[str]) -> None:
    """Records say themselves when they were received; an option that does nothing would be believed."""
    log = here.log("a.log", *requests(3, consumer="c-new"))
    assert here.run(log).code == 0
    recognise(Lake(here.lake), KnownTopic("usage.events", "some-id", 4))
    refused = redrive(here, *(log if word == "a.log" else word for word in words))
    assert refused.code == 2
    assert "landed from Kafka (usage.events); remove the logs, --received and --final" in refused.complaints[0]


@pytest.mark.slow
def test_show_prints_one_letter_whole_with_its_fix(here: Here) -> None:
    """Whoever fixes the catalog needs the key, the position and the line, and no secret."""
    assert here.run(here.log("a.log", *requests(1), *unnamed(requests(1, T0_MS + DAY_MS, consumer="c-new")))).code == 0
    (row,) = here.tollbook("dead", "list", "--lake", here.lake, "--json").json["entries"]
    shown = here.tollbook("dead", "show", row["letter"][:6], "--lake", here.lake)
    assert (shown.code, shown.err) == (0, "")
    for part in ("UNKNOWN_CREDENTIAL (refused)", "consumer c-new", "a.log, byte ", "2026-10-02T00:00:00+00:00",
                 row["raw_sha256"], "the credential is not in the catalog; add it to its partner", '"apikey": "***"'):  # fmt: skip
        assert part in shown.out, part
    assert "canary" not in shown.out
    write_catalog(here.catalog, **NEW)
    assert redrive(here).code == 0
    assert "yes; it is counted" in here.tollbook("dead", "show", row["letter"], "--lake", here.lake).out


@pytest.mark.sampled(keep=1)
@pytest.mark.parametrize(
    ("letter", "pattern"),
    [
        ("0000", "no entry '0000' in"),
        ("abc", "is not the name of an entry"),
        ("%%%%", "is not the name of an entry"),
        ("", "is not the name of an entry"),
    ],
)
def test_show_names_what_there_is_not(here: Here, letter: str, pattern: str) -> None:
    """One clear line, and where to look."""
    assert here.run("--accept-form-errors", here.log("a.log", b"no JSON\n")).code == 0
    ended = here.tollbook("dead", "show", letter, "--lake", here.lake)
    assert ended.code == 2
    assert pattern in ended.complaints[0]


# What happens at the same time.


def stored(root: Path, *, entries: int, counted: int) -> None:
    proof = prove(Lake(root))
    assert proof.problems == []
    assert (proof.totals()["entries"], proof.totals()["counted"]) == (entries, counted)


@pytest.fixture
def refused_lake(tmp_path: Path) -> Path:
    """Three entries counted, two refused."""
    root = tmp_path / "lake"
    Lake(root).create()
    given_ = [*(rows.event(f"e{n}") for n in range(3)), *(rows.refusal(reason="UNKNOWN_CREDENTIAL") for _ in range(2))]
    assert list(Land(Lake(root), MemoryLog(rows.partition(given_)), catalog_sha256="c", now=rows.now).run())
    return root


def fixed_entries(*ids: str) -> Any:
    """The events that the refused entries are now."""
    events, _ = rows.partition([rows.event("x") for _ in range(3)] + [rows.event(i) for i in ids])[
        next(iter(rows.partition([])))
    ]
    return events.slice(3)


def settle(worker: Redrive, *ids: str) -> list[str]:
    import pyarrow as pa

    became_ = worker.settle(fixed_entries(*ids), pa.array(["UNKNOWN_CREDENTIAL"] * len(ids)))
    worker.end()
    return became_.to_pylist()  # type: ignore[no-any-return]


def test_of_two_redrives_at_once_the_slower_one_is_fenced(refused_lake: Path) -> None:
    """Both have read the same letters; one of them may count them."""
    first, second = (Redrive(Lake(refused_lake), catalog_sha256="c", now=rows.now) for _ in range(2))
    assert settle(first, "n1", "n2") == ["counted", "counted"]
    with pytest.raises(Fenced):
        settle(second, "n1", "n2")
    stored(refused_lake, entries=5, counted=5)
    assert Redrive(Lake(refused_lake), catalog_sha256="c", now=rows.now).generations(Wanted("edge")) == {}


def test_a_land_worker_that_does_not_know_of_a_redrive_is_fenced(refused_lake: Path) -> None:
    """Its identities lack what the redrive has counted: a resend of that would be counted again."""
    resend = rows.partition([rows.event("n1")], "later")
    worker = Land(Lake(refused_lake), MemoryLog(resend), catalog_sha256="c", now=rows.now)
    settle(Redrive(Lake(refused_lake), catalog_sha256="c", now=rows.now), "n1", "n2")
    with pytest.raises(Fenced):
        worker.step()
    assert [
        landed.counts.duplicates
        for landed in Land(Lake(refused_lake), MemoryLog(resend), catalog_sha256="c", now=rows.now).run()
    ] == [1]
    stored(refused_lake, entries=6, counted=5)


def test_a_land_worker_between_two_commits_notices_a_redrive(refused_lake: Path) -> None:
    """The redrive comes just after its first commit. The second rests on a version without it, and is refused."""

    def other() -> None:
        settle(Redrive(Lake(refused_lake), catalog_sha256="c", now=rows.now), "n1", "n2")

    store = FaultyStore(LocalStore(refused_lake), 1, other, when="after", counted=commits)
    worker = Land(
        Lake(store), MemoryLog(rows.partition([rows.event("l1"), rows.event("n1")], "later"), batch=1),
        catalog_sha256="c", now=rows.now, commit_entries=1,
    )  # fmt: skip
    with pytest.raises(Fenced, match="another writer has moved redrive/0"):
        list(worker.run())
    assert (
        sum(
            1
            for _ in Land(
                Lake(refused_lake),
                MemoryLog(rows.partition([rows.event("l1"), rows.event("n1")], "later")),
                catalog_sha256="c",
                now=rows.now,
            ).run()
        )
        == 1
    )
    stored(refused_lake, entries=7, counted=6)


def test_a_redrive_that_does_not_know_of_a_land_commit_is_fenced(refused_lake: Path) -> None:
    """The other way round: the worker has counted meanwhile what the redrive would count."""
    late = Redrive(Lake(refused_lake), catalog_sha256="c", now=rows.now)
    assert list(
        Land(
            Lake(refused_lake), MemoryLog(rows.partition([rows.event("n1")], "later")), catalog_sha256="c", now=rows.now
        ).run()
    )
    with pytest.raises(Fenced):
        settle(late, "n1", "n2")
    assert settle(Redrive(Lake(refused_lake), catalog_sha256="c", now=rows.now), "n1", "n2") == ["duplicate", "counted"]
    stored(refused_lake, entries=6, counted=5)


@pytest.mark.sampled(keep=1)
@pytest.mark.parametrize("harm", ["twice", "never refused"])
def test_the_proof_notices_a_letter_that_was_settled_wrongly(refused_lake: Path, harm: str) -> None:
    """Behind the protocol's back: the same letter once more, or a line that was counted all along."""
    worker = Redrive(Lake(refused_lake), catalog_sha256="c", now=rows.now)
    settle(worker, "n1", "n2")
    if harm == "twice":
        again = Redrive(Lake(refused_lake), catalog_sha256="c", now=rows.now)
        settle(again, "n3", "n4")
    else:
        import pyarrow as pa

        worker.settle(fixed_entries("n5").set_column(
            FRESH_EVENTS.get_field_index("position"), "position", pa.array([0], pa.int64())), pa.array(["NOT_JSON"]))  # fmt: skip
        worker.end()
    assert any("redriven" in problem for problem in prove(Lake(refused_lake)).problems)


# What dies.

LINES = [*requests(4), *unnamed(requests(12, T0_MS + DAY_MS, consumer="c-new")), *requests(2, T0_MS + DAY_MS)[:1]]


def run(folder: Path, log: Path) -> None:
    book = catalogs.load(folder / "catalog")
    local_run.run(
        Lake(folder / "lake"),
        book,
        [log],
        format_name="kong",
        source="edge",
        now=rows.now,
        commit_entries=5,
        block_bytes=3000,
    )


def again(folder: Path, store: Store | None = None) -> redriving.Redriven:
    """In several commits, few lines each."""
    book = catalogs.load(folder / "catalog")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "DECODE_LINES", 5)
        return redriving.redrive(
            Lake(store or folder / "lake"),
            book,
            Wanted("edge"),
            redriving.How("kong"),
            now=rows.now,
            commit_entries=1,
        )


@pytest.mark.slow
@pytest.mark.parametrize("step", [pytest.param(writes, marks=long_only), commits])
def test_death_between_any_two_steps_of_a_redrive_costs_nothing(
    tmp_path: Path, step: Callable[[Operation], bool]
) -> None:
    """Before any file and any commit, of events and of every table that follows: the next redrive ends with the same
    lake.
    """
    deaths = 0
    wanted = None
    for call in range(1, 100):
        folder = tmp_path / str(call)
        write_catalog(folder / "catalog")
        (folder / "a.log").write_bytes(b"".join(LINES))
        run(folder, folder / "a.log")
        write_catalog(folder / "catalog", **NEW)
        try:
            again(folder, FaultyStore(LocalStore(folder / "lake"), call, counted=step))
        except Killed:
            deaths += 1
        else:
            break
        again(folder)
        stored(folder / "lake", entries=17, counted=17)
        wanted = wanted or snapshot(folder / "lake")
        assert snapshot(folder / "lake") == wanted, f"death before {step.__name__} {call}"
    assert deaths >= 3


@pytest.mark.sampled(keep=1)
@pytest.mark.parametrize("table", ["events", "redriven", "rollups"])
def test_a_redrive_that_is_killed_after_a_commit_is_completed_by_the_next(here: Here, table: str) -> None:
    """A real process, gone at once behind each table's commit."""
    log = here.log("a.log", *LINES)
    assert here.run(log).code == 0
    write_catalog(here.catalog, **NEW)
    words = [
        "dead",
        "redrive",
        "--catalog",
        str(here.catalog),
        "--lake",
        str(here.lake),
        "--format",
        "kong",
        "--source",
        "edge",
    ]
    died = end_of(process(words, folder=here.folder, code=("-c", KILL_AFTER_COMMIT.replace("TABLE", repr(table)))))
    assert died.code == 9, died.err
    assert redrive(here).code == 0
    assert here.balanced(17)
    assert here.run(log).out == "Nothing new to read.\n"
    proof = here.tollbook("verify", "--lake", here.lake, "--json").json
    assert (proof["counted"], proof["refused"]) == (17, 0)


CONSUMERS = ["c-acme", "c-1", "c-2", "c-3"]


@pytest.mark.slow
@settings(
    max_examples=40 if LONG else 4, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    owners=st.lists(st.sampled_from(CONSUMERS), min_size=6, max_size=20),
    resent=st.lists(st.integers(0, 5), max_size=3),
    fixes=st.lists(
        st.tuples(st.sets(st.sampled_from(CONSUMERS)), st.none() | st.tuples(st.sampled_from([writes, commits]), st.integers(1, 9))),
        min_size=1, max_size=4,
    ),
)  # fmt: skip
def test_whatever_is_fixed_in_any_order_each_line_counts_once(
    tmp_path_factory: pytest.TempPathFactory,
    owners: list[str],
    resent: list[int],
    fixes: list[tuple[set[str], tuple[str, int] | None]],
) -> None:
    """Random catalogs, redrives that die anywhere: the books balance after each, and in the end the lake is that of
    one right reading.
    """
    folder = tmp_path_factory.mktemp("redrive")
    lines = [requests(1, T0_MS + n * MINUTE_MS, consumer=who)[0] for n, who in enumerate(owners)]
    lines = [unnamed([text])[0] if n % 3 == 0 else text for n, text in enumerate(lines)]
    lines += [lines[n] for n in resent if n % 3]
    (folder / "a.log").write_bytes(b"".join(lines))

    def with_keys(keys: set[str]) -> None:
        listed = ", ".join(f"{{kind: consumer, id: {key}}}" for key in sorted(keys)) or "{kind: consumer, id: nobody}"
        write_catalog(folder / "catalog", partners=PARTNERS.replace("{kind: consumer, id: c-acme}", listed))

    with_keys(fixes[0][0])
    run(folder, folder / "a.log")
    known = set(fixes[0][0])
    for keys, death in fixes[1:]:
        with_keys(keys)
        counts, call = death or (commits, 0)
        try:
            again(folder, FaultyStore(LocalStore(folder / "lake"), call, counted=counts))
        except Killed:
            continue
        known |= keys
        refused = {who for who in owners if who not in known}
        proof = prove(Lake(folder / "lake"))
        assert proof.problems == []
        assert proof.totals()["entries"] == len(lines)
        assert (proof.totals()["refused"] == 0) >= (not refused)
    with_keys(set(CONSUMERS))
    again(folder)
    stored(folder / "lake", entries=len(lines), counted=len(owners))
    fixed = snapshot(folder / "lake")
    (folder / "lake").rename(folder / "fixed")
    run(folder, folder / "a.log")
    right = snapshot(folder / "lake")
    assert fixed == right
