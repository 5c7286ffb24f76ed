"""The whole command against an independent ledger, killed at random moments: nothing lost, nothing doubled, to the
cent.
"""

import collections
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.e2e import alert_oracle, alerts_landed, oracle
from tests.e2e.comparison import differences, recorded, rows, tollbook
from tests.long import amount

SEED = int(os.environ.get("ORACLE_SEED", "20261031"))
EVENTS = amount(10_000, 60_000, 1_000_000)
KILLS = amount(3, 6, 100)
NOW = "2026-11-06T00:00:00Z"
QUOTA_LIMIT = EVENTS // 6  # one partner is far over it, one a little, one stays below


def killed_run(command: list[str], lake: Path, rng: random.Random) -> bool:
    """Start a run and kill it while it works; False if it ended by itself first."""

    def files() -> int:
        return sum(len(names) for _, _, names in os.walk(lake))

    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    before = files()
    moment = rng.random() * 0.6
    try:
        while files() == before and process.poll() is None:  # until it writes, then a random moment longer
            wait(process, 0.002)
        wait(process, moment)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode in (0, -signal.SIGKILL), f"exit {process.returncode}"
        return process.returncode != 0
    finally:
        process.kill()
        process.communicate()


def wait(process: subprocess.Popen[bytes], seconds: float) -> None:
    try:
        process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        return


class Landed(NamedTuple):
    """What the runs left behind. `wrong`: where the record of alerts was not as predicted after one of them."""

    ledger: oracle.Ledger
    lake: Path
    folder: Path
    kills: int
    seconds: float
    wrong: list[str]


@pytest.fixture(scope="module")
def landed(tmp_path_factory: pytest.TempPathFactory) -> Landed:
    """The oracle's logs, landed by runs that were killed again and again."""
    folder = tmp_path_factory.mktemp("oracle")
    print(f"seed {SEED}, {EVENTS} events")
    runs = oracle.write(folder / "logs", SEED, EVENTS)
    (folder / "catalog").mkdir()
    (folder / "catalog" / "catalog.yaml").write_text(oracle.catalog(QUOTA_LIMIT))
    lake = folder / "lake"
    rng = random.Random(SEED + 1)
    kills = 0
    wrong = []
    started = time.monotonic()
    for turn, run in enumerate(runs, 1):
        command = [sys.executable, "-m", "tollbook", "run", "--catalog", str(folder / "catalog"), "--lake", str(lake), "--format", run.format_name,
                   "--source", run.source, "--commit-entries", "2000", "--block-bytes", "500000", str(run.path)]  # fmt: skip
        while kills < KILLS * turn // len(runs) and killed_run(command, lake, rng):
            kills += 1
        tollbook(*command[3:])  # to the end, within this process
        due = alert_oracle.due(run.ledger, QUOTA_LIMIT)
        found = alert_oracle.differences(due, alert_oracle.holding(recorded(lake)))
        wrong += [f"after file {turn}: {difference}" for difference in found]
    return Landed(runs[-1].ledger, lake, folder, kills, time.monotonic() - started, wrong)


def test_every_cell_equals_the_ledger_after_many_kills(landed: Landed) -> None:
    """Counted, duplicates, conflicts and rollups per partner and window, refusals per reason: all equal."""
    ledger, lake, kills, seconds = landed.ledger, landed.lake, landed.kills, landed.seconds
    assert kills == KILLS, f"only {kills} kills fell into the work"
    assert differences(ledger, lake) == []
    print(f"{ledger.entries} entries, {kills} kills, {seconds:.0f} s: {sum(ledger.counted.values())} counted")
    proof = json.loads(tollbook("verify", "--lake", lake, "--json"))
    assert proof["ok"]
    assert proof["entries"] == ledger.entries
    assert proof["unexplained"] == 0
    assert {k: proof[k] for k in ("counted", "duplicates", "conflicts", "refused")} == {
        "counted": sum(ledger.counted.values()),
        "duplicates": sum(ledger.duplicates.values()),
        "conflicts": sum(ledger.conflicts.values()),
        "refused": sum(ledger.refused.values()),
    }


def test_alerts_of_every_kind_are_those_predicted_each_told_once(
    landed: Landed,
) -> None:
    """After each file the record holds what the ledger demands, to the request and figure, however often a run died."""
    assert landed.wrong == []
    ledger, lake = landed.ledger, landed.lake
    stated = recorded(lake)
    assert alert_oracle.differences(alert_oracle.due(ledger, QUOTA_LIMIT), alert_oracle.holding(stated)) == []
    assert alert_oracle.repeats(stated) == []
    assert alerts_landed.unfounded(lake, ledger, stated, QUOTA_LIMIT) == []
    kinds = {data["kind"] for data in stated if data["state"] == "fired"}
    assert kinds == alert_oracle.KINDS, "the logs give every kind but lag, which a run that ends has not"
    withdrawn = {data["kind"] for data in stated if data["state"] == "withdrawn"}
    assert "silence" in withdrawn, "lines that come days late show that there was none"
    print(collections.Counter((data["kind"], data["state"]) for data in stated))


@pytest.mark.slow
def test_invoices_equal_the_ledger_to_the_cent_and_come_out_again(
    landed: Landed,
) -> None:
    """Totals from own arithmetic; a second issue changes no byte; verify renders the same bytes."""
    ledger, lake, folder = landed.ledger, landed.lake, landed.folder

    def issue_of(label: str) -> list[str | Path]:
        reason = "keys that the ledger gives to nobody"
        return [
            *("invoice", "issue", "--period", label, "--accept-refused", reason),
            *("--catalog", folder / "catalog", "--lake", lake, "--now", NOW, "--json"),
        ]

    september = json.loads(tollbook(*issue_of("2026-09")))  # months are issued in order
    assert {i["partner_id"]: (i["total"], i["currency"]) for i in september["invoices"]} == ledger.totals(2026, 9)
    issue = issue_of("2026-10")
    first = json.loads(tollbook(*issue))
    assert {i["partner_id"]: (i["total"], i["currency"]) for i in first["invoices"]} == ledger.totals(2026, 10)
    documents = {p.name: p.read_bytes() for p in (lake / "documents").iterdir()}
    again = json.loads(tollbook(*issue))
    assert again["new"] == 0
    assert again["invoices"] == first["invoices"]
    assert {p.name: p.read_bytes() for p in (lake / "documents").iterdir()} == documents
    assert json.loads(tollbook("invoice", "verify", "--lake", lake, "--json"))["ok"]


def test_a_second_run_reads_nothing_again(landed: Landed) -> None:
    """The same files under other names, rotated and packed: nothing is new."""
    lake, folder = landed.lake, landed.folder
    rotated = folder / "rotated"
    shutil.copytree(folder / "logs" / "edge", rotated, dirs_exist_ok=True)
    (rotated / "0.log").rename(rotated / "access.log.7")
    args = ["--catalog", folder / "catalog", "--lake", lake, "--format", "kong", "--source", "edge", "--json"]
    report = json.loads(tollbook("run", *args, rotated))
    assert report["entries"] == 0


def test_no_secret_and_no_address_reaches_the_lake(landed: Landed) -> None:
    """Canaries stand in every Kong line's headers and query; no table holds one, nor a whole address."""
    lake = landed.lake
    for table in ("events", "duplicates", "dead"):
        for (text,) in rows(
            lake, table, "SELECT t::VARCHAR FROM t WHERE contains(t::VARCHAR, 'canary') OR contains(t::VARCHAR, 'hush')"
        ):
            pytest.fail(f"{table}: {text}")
    networks = rows(lake, "events", "SELECT DISTINCT client_network FROM t")
    assert sorted(str(n) for (n,) in networks) == [
        "192.0.2.0/24",
        "198.51.100.0/24",
        "2001:db8:0::/48",
        "203.0.113.0/24",
    ]


@pytest.mark.parametrize("harm", ["lost", "doubled"])
@pytest.mark.slow
def test_the_comparison_bites(landed: Landed, harm: str) -> None:
    """One event too few or too many in the ledger is noticed."""
    ledger, lake = landed.ledger, landed.lake
    cell = next(iter(ledger.counted))
    harmed = oracle.Ledger()
    harmed.__dict__.update({**ledger.__dict__, "counted": collections.Counter(ledger.counted)})
    harmed.counted[cell] += 1 if harm == "lost" else -1
    assert any(str(cell) in line for line in differences(harmed, lake))


@pytest.mark.sampled(keep=0, whole=3)
@pytest.mark.parametrize("kind", sorted(alert_oracle.KINDS))
def test_the_comparison_of_alerts_bites(landed: Landed, kind: str) -> None:
    """An alert of any kind that is lost, told twice, or told before its events is noticed."""
    ledger, lake = landed.ledger, landed.lake
    due, stated = alert_oracle.due(ledger, QUOTA_LIMIT), recorded(lake)
    known = [data for data in stated if alert_oracle.told_of(data)[0] in due.must and data["kind"] == kind]
    alert_id = known[0]["alert_id"]
    lost = [data for data in stated if data["alert_id"] != alert_id]
    assert len(alert_oracle.differences(due, alert_oracle.holding(lost))) == 1
    [first] = [data for data in stated if data["alert_id"] == alert_id and data["state"] == "fired"]
    assert len(alert_oracle.repeats([*stated, first])) == 1
    moved = {**first, "evidence": {**first["evidence"], "requests": 9, "entries": 9}, "events_version": 0}
    assert len(alerts_landed.unfounded(lake, ledger, [moved], QUOTA_LIMIT)) == 1
