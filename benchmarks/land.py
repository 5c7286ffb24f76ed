"""Log files to committed lake, beside the bare DuckDB decode of the same lines on the same cores: `python -m
benchmarks.land`.

Writes docs/results/land.md. Whole: `tollbook run` as a process of its own. Bare: DuckDB alone parses the same lines and
takes the same fields out of the JSON into Arrow, nothing more: no newline is looked for, nothing is attributed, counted
or kept. The parts are measured on one thread in this process; they do not sum to the whole, which also starts, syncs
and waits.
"""

import argparse
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import duckdb
import pyarrow as pa

from aggregate import engine
from aggregate.landing import dedup
from aggregate.landing.dedup import DedupIndex
from benchmarks.machine import heading
from billing.catalog import loading as catalogs
from ingest.attribution.catalog_rules import attribution, source_rules
from ingest.decode import fields
from ingest.decode.framing import Lines
from ingest.decode.pipeline import Decoder
from ingest.files.block_reader import frames
from lake import duck
from lake.lake import Lake
from schemas.tables import EVENTS
from tollbook.demo import sample_logs

_ROUNDS = 5
_REPEATS = 6
CATALOG = Path(__file__).parent.parent / "examples" / "catalog"
RESULT = Path(__file__).parent.parent / "docs" / "results" / "land.md"


class Took(NamedTuple):
    """Seconds of wall and CPU, and the peak of memory, looked at twenty times a second."""

    wall_s: float
    cpu_s: float
    peak_mib: int


class Sample(NamedTuple):
    """Logs of one format."""

    format: str
    source: str
    files: list[Path]
    lines: int


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=1_000_000, help="lines of the sample")
    parser.add_argument(
        "--memory", type=int, nargs="*", default=[1_000_000, 10_000_000], help="lines to measure the peak at"
    )
    args = parser.parse_args(argv)
    out = [heading("From log files to the committed lake", "python -m benchmarks.land " + " ".join(sys.argv[1:]))]
    with tempfile.TemporaryDirectory(prefix="tollbook-bench-") as folder:
        samples = _samples(Path(folder) / "logs", args.requests)
        out += ["", "## Side by side", "", _RULES, "", _HEAD]
        for sample in samples:
            out.append(_row(sample, Path(folder)))
            print(out[-1], flush=True)
        out += ["", "## Where the rest goes", "", "CPU seconds per million lines, one thread.", ""]
        out += _parts(samples[0])
        out += ["", "## Memory", "", "| lines | peak of the process, MiB | wall, s |", "| ---: | ---: | ---: |"]
        for lines in args.memory:
            sample = _samples(Path(folder) / f"m{lines}", lines)[0]
            took = _whole([sample], Path(folder) / f"lake{lines}")
            out.append(f"| {sample.lines:,} | {took.peak_mib} | {took.wall_s:.1f} |")
            print(out[-1], flush=True)
            shutil.rmtree(Path(folder) / f"m{lines}")
            shutil.rmtree(Path(folder) / f"lake{lines}")
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text("\n".join(out) + "\n")


_RULES = (
    f"The best of {_ROUNDS} runs each, whole and bare in turns. Whole is a process from its start to its end. Kong's lines, which are few in the "
    f"month, come {_REPEATS} times, with ids of their own."
)
_HEAD = (
    "| format | lines | whole: lines/s | CPU s per million | bare: lines/s | CPU s per million | whole / bare, rate | CPU |\n"
    "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
)


def _samples(folder: Path, requests: int) -> list[Sample]:
    made: dict[tuple[str, str], list[Path]] = {}
    for file in sample_logs.write_month(folder, requests=requests):
        made.setdefault((file.format, file.source), []).append(file.path)
    for path in made["kong", "kong"]:
        _repeat(path)
    chosen = [("aws_apigw", "rest"), ("kong", "kong")]
    return [Sample(*key, made[key], sum(_count(path) for path in made[key])) for key in chosen]


def _repeat(path: Path) -> None:
    """Kong's lines are few in the demonstration: each comes several times, with ids of its own."""
    once = path.read_bytes()
    with path.open("ab") as file:
        for n in range(1, _REPEATS):
            file.write(once.replace(b'{"request":{"id":"', b'{"request":{"id":"%d-' % n))


def _count(path: Path) -> int:
    with path.open("rb") as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 24), b""))


def _row(sample: Sample, folder: Path) -> str:
    # In turns, since the machine is not always equally fast.
    rounds = [(_whole([sample], folder / f"lake-{sample.source}"), _bare(sample)) for _ in range(_ROUNDS)]
    whole, bare = (min(took, key=lambda t: t.wall_s) for took in zip(*rounds, strict=True))
    million = sample.lines / 1e6
    return (
        f"| {sample.format} | {sample.lines:,} | {sample.lines / whole.wall_s:,.0f} | {whole.cpu_s / million:.2f} "
        f"| {sample.lines / bare.wall_s:,.0f} | {bare.cpu_s / million:.2f} "
        f"| {bare.wall_s / whole.wall_s:.0%} | {bare.cpu_s / whole.cpu_s:.0%} |"
    )


def _whole(samples: Sequence[Sample], root: Path) -> Took:
    shutil.rmtree(root, ignore_errors=True)
    sample = samples[0]
    command = [
        sys.executable, "-m", "tollbook", "run", "--catalog", str(CATALOG), "--lake", str(root), "--format", sample.format,
        "--source", sample.source, "--json", *map(str, sample.files),
    ]  # fmt: skip
    started = time.monotonic()
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(command, stdout=output)
        peak = 0
        while (ended := os.wait4(process.pid, os.WNOHANG))[0] == 0:
            peak = max(peak, _peak_mib(process.pid))
            time.sleep(0.05)
        took = time.monotonic() - started
        assert ended[1] == 0, ended[1]
        output.seek(0)
        assert json.load(output)["entries"] == sample.lines, "every line is an entry here"
    return Took(took, ended[2].ru_utime + ended[2].ru_stime, peak)


def _peak_mib(pid: int) -> int:
    """The most memory a process has had so far.

    What the kernel tells at its end counts its parent's, too, from the fork on.
    """
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    found = re.search(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)
    return int(found[1]) // 1024 if found else 0


def _bare(sample: Sample) -> Took:
    """Both cores, the lines ready in memory, the fields that the format reads."""
    framed = [block.lines for path in sample.files for block in frames(path)]
    shape = fields.structures(sample.format)["fields"]
    statement = f"SELECT unnest(from_json(line, '{shape}')) FROM lines WHERE json_valid(line)"
    kept = threading.local()

    def decode(lines: pa.Table) -> int:
        # A connection for each core: one alone reads a block, which is one batch, on one core.
        if not hasattr(kept, "con"):
            kept.con = duckdb.connect(config={"threads": 1})
        kept.con.register("lines", lines)
        rows: int = kept.con.sql(statement).to_arrow_table().num_rows
        return rows

    with ThreadPoolExecutor(2) as cores:
        before, started = _cpu(), time.monotonic()
        assert sum(cores.map(decode, framed)) <= sample.lines
        return Took(time.monotonic() - started, _cpu() - before, 0)


def _parts(sample: Sample) -> list[str]:
    book = catalogs.load(CATALOG)
    decoder = Decoder(sample.format, source_rules(book, sample.source, None), attribution(book))
    con = duck.connect(1)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "lake"
        Lake(root).create()
        spent: dict[str, float] = {}

        def timed(name: str, do: Callable[[], object]) -> object:
            before = _cpu()
            result = do()
            spent[name] = spent.get(name, 0) + _cpu() - before
            return result

        blocks = iter(frames(sample.files[0]))
        known = DedupIndex(lambda _: dedup.keys(con, EVENTS.schema.empty_table()))
        lines = 0
        while (framed := timed("find the lines", lambda: next(blocks, None))) is not None:
            assert isinstance(framed, Lines)
            lines += framed.lines.num_rows
            decoded = timed(
                "parse, normalise, attribute (DuckDB, loop over templates)", lambda f=framed: decoder.decode(f, "g")
            )
            events: pa.Table = decoded.events.unify_dictionaries()  # type: ignore[attr-defined]
            keys = timed("hash identities and payloads (DuckDB)", lambda e=events: dedup.keys(con, e))
            timed("deduplicate (numpy)", lambda k=keys: known.classify(k))
            events = events.append_column("events_partition", pa.repeat(pa.scalar(0, pa.int16()), events.num_rows))
            timed("fold into windows (DuckDB)", lambda e=events: engine.run(con, "fold", engine.EVER, events=e))
            timed("write Parquet, zstd, fsync", lambda e=events: Lake(root).write(EVENTS, e))
    rows = [f"| {name} | {seconds / lines * 1e6:.2f} |" for name, seconds in sorted(spent.items(), key=lambda s: -s[1])]
    return ["| part | CPU s per million |", "| --- | ---: |", *rows]


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
