"""docs/results/faults-kafka.md: what the long run came to."""

import datetime as dt
import os
import platform
import re
from importlib.metadata import version
from pathlib import Path

from tests.e2e import alert_oracle, oracle
from tests.e2e.comparison import differences
from tests.e2e.fleet import Fleet
from tests.kafka.jars import HERE

PAGE = Path(__file__).parent.parent.parent / "docs" / "results" / "faults-kafka.md"
LIBRARIES = ("confluent-kafka", "deltalake", "duckdb", "faust-streaming", "pyarrow")


def write(seed: int, ledger: oracle.Ledger, fleet: Fleet, seconds: float, quota: int) -> None:
    """Called when every comparison has held."""
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    found = re.search(r"<artifactId>kafka_2.13</artifactId>\s*<version>([\d.]+)", (HERE / "pom.xml").read_text())
    kafka = found[1] if found else "unknown"
    libraries = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    kills = sum(fleet.kills.values())
    rows = {
        "entries sent": ledger.entries,
        "counted": sum(ledger.counted.values()),
        "duplicates": sum(ledger.duplicates.values()),
        "conflicts": sum(ledger.conflicts.values()),
        "refused": sum(ledger.refused.values()),
        "cells compared (partner and window)": len(ledger.counted) + len(ledger.duplicates) + len(ledger.conflicts),
        "cells that differ": len(differences(ledger, fleet.lake)),
        "invoices compared": len(oracle.PARTNERS),
        "alerts predicted and received, of ten kinds": len(alert_oracle.due(ledger, quota).must),
        "workers killed (SIGKILL)": kills,
        "of these with work at hand": fleet.kills_at_work,
        "brokers killed and started again": fleet.broker_kills,
        "land workers stopped past their session, woken and fenced": fleet.logged(
            "another worker owns this worker's partitions"
        ),
        "ends that workers asked for themselves (75)": sum(n for (_, code), n in fleet.exits.items() if code == 75),
        "ends by any other code": sum(n for (_, code), n in fleet.exits.items() if code != 75),
        "times the offsets of both groups were reset, or the groups deleted": fleet.resets,
        "entries sent again by ingest, and known": fleet.totals("landed", "redelivered"),
        "commits": fleet.commits(),
        "seconds under fire": round(seconds),
    }
    table = "\n".join(f"| {name} | {value:,} |" for name, value in rows.items())
    text = f"""# Faults on Kafka

- {dt.datetime.now(dt.UTC):%Y-%m-%d}, Tollbook {version("tollbook")}, Python {platform.python_version()}, Kafka {kafka}, {libraries}
- {os.cpu_count()} cores ({platform.machine()}), {memory_gib:.0f} GiB, {platform.system()}
- `make faults` with seed {seed} (`ORACLE_SEED`)

Two ingest and two land workers and one for quotas, on one broker. Entries come in records of 1 to 200 lines from three sources in
two formats; 3 % are sent twice, half of those to another partition; 1 % are late, 0.5 % are broken, 0.05 % contradict another.
Meanwhile workers and the broker are killed, one ingest and one land worker sleep past their sessions, and the offsets of both
groups are set to zero; at the end the groups are deleted and everything is read again. A ledger that shares no code with Tollbook
says what must come out: counted, duplicates, conflicts and refusals of each partner and window, invoices to the cent, and every alert
with its time, end and figures. Each statement about an alert is also compared with the events that were in the lake when it was made.

| what | number |
| --- | ---: |
{table}

No failure in {kills} kills bounds the rate of failures per kill at {300 / kills:.1f} %, with 95 % confidence.

## Mistakes on purpose

That the ledger notices what it must is shown by `tests/e2e/test_mutants.py`, which `make faults` runs as well. A sound worker passes
with every fault, and each mistake must be noticed.

| mistake | noticed by |
| --- | --- |
| M1: Kafka's offsets are committed before the lake, and are the truth | cells; a halt or the proof |
| M2: no dedup | cells; a halt or the proof |
| M3: events are marked as seen before they are written | cells |
| M4: the next offset is one too far, or one too near | cells; a halt or the proof |
| M8: a worker that slept past its session opens the table anew | cells and the proof |
| M9: the loop goes on after an exception | cells; a halt or the proof |
| M11: what has fired is known in memory alone | alerts that fire twice |
"""
    PAGE.write_text(text)
