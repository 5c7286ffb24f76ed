"""A run is safe to repeat, to interrupt, to kill, to start twice, and to run into a full disk."""

import gzip
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tollbook.fixtures import AFTER_OCTOBER, MINUTE_MS, T0_MS, Here, ended, process, requests, until

NOTHING_NEW = "Nothing new to read.\n"
SMALL_STEPS = ["--commit-entries", "200", "--block-bytes", "20000"]
KILL_AFTER_COMMIT = """
import os
from lake import tables
from tollbook.__main__ import main

real = tables.commit

def commit(table, shape, *args, **kwargs):
    done = real(table, shape, *args, **kwargs)
    if shape.name == TABLE:
        os._exit(9)
    return done

tables.commit = commit
main()
"""


def first_commit(here: Here) -> Path:
    return here.lake / "events" / "_delta_log" / f"{1:020d}.json"


def test_a_second_run_reads_nothing_and_a_grown_file_is_read_from_where_it_ended(here: Here) -> None:
    """The scheduler repeats the same command every few minutes, over files that grow."""
    log = here.log("a.log", *requests(20))
    assert here.run(log).out.startswith("20 entries: 20 counted")
    assert here.run(log).out == NOTHING_NEW
    with log.open("ab") as file:
        file.writelines(requests(5, T0_MS + 60 * MINUTE_MS))
    assert here.run(log).out.startswith("5 entries: 5 counted")
    assert here.run(log).out == NOTHING_NEW
    assert here.balanced(25)


def test_a_renamed_and_packed_file_is_known(here: Here) -> None:
    """Log rotation renames and compresses; what was read is not read again under its new name."""
    log = here.log("access.log", *requests(20))
    assert here.run(log).code == 0
    packed = here.log("access.log.1.gz", gzip.compress(log.read_bytes()))
    log.unlink()
    assert here.run(packed).out == NOTHING_NEW
    assert here.balanced(20)


def test_the_same_file_by_several_names_is_read_once(here: Here) -> None:
    """A glob, a folder and a path may name one file thrice."""
    log = here.log("logs/a.log", *requests(20))
    ended_ = here.run(log.parent, f"{log.parent}/*.log", log)
    assert ended_.out.startswith("20 entries: 20 counted, 0 duplicates")


@pytest.mark.slow
def test_two_runs_at_once_the_second_says_so_and_the_first_is_not_disturbed(here: Here) -> None:
    """Two schedulers, or one whose last run takes longer than its interval."""
    log = here.log("a.log", *requests(1000, step_ms=1000))
    first = process([*here.run_words(log), *SMALL_STEPS], folder=here.folder)
    until(first, first_commit(here))
    first.send_signal(signal.SIGSTOP)
    try:
        second = here.run(log)
    finally:
        first.send_signal(signal.SIGCONT)
    assert second.code == 75
    [complaint] = second.complaints
    assert re.search(r"another run is active on .*lake; repeat the command when it has ended", complaint)
    assert ended(first).code == 0
    assert here.run(log).out == NOTHING_NEW
    assert here.balanced(1000)


@pytest.mark.sampled(keep=1)
@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_run_says_so_and_the_next_goes_on(here: Here, stop: signal.Signals) -> None:
    """Ctrl-C and the stop of a service: 75, one line, no traceback, and nothing lost or doubled."""
    log = here.log("a.log", *requests(1000, step_ms=1000))
    running = process([*here.run_words(log), *SMALL_STEPS], folder=here.folder)
    until(running, first_commit(here))
    running.send_signal(stop)
    stopped = ended(running)
    assert stopped.complaints == [
        "interrupted; committed data is kept. Repeat the command: it continues where it stopped"
    ]
    assert stopped.code == 75
    again = here.run(log)
    assert again.code == 0
    assert again.out != NOTHING_NEW, "the run was over before it was stopped"
    assert here.balanced(1000)


@pytest.mark.slow
@pytest.mark.parametrize("table", ["events", "reads"])
def test_a_file_that_grew_after_a_run_died_is_known_again(here: Here, table: str) -> None:
    """A short file is known by all its bytes.

    If the run that first read it died before its tables had followed, the grown file must not pass for another: its
    lines would get other ids, and be billed twice.
    """
    lines = [re.sub(rb'"id": "id-\d+", ', b"", line) for line in requests(40)]
    log = here.log("a.log", *lines[:3])
    died = ended(
        process(here.run_words(log), folder=here.folder, code=("-c", KILL_AFTER_COMMIT.replace("TABLE", repr(table))))
    )
    assert died.code == 9, died.err
    log.write_bytes(b"".join(lines))
    assert here.run(log).out.startswith("37 entries: 37 counted")
    assert here.balanced(40)
    assert len({row["event_id"] for row in here.table("events")}) == 40


@pytest.fixture
def small_disk(here: Here) -> Iterator[Path]:
    """A file system of its own for the lake, which is soon full."""
    disk = here.folder / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"this user may not mount a small disk: {mounted.stderr.strip()}")
    yield disk
    subprocess.run(["umount", "--lazy", disk], check=True)


def resize(disk: Path, kilobytes: int) -> None:
    subprocess.run(["mount", "-o", f"remount,size={kilobytes}k", disk], check=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    "kilobytes",
    [
        pytest.param(16, id="while the lake is made"),
        *(pytest.param(k, id=f"after {k} kB") for k in (90, 150)),
    ],
)
def test_a_full_disk_ends_the_run_and_with_more_space_it_goes_on(here: Here, small_disk: Path, kilobytes: int) -> None:
    """Wherever the disk is full: what was committed stays, the rest comes with the next run, and the books balance."""
    here.lake = small_disk / "lake"
    log = here.log("a.log", *requests(1000, step_ms=1000))
    resize(small_disk, kilobytes)
    full = here.tollbook(*here.run_words(log), *SMALL_STEPS)
    assert full.code == 75
    [complaint] = full.complaints
    assert "No space left on device" in complaint
    assert re.search(r"free or repair (it|the disk), then repeat the command", complaint)
    resize(small_disk, 50_000)
    again = here.tollbook(*here.run_words(log), *SMALL_STEPS)
    assert again.code == 0
    assert here.balanced(1000)


@pytest.mark.slow
def test_a_file_that_may_not_grow_ends_the_run_and_without_the_limit_it_goes_on(here: Here) -> None:
    """A quota on file sizes stops a write as a full disk does, and needs no disk of its own to be shown."""
    log = here.log("a.log", *requests(1000, step_ms=1000))
    assert here.run(here.log("b.log", *requests(1, T0_MS + 60 * MINUTE_MS))).code == 0
    limited = ("sh", "-c", 'ulimit -f 8; exec "$@"', "sh")
    failed = ended(process(here.run_words(log), folder=here.folder, prefix=limited))
    [complaint] = failed.complaints
    assert re.search(r"File too large; free or repair it, then repeat the command", complaint)
    assert failed.code == 75
    assert here.balanced(1)
    assert here.run(log).out.startswith("1,000 entries: 1,000 counted")
    assert here.balanced(1001)


@pytest.mark.slow
@pytest.mark.parametrize("asked", [[], ["--help"]], ids=["table", "help"])
def test_a_reader_that_goes_away_ends_the_command_quietly(here: Here, asked: list[str]) -> None:
    """`tollbook … | head -1`: no traceback, and the exit code that a shell knows for it."""
    assert here.run(here.log("a.log", *requests(3))).code == 0
    words = ["usage", "acme", "--catalog", str(here.catalog), "--lake", str(here.lake), "--period", "2026-10", *asked]
    running = process(words, folder=here.folder)
    assert running.stdout is not None
    running.stdout.close()
    assert running.stderr is not None
    assert running.stderr.read() == ""
    running.stderr.close()
    assert running.wait(timeout=60) == 141


@pytest.mark.slow
@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_nothing_to_write_to_is_no_fault(here: Here, closed: str) -> None:
    """A supervisor may start a process so. The next file that it opened would be its output."""
    log = here.log("a.log", *requests(1000))
    done = ended(process(here.run_words(log), folder=here.folder, prefix=("sh", "-c", f'exec "$@" {closed}', "sh")))
    assert (done.code, done.complaints) == (0, [])
    assert here.balanced(1000)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["my lake", "100%", "lake#1?", "lake[1]*", "Überlauf 🐫", "it's"])
def test_a_lake_may_be_called_anything(here: Here, name: str) -> None:
    """Folders are named by people; between us and the files lie URIs and glob patterns, which read some characters
    otherwise.
    """
    here.lake = here.folder / name / "lake"
    log = here.log(f"{name}/a.log", *requests(60))
    assert here.run(log).out.startswith("60 entries: 60 counted")
    assert here.run(log).out == NOTHING_NEW
    assert here.balanced(60)
    assert here.close().code == 0
    issued = here.tollbook("invoice", "issue", "--lake", here.lake, "--period", "2026-10", "--now", AFTER_OCTOBER)
    assert (issued.code, issued.err) == (0, "")
    assert here.tollbook("invoice", "verify", "--lake", here.lake).code == 0
