"""From a filled topic to committed rollups, beside three other consumers on the same broker: `python -m
benchmarks.kafka`.

Writes docs/results/kafka.md. Ours: `tollbook ingest` and `tollbook land`, two processes, durable and exact. Beside
them, none of them durable: a bare consume() loop that only takes the bytes; a loop that parses each line with orjson,
deduplicates in a set and counts in a dict; a plain Faust application that does the same. The answers of all that count
are compared.
"""

import argparse
import json
import os
import pstats
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import duckdb
from confluent_kafka import Producer
from deltalake import DeltaTable

from benchmarks.machine import heading
from schemas.kafka import topics
from tests.kafka.broker import Broker
from tollbook.demo import sample_logs
from tollbook.kafka import loading

ROOT = Path(__file__).parent.parent
RESULT = ROOT / "docs" / "results" / "kafka.md"
LIMIT_S = 600
PROFILE_ROWS = 25
TICK_HZ = os.sysconf("SC_CLK_TCK")
Counts = Counter[tuple[str, int]]


class Measured(NamedTuple):
    """One consumer on one topic: seconds, CPU seconds after its start, and what it counted per partner and window."""

    name: str
    wall_s: float
    cpu_s: float
    counts: Counts | None


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=1_000_000, help="lines in records of 500")
    parser.add_argument("--single", type=int, default=300_000, help="lines in records of their own")
    parser.add_argument("--no-faust", action="store_true")
    parser.add_argument(
        "--profile", metavar="NAME", help="profile our two processes instead; writes docs/results/kafka-profile-NAME.md"
    )
    args = parser.parse_args(argv)
    if args.profile:
        _profile(args)
        return
    out = [heading("From a filled topic to committed rollups", "python -m benchmarks.kafka " + " ".join(sys.argv[1:]))]
    with tempfile.TemporaryDirectory(prefix="tollbook-bench-") as folder, Broker() as broker:
        for per_record, lines in ((500, args.lines), (1, args.single)):
            prefix = f"b{per_record}-"
            create_topics(broker.bootstrap, prefix)
            sent = _fill(broker.bootstrap, prefix, Path(folder) / prefix, lines, per_record)
            rows = [_ours(broker.bootstrap, prefix, Path(folder) / f"{prefix}lake", sent)]
            names = ["bare", "per_event"] + ([] if args.no_faust else ["faust"])
            rows += [peer(name, broker.bootstrap, prefix, sent) for name in names]
            out += ["", f"## {sent:,} lines, {per_record} in a record", "", *_table(rows, sent)]
            print("\n".join(out[-len(rows) - 3 :]), flush=True)
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text("\n".join(out) + "\n")


def _profile(args: argparse.Namespace) -> None:
    title = f"Profile of ingest and land on Kafka, {args.profile}"
    out = [
        heading(title, "python -m benchmarks.kafka " + " ".join(sys.argv[1:])),
        "",
        "CPU seconds per million lines: of the main thread by function, its own time; under a profiler, which makes small calls dearer.",
    ]
    with tempfile.TemporaryDirectory(prefix="tollbook-bench-") as folder, Broker() as broker:
        for per_record, lines in ((500, args.lines), (1, args.single)):
            prefix = f"p{per_record}-"
            create_topics(broker.bootstrap, prefix)
            sent = _fill(broker.bootstrap, prefix, Path(folder) / prefix, lines, per_record)
            _ours(broker.bootstrap, prefix, Path(folder) / f"{prefix}lake", sent, profiles=Path(folder))
            for name in ("ingest", "land"):
                out += [
                    "",
                    f"## {name}, {sent:,} lines, {per_record} in a record",
                    "",
                    *_profiled(Path(folder) / name, sent),
                ]
    (RESULT.parent / f"kafka-profile-{args.profile}.md").write_text("\n".join(out) + "\n")


def _profiled(stats: Path, lines: int) -> list[str]:
    """The dearest functions, and what is left to librdkafka's threads."""
    rows: list[tuple[float, int, str]] = []
    for (file, line, function), (_, calls, own, _, _) in pstats.Stats(str(stats)).stats.items():  # type: ignore[attr-defined]
        where = function if file == "~" else f"{'/'.join(Path(file).parts[-2:])}:{line} {function}"
        rows.append((own, calls, where))
    rows.sort(reverse=True)
    whole, main_thread = float(Path(f"{stats}.cpu").read_text()), sum(own for own, _, _ in rows)
    shown = ["| CPU s per million | calls | function |", "| ---: | ---: | --- |"]
    shown += [f"| {own / lines * 1e6:.3f} | {calls:,} | `{where}` |" for own, calls, where in rows[:PROFILE_ROWS]]
    others = sum(own for own, _, _ in rows[PROFILE_ROWS:])
    shown.append(f"| {others / lines * 1e6:.3f} | | all other functions, start and end included |")
    shown.append(f"| {(whole - main_thread) / lines * 1e6:.3f} | | other threads: librdkafka |")
    shown.append(f"| {whole / lines * 1e6:.3f} | | all |")
    return shown


def _table(rows: Sequence[Measured], lines: int) -> list[str]:
    bare = next(row for row in rows if row.name == "bare")
    truth = rows[0].counts
    shown = [
        "| consumer | lines/s | CPU s per million | CPU / bare | same answer |",
        "| --- | ---: | ---: | ---: | --- |",
    ]
    for row in rows:
        same = "counts nothing" if row.counts is None else "yes" if row.counts == truth else "NO"
        shown.append(
            f"| {row.name} | {lines / row.wall_s:,.0f} | {row.cpu_s / lines * 1e6:.2f} | {row.cpu_s / bare.cpu_s:.1f} | {same} |"
        )
    return shown


def create_topics(bootstrap: str, prefix: str) -> None:
    command = [sys.executable, "-m", "tollbook", "topics", "create", "--bootstrap-servers", bootstrap, "--prefix", prefix, "--replication", "1"]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True)


def _fill(bootstrap: str, prefix: str, folder: Path, lines: int, per_record: int) -> int:
    files = [f.path for f in sample_logs.write_month(folder, requests=lines) if f.source == "rest"]
    producer = Producer({"bootstrap.servers": bootstrap, "compression.type": "lz4", "linger.ms": 20})
    loaded = loading.load(
        producer, prefix + topics.GATEWAY_ACCESS, topics.PARTITIONS, files, format_name="aws_apigw", source="rest", lines_max=per_record, spread=True
    )  # fmt: skip
    return loaded.lines


def _ours(bootstrap: str, prefix: str, lake: Path, lines: int, *, profiles: Path | None = None) -> Measured:
    flags = ["--catalog", str(ROOT / "examples" / "catalog"), "--bootstrap-servers", bootstrap, "--prefix", prefix]
    started = time.monotonic()

    def start(name: str, *more: str) -> Worker:
        run = ["tollbook"] if profiles is None else ["benchmarks.profiled", str(profiles / name)]
        return Worker(name, [sys.executable, "-m", *run, name, *flags, *more])

    workers = [start("ingest"), start("land", "--lake", str(lake))]
    try:
        landed = 0
        while landed < lines:
            line = workers[1].line()
            if line.get("message") == "landed":
                landed += sum(line[name] for name in ("counted", "duplicates", "conflicts", "refused"))
        wall = time.monotonic() - started
        cpu = sum(worker.cpu_s() for worker in workers)
    finally:
        for worker in workers:
            worker.end()
    return Measured("tollbook ingest + land", wall, cpu, _landed(lake))


class Worker:
    """A process whose log is read; CPU is counted from its line `started` on."""

    def __init__(self, name: str, command: list[str]) -> None:
        self.name = name
        self._log = tempfile.TemporaryFile("w+b")  # noqa: SIM115  # closed by `end`
        self._process = subprocess.Popen(command, stderr=self._log)
        self._read = 0
        self._at_start = 0.0
        while self.line().get("message") != "started":
            pass
        self._at_start = _cpu_s(self._process.pid)

    def line(self) -> dict[str, object]:
        deadline = time.monotonic() + LIMIT_S
        while time.monotonic() < deadline:
            self._log.seek(self._read)
            line = self._log.readline()
            if line.endswith(b"\n"):
                self._read += len(line)
                return json.loads(line) if line.startswith(b"{") else {}  # type: ignore[no-any-return]
            if self._process.poll() is not None:
                raise RuntimeError(f"{self.name} ended with {self._process.returncode}")
            time.sleep(0.02)
        raise TimeoutError(self.name)

    def cpu_s(self) -> float:
        return _cpu_s(self._process.pid) - self._at_start

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """The process is stopped, so that it meets everything that is sent meanwhile at once."""
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def end(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(30)
        self._log.close()


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK_HZ


def _landed(lake: Path) -> Counts:
    files = [uri.removeprefix("file://") for uri in DeltaTable(lake / "events").file_uris()]
    con = duckdb.connect()
    con.read_parquet(files).create_view("events")
    query = "SELECT partner_id, epoch_us(occurred_at) // 900000000, count(*) FROM events GROUP BY ALL"
    return Counter({(str(p), int(w)): int(n) for p, w, n in con.execute(query).fetchall()})


def peer(name: str, bootstrap: str, prefix: str, lines: int) -> Measured:
    command = [sys.executable, "-m", "benchmarks.peers", name, bootstrap, prefix + topics.GATEWAY_ACCESS, str(lines)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=True, cwd=ROOT)
    result = json.loads(done.stdout.splitlines()[-1])
    counts = None if result["counts"] is None else Counter({(p, w): n for p, w, n in result["counts"]})
    return Measured(name, result["wall_s"], result["cpu_s"], counts)


if __name__ == "__main__":
    main()
