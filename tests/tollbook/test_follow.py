"""`tollbook run --follow`: a log is read while it grows and is rotated; killed at any moment, nothing is lost and
nothing doubled.
"""

import json
import random
import signal
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest

from billing.catalog import loading as catalogs
from lake.lake import Lake
from schemas.alerts import Kind, State
from tests.aggregate.fixtures import now
from tests.long import amount, long_only
from tests.tollbook.fixtures import (
    DAY_MS,
    MINUTE_MS,
    T0_MS,
    Here,
    ended,
    ended_with_block,
    process,
    requests,
    write_catalog,
)
from tests.tollbook.gateway import Gateway
from tollbook.local_run import run
from tollbook.local_run.run import NoFiles, RunReport

SEED = 20261031


class Script:
    """Stands for the clock: where the follower would wait, the next thing happens; after the last one it is told to
    stop.
    """

    def __init__(self, *steps: Callable[[], object]) -> None:
        self._steps = iter(steps)
        self._over = False

    def is_set(self) -> bool:
        return self._over

    def wait(self, timeout: float) -> bool:
        assert timeout == 7
        step = next(self._steps, None)
        if step is None:
            self._over = True
        else:
            step()
        return self._over


def follow(
    here: Here, *names: object, steps: list[Callable[[], object]], clock: Callable[[], datetime] = now
) -> list[RunReport]:
    """What each look found, and the sum of all."""
    looks: list[RunReport] = []
    total = run.follow(
        Lake(here.lake), catalogs.load(here.catalog), [str(name) for name in names], format_name="kong", source="edge",
        stop=Script(*steps), now=clock, look_s=7, on_report=looks.append,
    )  # fmt: skip
    return [*looks, total]


def test_each_look_reads_what_is_new_and_alerts_come_at_once(here: Here) -> None:
    """Growth, a look without anything new, a new file in the folder, and the same file in the end as in one run."""
    log = here.log("logs/a.log", *requests(60))
    looks = follow(
        here, log.parent,
        steps=[
            lambda: here.log("logs/a.log", *requests(70)),
            lambda: None,
            lambda: here.log("logs/deep/b.log", *requests(30, T0_MS + DAY_MS)),
        ],
    )  # fmt: skip
    assert [look.counts.counted for look in looks] == [60, 10, 30, 100]
    reached = [
        [s.alert.key["threshold_percent"] for s in look.alerts if s.alert.kind is Kind.QUOTA] for look in looks[:3]
    ]
    assert reached == [["50"], [], ["80", "90", "100"]]
    assert here.balanced(100)
    assert here.run(log.parent).out == "Nothing new to read.\n"


def test_a_source_that_stands_still_is_an_alert_until_it_has_caught_up(here: Here) -> None:
    """Nothing new is read, and the clock goes on. A run that ends says nothing about it."""
    end = datetime.fromtimestamp(T0_MS // 1000, UTC) + timedelta(days=1)
    clock = [end + timedelta(minutes=5)]
    day = requests(96, step_ms=15 * MINUTE_MS)
    log = here.log("a.log", *day)
    looks = follow(
        here, log, clock=lambda: clock[0],
        steps=[
            lambda: clock.append(clock.pop() + timedelta(minutes=25)),
            lambda: clock.append(clock.pop() + timedelta(minutes=1)),
            lambda: clock.append(clock.pop() + timedelta(hours=1)),
            lambda: here.log("a.log", *day, *requests(1, T0_MS + DAY_MS + 85 * MINUTE_MS)),
        ],
    )  # fmt: skip
    told = [[(s.state, s.alert.at, s.alert.ends_at) for s in look.alerts if s.alert.kind is Kind.LAG] for look in looks[:-1]]  # fmt: skip
    until = end + timedelta(minutes=90)
    assert told == [[], [(State.FIRED, end, None)], [(State.RESTATED, end, until)]]
    assert here.run(log).out == "Nothing new to read.\n"


@pytest.mark.slow
def test_a_file_that_was_named_is_read_on_in_its_rotated_copy_also_after_a_death(here: Here) -> None:
    """Lines that were written between the last look and the rotation stand in a file that nobody named."""
    log = here.log("access.log", *requests(5))
    unnamed = here.log("access.log.old", *requests(3, T0_MS + 9 * DAY_MS))
    assert follow(here, log, steps=[])[-1].counts.counted == 5
    with log.open("ab") as file:
        file.writelines(requests(4, T0_MS + 10 * MINUTE_MS))
    log.rename(here.folder / "access.log.1")
    here.log("access.log", *requests(2, T0_MS + DAY_MS))
    assert follow(here, log, steps=[])[-1].counts.counted == 6
    assert here.balanced(11)
    assert unnamed.exists(), "a file that was never named, and is no known log, is not read"


@pytest.mark.slow
def test_a_file_that_was_named_is_read_on_where_it_was_moved_to(here: Here) -> None:
    """An archive is not looked into. What was written after the last look went there with the file."""
    log = here.log("access.log", *requests(5))
    archive = here.log("archive/2026-10-01.log")

    def moved() -> None:
        with log.open("ab") as file:
            file.writelines(requests(4, T0_MS + 10 * MINUTE_MS))
        log.rename(archive)
        here.log("access.log", *requests(2, T0_MS + DAY_MS))

    assert [look.counts.counted for look in follow(here, log, steps=[moved])] == [5, 6, 11]
    assert here.balanced(11)


def test_between_two_names_there_may_be_no_file_and_at_the_start_there_must_be_one(here: Here) -> None:
    """Rotation renames before it makes the new file.

    A mistyped path, though, must not be waited for until the month is over.
    """
    log = here.log("access.log", *requests(5))
    packed = here.folder / "access.log.1"
    looks = follow(
        here, log, steps=[lambda: log.rename(packed), lambda: here.log("access.log", *requests(2, T0_MS + DAY_MS))]
    )
    assert [look.counts.counted for look in looks] == [5, 2, 7]
    with pytest.raises(NoFiles):
        follow(here, here.folder / "acess.log", steps=[])


@pytest.mark.slow
def test_a_half_line_that_was_packed_is_refused_and_can_be_counted_as_it_stands(here: Here) -> None:
    """Nobody guesses; a person may."""
    write_catalog(here.catalog, sources="sources: [{id: edge, trust_user: true}]\n")
    cut = requests(3)
    log = here.log(
        "access.log", *cut[:2], b'203.0.113.9 - c-acme [01/Oct/2026:00:02:00 +0000] "GET /v1 HTTP/1.1" 200 12'
    )
    assert here.run(log).out.startswith("2 entries: 2 counted")
    subprocess.run(["gzip", log], check=True)
    packed = log.with_name("access.log.gz")
    assert here.run(packed).out.startswith("1 entries: 0 counted, 0 duplicates, 0 conflicts, 1 refused")
    [letter] = here.tollbook("dead", "list", "--lake", here.lake, "--json").json["entries"]
    assert (letter["reason"], letter["detail"]) == (
        "PARTIAL_LINE",
        "the log is at rest and ends inside a line, after 75 bytes of it",
    )
    words = ["dead", "redrive", "--catalog", here.catalog, "--lake", here.lake, "--format", "kong", "--source", "edge"]
    assert here.tollbook(*words).code == 1
    assert here.tollbook(*words, "--final").code == 0
    assert here.balanced(3)
    assert here.table("events", "SELECT max(response_bytes) FILTER (WHERE response_bytes < 100) AS b FROM t") == [
        {"b": 12}
    ]


def test_follow_and_final_contradict_each_other(here: Here) -> None:
    """One waits for the rest of a line, the other does not."""
    refused = here.tollbook(*here.run_words(here.log("a.log", *requests(1))), "--follow", "--final")
    assert refused.code == 2
    assert "contradict each other" in refused.complaints[0]


def started(here: Here, *files: object, look_s: str = "0.05") -> subprocess.Popen[str]:
    return process([*here.run_words(*files), "--follow", "--look-s", look_s, "--json"], folder=here.folder)


def found_entries(running: subprocess.Popen[str]) -> Iterator[int]:
    """How many entries each look found, as they are told."""
    assert running.stdout is not None
    for line in running.stdout:
        yield json.loads(line)["entries"]


@pytest.mark.slow
@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_asked_to_end_it_ends_and_a_second_one_beside_it_is_refused(here: Here, stop: signal.Signals) -> None:
    """A supervisor's stop is no failure; and a scheduler's run beside a follower says so."""
    log = here.log("a.log", *requests(10))
    with ended_with_block(started(here, log)) as running:
        assert next(found_entries(running)) == 10
        assert here.run(log).code == 75
        with log.open("ab") as file:
            file.writelines(requests(3, T0_MS + DAY_MS))
        assert next(found_entries(running)) == 3
        running.send_signal(stop)
        done = ended(running)
    assert (done.code, done.err) == (0, "")
    assert here.balanced(13)


@pytest.mark.parametrize("by_name", [False, pytest.param(True, marks=long_only)], ids=["a folder", "one name"])
def test_killed_while_it_follows_a_log_that_is_rotated_nothing_is_lost_and_nothing_doubled(
    here: Here, by_name: bool
) -> None:
    """SIGKILL at random moments, between growth, half lines, renames, copies that are cut, and packing."""
    rng, runs = random.Random(SEED + by_name), amount(2, 8)
    print(f"seed {SEED + by_name}")
    gateway = Gateway(here.folder / "logs", rng)
    gateway.write(20)
    where = gateway.path if by_name else gateway.folder
    kills = 0
    for _ in range(runs):
        with ended_with_block(started(here, where)) as running:
            found = found_entries(running)
            for _ in range(rng.randrange(1, 4)):
                gateway.write(rng.randrange(2, 200))  # at least one of them is whole
                assert next(found) > 0
                if rng.random() < 0.7:
                    gateway.rotate()  # the lines above were read from this log, so it is known under any name
            gateway.write(rng.randrange(2, 400))
            try:
                running.wait(timeout=rng.random() * 0.4)
            except subprocess.TimeoutExpired:
                running.kill()
                kills += 1
            assert running.wait() == -signal.SIGKILL, running.communicate()
    gateway.end_line()
    follow(here, where, steps=[])
    assert kills == runs
    assert here.balanced(gateway.lines)
    proof = here.tollbook("verify", "--lake", here.lake, "--json").json
    assert (proof["counted"], proof["duplicates"], proof["refused"]) == (gateway.lines, 0, 0)


def test_files_that_are_there_already_come_before_those_that_appear(here: Here) -> None:
    """The first of two entries that contradict each other is the one of the older log."""
    older = here.log("logs/z.log", *requests(1))
    looks = follow(here, older.parent, steps=[lambda: here.log("logs/a.log", *requests(1, response__status=404))])
    assert looks[-1].counts._asdict() == {"counted": 1, "duplicates": 0, "conflicts": 1, "refused": 0}
    assert [row["status"] for row in here.table("events")] == [200]
