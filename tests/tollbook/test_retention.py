"""`tollbook retention`: a month is landed, closed and invoiced; then what was copied from refused lines is erased."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from billing.usage import warehouse
from lake import tables as lake
from lake.lake import Lake
from lake.tables import MARKER
from tests.aggregate.test_retention import files, once
from tests.canaries import openable, seen
from tests.tollbook.fixtures import DAY_MS, T0_MS, Here, ended, process, requests, write_catalog
from tests.tollbook.test_redrive import NEW, became, redrive
from tests.tollbook.test_runs import KILL_AFTER_COMMIT
from tollbook.local_run.active import alone

NOW = "2026-11-05T00:00:00Z"
DAYS = range(0, 30, 5)
OLD = {f"canary-{what}-{day:02}" for day in DAYS if day < 15 for what in ("agent", "path", "id", "key")}
YOUNG = {f"canary-{what}-{day:02}" for day in DAYS if day >= 15 for what in ("agent", "path", "id", "key")}


def refused(day: int) -> bytes:
    """A line with an unknown credential, and with personal data that a gateway logs."""
    (text,) = requests(
        1,
        T0_MS + day * DAY_MS,
        consumer=f"canary-key-{day:02}",
        request__uri=f"/people/canary-path-{day:02}/orders",
        request__id=f"canary-id-{day:02}",
        request__headers={"user-agent": f"canary-agent-{day:02}"},
    )
    return text


@pytest.fixture
def invoiced(here: Here) -> Here:
    """October, in two runs, closed and issued; 6 lines of it were refused."""
    for name, days in (("a.log", DAYS[:4]), ("b.log", DAYS[4:])):
        lines = [line for day in days for line in (*requests(4, T0_MS + day * DAY_MS), refused(day))]
        assert here.tollbook(*here.run_words(here.log(name, *lines)), "--now", "2026-10-31").code == 0
    assert here.close("--accept-refused", "unknown keys").code == 0
    assert here.tollbook("invoice", "issue", "--lake", here.lake, "--period", "2026-10", "--now", NOW).code == 0
    return here


def retention(here: Here, *words: object, days: int = 20) -> dict[str, object]:
    done = here.tollbook("retention", "--lake", here.lake, "--days", days, "--now", NOW, "--json", *words)
    assert (done.code, done.err) == (0, "")
    output: dict[str, object] = done.json
    return output


def canaries(here: Here) -> set[str]:
    return seen(here.lake, OLD | YOUNG)


def test_old_texts_are_gone_and_the_month_stands(invoiced: Here) -> None:
    """The whole promise: 0 of what is too old in any byte of the lake, all of what is not; books, close and invoices
    as they were.
    """
    here = invoiced
    assert canaries(here) == OLD | YOUNG
    documents = files(here.lake / "documents")
    by_reason = here.tollbook("dead", "list", "--lake", here.lake, "--json").json["by_reason"]
    assert retention(here, "--dry-run")["texts"] == 3
    assert canaries(here) == OLD | YOUNG
    assert retention(here) == {
        "dry_run": False, "days": 20, "before": "2026-10-16T00:00:00+00:00", "texts": 3, "kept": 3, "files": 1,
    }  # fmt: skip
    assert canaries(here) == YOUNG
    assert all(openable(here.lake / name) for name in lake.tables.ALL)
    assert here.balanced(30)
    proved = here.tollbook("invoice", "verify", "--lake", here.lake, "--json")
    assert (proved.code, proved.json["ok"]) == (0, True)
    assert files(here.lake / "documents") == documents
    assert here.tollbook("dead", "list", "--lake", here.lake, "--json").json["by_reason"] == by_reason
    closed = here.close("--json")
    assert closed.code == 0, "the close is still the close"
    before = files(here.lake)
    again = here.tollbook("retention", "--lake", here.lake, "--days", 20, "--now", NOW)
    assert again.out == "Nothing to erase: no payload is from before 2026-10-16T00:00Z; 3 are kept.\n"
    assert files(here.lake) == before


def test_list_and_show_say_that_a_text_was_erased_and_by_which_rule(invoiced: Here) -> None:
    """Whoever looks must not take it for a line that was empty."""
    here = invoiced
    retention(here)
    rows = here.tollbook("dead", "list", "--lake", here.lake, "--json").json["entries"]
    assert [(row["erased_by"], bool(row["raw"]), bool(row["detail"]), bool(row["event_id"])) for row in rows] == [
        ("older than 20 days", False, False, False)
    ] * 3 + [(None, True, True, True)] * 3
    assert {row["erased_at"] for row in rows[:3]} == {"2026-11-05T00:00:00+00:00"}
    assert all(row["raw_sha256"] for row in rows)
    marker = "(payload erased at 2026-11-05T00:00Z: older than 20 days)"
    listed = here.tollbook("dead", "list", "--lake", here.lake).out
    assert listed.count(marker) == 3
    assert marker in here.tollbook("dead", "show", rows[0]["letter"], "--lake", here.lake).out
    as_csv = here.tollbook("dead", "list", "--lake", here.lake, "--csv").out
    assert as_csv.count("2026-11-05T00:00:00+00:00,older than 20 days,") == 3


@pytest.mark.slow
def test_a_redrive_takes_an_erased_line_from_its_log_or_says_that_it_cannot(invoiced: Here) -> None:
    """The hash of the line stays: it is counted late, and never from anything but the line itself."""
    here = invoiced
    retention(here)
    log = here.folder / "a.log"
    log.rename(here.folder / "away.log")
    keys = "{kind: consumer, id: canary-key-00}, {kind: consumer, id: canary-key-20}"
    write_catalog(here.catalog, partners=NEW["partners"].replace("{kind: consumer, id: c-new}", keys))
    text = "their payload was erased (older than 20 days) and "
    first = redrive(here, "--json")
    assert first.code == 1
    assert first.complaints == [
        f"3 refused entries were not redriven: {log}: {text}the log was not found; name it at the end of the command"
    ]
    assert became(first)["UNKNOWN_CREDENTIAL", "left"] == 3
    second = redrive(here, here.folder / "away.log", "--json")
    assert second.code == 0
    assert became(second)["UNKNOWN_CREDENTIAL", "counted"] == 1
    assert here.balanced(30)
    assert {row["event_id"] for row in here.table("events") if row["credential"].startswith("canary")} == {
        "canary-id-00", "canary-id-20",
    }  # fmt: skip


@pytest.mark.slow
def test_a_run_that_is_killed_after_its_commit_is_completed_by_the_next(invoiced: Here) -> None:
    """A real process, gone at once behind the commit: the old files are still there, and the log that names them."""
    here = invoiced
    words = ["retention", "--lake", str(here.lake), "--days", "20", "--now", NOW]
    died = ended(process(words, folder=here.folder, code=("-c", KILL_AFTER_COMMIT.replace("TABLE", repr("texts")))))
    assert died.code == 9, died.err
    assert canaries(here) == OLD | YOUNG
    assert retention(here) | {"texts": 0, "files": 1} == retention_output(0, 1)
    assert canaries(here) == YOUNG
    assert here.balanced(30)


def retention_output(texts: int, deleted: int) -> dict[str, object]:
    return {
        "dry_run": False, "days": 20, "before": "2026-10-16T00:00:00+00:00", "texts": texts, "kept": 3, "files": deleted,
    }  # fmt: skip


@pytest.mark.slow
def test_it_works_beside_a_run_that_follows_and_not_beside_another_erasure(invoiced: Here) -> None:
    """A run that follows holds its lock for weeks; two erasures would only get into each other's way."""
    here = invoiced
    with alone(Lake(here.lake)):
        assert retention(here)["texts"] == 3
    with alone(Lake(here.lake), ".retention.lock"):
        second = here.tollbook("retention", "--lake", here.lake, "--days", 20)
    assert second.code == 75
    assert second.complaints == [f"another erasure is active on {here.lake}; repeat the command when it has ended"]


@pytest.mark.slow
def test_a_list_whose_files_go_away_meanwhile_is_read_again(invoiced: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says what is there now, not that the lake is broken."""
    here = invoiced

    def asks_for_letters(_: object, name: str, *__: object) -> bool:
        return name == "dead_letters"

    def erase() -> None:
        words = ["retention", "--lake", str(here.lake), "--days", "20", "--now", NOW]
        assert ended(process(words, folder=here.folder)).code == 0

    monkeypatch.setattr(warehouse.Warehouse, "query", once(erase, asks_for_letters, warehouse.Warehouse.query))
    listed = here.tollbook("dead", "list", "--lake", here.lake, "--json")
    assert listed.code == 0
    assert [row["erased_by"] for row in listed.json["entries"]] == ["older than 20 days"] * 3 + [None] * 3


@pytest.mark.slow
def test_a_lake_that_is_named_by_a_relative_path(invoiced: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its files are told from those that nobody knows by their names, wherever the command stands."""
    monkeypatch.chdir(invoiced.folder)
    invoiced.lake = Path("lake")
    late = ["--now", "2027-01-01", "--days", "77"]  # long after the files were written
    assert invoiced.tollbook("retention", "--lake", "lake", *late).out.startswith("3 payloads erased, ")
    assert canaries(invoiced) == YOUNG
    assert invoiced.balanced(30)


@contextmanager
def marker_of(folder: Path, text: str) -> Iterator[None]:
    whole = (folder / MARKER).read_text()
    (folder / MARKER).write_text(text)
    yield
    (folder / MARKER).write_text(whole)


@pytest.mark.slow
def test_a_lake_from_before_texts_could_be_erased_is_refused_with_what_to_do(invoiced: Here) -> None:
    """It would be read as one without texts, and nothing in it could be erased."""
    with marker_of(invoiced.lake, json.dumps({"format": 1})):
        for words in (["retention", "--days", "9"], ["verify"], ["dead", "list"]):
            done = invoiced.tollbook(*words, "--lake", invoiced.lake)
            assert done.code == 2
            assert "has lake format 1" in done.complaints[0]
            assert "read the logs into a new lake" in done.complaints[0]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--days", "-1"], "--days"),
        (["--days", "40000"], "--days"),
        ([], "--days"),
        (["--days", "9", "--lake", "nowhere"], "is not a Tollbook lake"),
    ],
    ids=["below zero", "beyond a century", "no limit", "no lake"],
)
def test_what_cannot_be_meant_is_refused(here: Here, words: list[str], message: str) -> None:
    """There is no limit by default: how long texts are kept is somebody's decision."""
    given = words if "--lake" in words else [*words, "--lake", here.lake]
    done = here.tollbook("retention", *given)
    assert done.code == 2
    assert message in done.complaints[0]


def test_a_restored_backup_is_erased_again(invoiced: Here) -> None:
    """What was erased since the backup was made is in it; the same command erases it there."""
    here = invoiced
    backup = shutil.copytree(here.lake, here.folder / "backup")
    retention(here)
    shutil.rmtree(here.lake)
    shutil.copytree(backup, here.lake)
    assert canaries(here) == OLD | YOUNG
    assert retention(here)["texts"] == 3
    assert canaries(here) == YOUNG
