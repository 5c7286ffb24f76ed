"""Mistakes that the product must not make, made on purpose: the oracle notices each.

Without this its silence would mean nothing.
"""

import contextlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from deltalake import DeltaTable

from aggregate.alerts import ledger
from lake.lake import Lake
from schemas.kafka.topics import GATEWAY_ACCESS, USAGE_ALERTS, USAGE_DEAD, USAGE_EVENTS, USAGE_TOTALS
from tests.conftest import own_prefix
from tests.e2e import alert_oracle, oracle
from tests.e2e.comparison import differences
from tests.e2e.mutants import FAULT, MARKS, MUTANT
from tests.kafka.installation import Installation
from tests.kafka.processes import LogLine, Process
from tests.long import long_only

SEED, EVENTS, PARTITIONS = 20261031, 6000, 4
FAULTY = ("-m", "tests.e2e.mutants")
QUIET_S = 30  # a worker that logs nothing for so long has nothing to do; a start takes 10 s on a busy machine

pytestmark = pytest.mark.slow


class Traffic(NamedTuple):
    """The oracle's traffic, ingested once: each trial lands it in a lake of its own."""

    ledger: oracle.Ledger
    site: Installation
    ends: dict[tuple[str, int], int]


class Outcome(NamedTuple):
    """What a trial came to: where lake and ledger differ, what the product's own proof finds, and codes of ends that
    were not asked for.
    """

    cells: list[str]
    proof: list[str]
    codes: list[int]


@pytest.fixture(scope="module")
def traffic(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Traffic]:
    with own_prefix(kafka) as prefix:
        found = ingested(kafka, prefix, tmp_path_factory.mktemp("mutants"))
        yield found
        found.site.close()


def ingested(bootstrap: str, prefix: str, folder: Path, quota: int = 40_000) -> Traffic:
    """Traffic in topics of its own, in many small messages."""
    ledger, records = oracle.records(SEED, EVENTS, PARTITIONS)
    (folder / "catalog").mkdir()
    (folder / "catalog" / "catalog.yaml").write_text(oracle.catalog(quota, any_time=True))
    site = Installation(bootstrap, prefix, folder, folder / "catalog", partitions=PARTITIONS)
    for record in records:
        site.send(GATEWAY_ACCESS, (record.value, record.headers), partition=record.partition)
    with site.ingest(code=FAULTY, env={FAULT: "little"}) as worker:
        read = 0

        def all_read(line: LogLine) -> bool:
            nonlocal read
            read += line.get("records", 0)
            return read == len(records)

        worker.until(all_read)
        assert worker.stop() == 0
    return Traffic(ledger, site, site.ends(USAGE_EVENTS, USAGE_DEAD))


def land(site: Installation, *, mutant: str, fault: str = "", name: str = "a", marks: Path = Path()) -> Process:
    return site.land(
        "--instance", name, "--session-timeout-ms", "6000", "--commit-entries", "500", code=FAULTY,
        env={MUTANT: mutant, FAULT: fault, MARKS: str(marks)},
    )  # fmt: skip


def reached(traffic: Traffic, short: int = 0) -> bool:
    """Whether the lake is where the topics end, but for `short` messages of each partition."""
    if not DeltaTable.is_deltatable(str(traffic.site.lake / "events")):
        return False
    return all((traffic.site.landed(p, topic) or 0) >= end - short for (topic, p), end in traffic.ends.items())


def trial(traffic: Traffic, folder: Path, mutant: str, fault: str, *, short: int = 0) -> Outcome:
    """Land everything with a mutant to whom a fault happens once; started again like any worker, still a mutant."""
    site = traffic.site
    site.lake = folder / "lake"
    codes = []
    worker = land(site, mutant=mutant, fault=fault, marks=folder / "marks")
    moved, since = 0, time.monotonic()
    while not reached(traffic, short):
        if len(worker.log_lines) != moved:
            moved, since = len(worker.log_lines), time.monotonic()
        if time.monotonic() - since > QUIET_S:
            break  # it thinks that it is done
        with contextlib.suppress(subprocess.TimeoutExpired):
            codes.append(worker.ended(0.2))
            if codes[-1] not in {75, -signal.SIGKILL} or codes.count(75) > 3:
                return outcome(traffic, codes)
            worker = land(site, mutant=mutant, marks=folder / "marks")
    worker.stop()
    return outcome(traffic, codes)


def outcome(traffic: Traffic, codes: list[int]) -> Outcome:
    lake = traffic.site.lake
    done = subprocess.run(
        [sys.executable, "-m", "tollbook", "verify", "--lake", lake, "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    proof = json.loads(done.stdout)
    problems = [p for check in proof["checks"] for p in check["problems"]]
    if proof["commits_on_the_way"]:  # it died between its commit and the derived tables
        problems.append(f"{proof['commits_on_the_way']} commits are in no books yet, and nothing moves")
    if proof["on_the_way"]:
        problems.append(f"{proof['on_the_way']} entries are on their way, and nothing moves")
    return Outcome(differences(traffic.ledger, lake), problems, codes)


@pytest.mark.parametrize("fault", ["die@3", pytest.param("", marks=long_only), pytest.param("fail@3", marks=long_only)])
def test_a_sound_worker_passes_with_every_fault(traffic: Traffic, tmp_path: Path, fault: str) -> None:
    """What a mutant fails is failed because of its mistake, not of the fault."""
    found = trial(traffic, tmp_path, "", fault)
    assert (found.cells, found.proof) == ([], [])
    assert found.codes == {"": [], "die@3": [-signal.SIGKILL], "fail@3": [75]}[fault]


@pytest.mark.parametrize(
    ("mutant", "fault"),
    [
        pytest.param("M1,bare", "die@3", id="M1 Kafka's offsets are the truth, and first", marks=long_only),
        pytest.param("M2", "", id="M2 no dedup"),
        pytest.param("M3", "die@3", id="M3 marked as seen before it is written", marks=long_only),
        pytest.param("M4+,bare", "die@3", id="M4 the next offset is one too far", marks=long_only),
        pytest.param("M4-,bare", "die@3", id="M4 the next offset is one too near", marks=long_only),
        pytest.param("M9,bare", "fail@3", id="M9 on after an exception", marks=long_only),
    ],
)
def test_the_ledger_notices(traffic: Traffic, tmp_path: Path, mutant: str, fault: str) -> None:
    """Each is a mistake that loses or doubles usage, and shows in the cells of the oracle."""
    found = trial(traffic, tmp_path, mutant, fault, short=1 if "M4-" in mutant else 0)
    print(f"{mutant}: {len(found.cells)} cells, {len(found.proof)} problems, ends {found.codes}")
    assert found.cells


@long_only
@pytest.mark.parametrize(
    ("mutant", "fault"), [("M1", "die@3"), ("M2", ""), ("M4+", "die@3"), ("M4-", "die@3"), ("M9", "fail@3")]
)
def test_the_product_notices_by_itself(traffic: Traffic, tmp_path: Path, mutant: str, fault: str) -> None:
    """Nobody has a ledger of what was sent.

    The books, and the guard of coverage, must do: a halt, or a proof that fails.
    """
    found = trial(traffic, tmp_path, mutant, fault, short=1 if "M4-" in mutant else 0)
    print(f"{mutant}: {found.proof[:2]}, ends {found.codes}")
    assert 2 in found.codes or found.proof


@pytest.mark.parametrize(
    "mutant", [pytest.param("", id="sound", marks=long_only), pytest.param("M8", id="M8 a fresh handle")]
)
def test_a_zombie_with_a_fresh_handle_is_noticed(traffic: Traffic, tmp_path: Path, mutant: str) -> None:
    """Stopped before its commit, woken when another has landed everything: a fresh handle lets it count all that
    again.
    """
    site = traffic.site
    site.lake = tmp_path / "lake"
    sleeper = land(site, mutant=mutant, fault="sleep@2")
    sleeper.until_logged("landed")
    with land(site, mutant="", name="b") as other:
        while not reached(traffic):
            with pytest.raises(subprocess.TimeoutExpired):
                other.ended(0.2)
        sleeper.signal(signal.SIGCONT)
        if mutant:
            sleeper.until(lambda line: line["message"] == "landed" and line["version"] > 2)
            sleeper.kill()
            assert other.stop() in {0, 75}  # when it looks before it ends, it notices whose partition moved
        else:
            assert sleeper.ended() == 75
            assert other.stop() == 0
    found = outcome(traffic, [])
    assert bool(found.cells) == bool(mutant)
    assert bool(found.proof) == bool(mutant)


@long_only
@pytest.mark.parametrize("mutant", [pytest.param("", id="sound"), pytest.param("M11", id="M11 alerts in memory alone")])
def test_alerts_that_are_forgotten_are_noticed(kafka: str, kafka_prefix: str, tmp_path: Path, mutant: str) -> None:
    """A quota worker that is started again when all is quiet says nothing a second time, however usage goes on."""
    traffic = ingested(kafka, kafka_prefix, tmp_path, quota=1000)
    site = traffic.site
    try:
        lander = land(site, mutant="", fault="sleep@6")
        with site.quota("--instance", "q", code=FAULTY, env={MUTANT: mutant}) as worker:
            while not lander.is_asleep:
                with pytest.raises(subprocess.TimeoutExpired):
                    lander.ended(0.2)
            before = quiet(worker, site)
            assert before
            assert worker.stop() == 0
        with site.quota("--instance", "q", code=FAULTY, env={MUTANT: mutant}) as worker:
            lander.signal(signal.SIGCONT)
            while not reached(traffic):
                with pytest.raises(subprocess.TimeoutExpired):
                    lander.ended(0.2)
            after = quiet(worker, site)
        alerts = site.values(USAGE_ALERTS)
    finally:
        site.close()
    assert after > before
    sent = [json.loads(value) for value in alerts]
    assert len(sent) == after
    fired = [event["data"] for event in sent if event["data"]["state"] == "fired"]
    ids = [data["alert_id"] for data in fired]
    print(f"{mutant or 'sound'}: {len(ids)} alerts fired, {len(set(ids))} different ones")
    assert (len(ids) > len(set(ids))) == bool(mutant)
    assert bool(alert_oracle.repeats([event["data"] for event in sent])) == bool(mutant)
    expected = sum(kind == "quota" for kind, *_ in alert_oracle.due(traffic.ledger, 1000).must)
    assert len({data["alert_id"] for data in fired if data["kind"] == "quota"}) == expected


def quiet(worker: Process, site: Installation) -> int:
    """Wait until the quota worker has taken all totals; how many alerts there are then."""

    def behind() -> int:
        return sum(
            end - site.committed("tollbook-quota", USAGE_TOTALS, p) for (_, p), end in site.ends(USAGE_TOTALS).items()
        )

    def unsent() -> int:
        return len(ledger.history(Lake(site.lake))) - sum(site.ends(USAGE_ALERTS).values())

    while behind() or unsent():
        with pytest.raises(subprocess.TimeoutExpired):
            worker.ended(0.2)
    return sum(site.ends(USAGE_ALERTS).values())
