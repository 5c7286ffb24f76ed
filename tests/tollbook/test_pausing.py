"""A wrong `--format` ends a run and leaves nothing behind; a source whose log changes is paused, and goes on when it
is told to.
"""

import threading
from pathlib import Path

import pytest

from aggregate.landing.land import Counts
from billing.catalog import loading as catalogs
from ingest.decode.pausing import WINDOW_ENTRIES
from lake.lake import Lake
from tests.aggregate.fixtures import now
from tests.tollbook.fixtures import MINUTE_MS, T0_MS, Here, requests
from tollbook.local_run import run as local_run

GARBAGE = [b"%d: not a log line of any gateway\n" % n for n in range(WINDOW_ENTRIES * 3)]


def run(here: Here, *words: object, format_name: str = "kong") -> tuple[int, Counts, list[str]]:
    """Exit code, what was counted, and the complaints of a run."""
    ended = here.tollbook(*(format_name if word == "kong" else word for word in here.run_words("--json", *words)))
    report = ended.json
    return ended.code, Counts(**{name: report[name] for name in Counts._fields}), ended.complaints


def test_a_wrong_format_ends_the_run_proposes_the_right_one_and_leaves_nothing(here: Here) -> None:
    """The next run with the right one counts every line.

    Before, it reported nothing new, and 3,000 lines were dead letters.
    """
    log = here.log("a.log", *requests(3_000))
    code, counts, complaints = run(here, log, format_name="cloudflare")
    assert (code, counts) == (1, Counts())
    [complaint] = complaints
    assert "source edge is paused: 3,000 of 3,000 entries" in complaint
    assert "--format kong" in complaint
    assert here.table("events") == here.table("dead") == here.table("reads") == []
    assert here.balanced(0)
    assert run(here, log) == (0, Counts(counted=3_000), [])
    assert here.balanced(3_000)


@pytest.mark.slow
@pytest.mark.parametrize("lines", [1, 3, WINDOW_ENTRIES + 1])
def test_a_short_file_is_judged_like_a_long_one(here: Here, lines: int) -> None:
    """It will not grow while the run waits for it."""
    log = here.log("a.log", *requests(lines))
    code, counts, [complaint] = run(here, log, format_name="s3_access")
    assert (code, counts) == (1, Counts())
    assert "NOT_OBJECT" in complaint
    assert run(here, log)[:2] == (0, Counts(counted=lines))


@pytest.mark.slow
def test_what_came_before_is_kept_and_the_rest_is_new_to_the_next_run(here: Here) -> None:
    """A gateway whose log was changed in the middle: the run ends there, at every block size, and goes on there."""
    before, after = requests(1_000), requests(50, T0_MS + 2_000 * MINUTE_MS)
    log = here.log("a.log", *before, *GARBAGE, *after)
    code, counts, [complaint] = run(here, "--block-bytes", 8_192, log)
    assert code == 1
    assert 900 < counts.counted <= 1_000
    assert "NOT_JSON" in complaint
    assert here.balanced(counts.entries)
    again = run(here, "--block-bytes", 8_192, log)
    assert (again[0], again[1]) == (1, Counts())
    code, rest, complaints = run(here, "--accept-form-errors", log)
    assert (code, complaints) == (0, [])
    assert (counts.counted + rest.counted, counts.refused + rest.refused) == (1_050, len(GARBAGE))
    assert here.balanced(1_050 + len(GARBAGE))


def test_the_catalog_says_how_much_a_source_may_be_refused(here: Here) -> None:
    """A log with many lines that are none is not paused where that is known; another source has its own share."""
    (here.catalog / "sources.yaml").write_text("sources:\n  - {id: noisy, max_refused_percent: 80}\n")
    log = here.log("a.log", *requests(100), *GARBAGE)
    assert run(here, log)[0] == 1
    ended = here.run(log, source="noisy")
    assert (ended.code, ended.err) == (0, "")
    assert here.balanced(100 + len(GARBAGE))


def test_unknown_credentials_never_pause_a_source(here: Here) -> None:
    """A thousand calls with credentials nobody knows for one that is the partner's: it is counted, and they are
    refused by name.
    """
    log = here.log("a.log", *requests(1_000, consumer="c-unknown"), *requests(1, T0_MS + 5_000 * MINUTE_MS))
    assert run(here, log) == (0, Counts(counted=1, refused=1_000), [])


@pytest.mark.slow
def test_a_follower_ends_where_its_source_is_paused_and_has_taken_nothing_of_it(here: Here) -> None:
    """The lines before are landed look by look; then it says why, and the next start with the remedy takes the rest."""
    (here.folder / "logs").mkdir()
    log = here.log("logs/a.log", *requests(10))
    book = catalogs.load(here.catalog)
    never = threading.Event()

    def grow(_: local_run.RunReport) -> None:
        with log.open("ab") as file:
            file.writelines(GARBAGE)

    def follow(*, accept: bool) -> local_run.RunReport:
        return local_run.follow(
            Lake(here.lake), book, [str(log.parent)], format_name="kong", source="edge", stop=never, now=now, look_s=0.01,
            accept_form_errors=accept, on_report=(lambda _: never.set()) if accept else grow,
        )  # fmt: skip

    report = follow(accept=False)
    assert report.counts == Counts(counted=10)
    assert report.paused is not None
    assert (Path(report.paused.partition.file), report.paused.refused) == (log, len(GARBAGE))
    assert follow(accept=True).counts == Counts(refused=len(GARBAGE))
    assert here.balanced(10 + len(GARBAGE))
