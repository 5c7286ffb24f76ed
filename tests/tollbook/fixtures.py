"""A catalog with small quotas, logs for it, and the command as people and schedulers start it."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

import duckdb
import pytest
from deltalake import DeltaTable

from tests.ingest.fixtures import kong, line
from tests.kafka.processes import TIED
from tollbook.__main__ import main

ROOT = Path(__file__).parent.parent.parent
T0_MS = 1_790_812_800_000  # 2026-10-01T00:00Z
MINUTE_MS = 60_000
DAY_MS = 86_400_000
AFTER_OCTOBER = "2026-11-05T00:00:00Z"

SELLER = """
legal_entities:
  - {id: seller, name: Seller Ltd, invoice_prefix: S}
"""
METERS = """
meters:
  - {id: requests, aggregate: count, unit: requests, filter: {exclude_status: ["429", "5xx"]}}
"""
CARD = """
rate_cards:
  - id: card
    currency: EUR
    versions:
      - valid_from: 2026-01-01
        rates:
          - {meter: requests, price: {model: per_unit, unit_price: 0.25}}
"""
_PLANS = """
plans:
  - id: small
    rate_card: card
    quotas:
      - {meter: requests, period: MONTH, limit: 100}
"""
PRICES = CARD + _PLANS
PARTNERS = """
partners:
  - id: acme
    name: Acme Inc
    legal_entity: seller
    time_zone: Etc/UTC
    plans: [{plan: small, valid_from: 2026-01-01}]
    credentials: [{kind: consumer, id: c-acme}]
"""
CATALOG = {"seller": SELLER, "meters": METERS, "prices": PRICES, "partners": PARTNERS}


class Ended(NamedTuple):
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def complaints(self) -> list[str]:
        """The lines on standard error, each without its `error: `. Anything else there is a failure of the command."""
        lines = self.err.splitlines()
        assert all(text.startswith("error: ") for text in lines), self.err
        return [text.removeprefix("error: ") for text in lines]

    @property
    def json(self) -> Any:
        assert self.out, f"printed nothing: exit {self.code}, {self.err}"
        return json.loads(self.out)


def command(capsys: pytest.CaptureFixture[str], *words: object) -> Ended:
    """What the command leaves behind in this process: it starts faster than one of its own."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    return Ended(int(str(ended.value.code)), *capsys.readouterr())


class Here:
    """A folder with a catalog, and the command in it: in this process, which is fast, or as one of its own."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.lake = folder / "lake"
        self.catalog = write_catalog(folder / "catalog")
        self._capsys = capsys

    def tollbook(self, *words: object) -> Ended:
        return command(self._capsys, *words)

    def run(self, *files: object, source: str = "edge") -> Ended:
        return self.tollbook(*self.run_words(*files, source=source))

    def run_words(self, *files: object, source: str = "edge") -> list[str]:
        words = ["run", "--catalog", self.catalog, "--lake", self.lake, "--format", "kong", "--source", source, *files]
        return [str(word) for word in words]

    def close(self, *words: object) -> Ended:
        return self.tollbook(
            "invoice", "close", "--catalog", self.catalog, "--lake", self.lake, "--period", "2026-10", "--now", AFTER_OCTOBER, *words
        )  # fmt: skip

    def balanced(self, entries: int) -> bool:
        """Whether the books are proved, and hold so many entries."""
        proof = self.tollbook("verify", "--lake", self.lake, "--json").json
        return bool(proof["ok"]) and proof["entries"] == entries

    def log(self, name: str, *lines: bytes) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"".join(lines))
        return path

    def table(self, name: str, query: str = "FROM t") -> list[dict[str, Any]]:
        return table_rows(self.lake, name, query)


def write_catalog(folder: Path, **changes: str) -> Path:
    """The catalog, some of its files written anew."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in {**CATALOG, **changes}.items():
        (folder / f"{name}.yaml").write_text(text)
    return folder


def requests(count: int, start_ms: int = T0_MS, step_ms: int = MINUTE_MS, **changes: Any) -> list[bytes]:
    """Log lines of Kong for one partner, one every `step_ms`; ids follow from the time."""
    times = range(start_ms, start_ms + count * step_ms, step_ms)
    consumer = {"id": changes.pop("consumer", "c-acme")}
    return [line(kong(f"id-{at}", started_at=at, consumer=consumer, **changes)) for at in times]


def table_rows(lake: Path, name: str, query: str = "FROM t") -> list[dict[str, Any]]:
    """What a query over one table of the lake gives; the table is called t."""
    con = duckdb.connect()
    con.execute("SET TimeZone = 'UTC'")
    files = [unquote(uri.removeprefix("file://")) for uri in DeltaTable(lake / name).file_uris()]
    if not files:
        return []
    con.read_parquet(files, hive_partitioning=True, union_by_name=True).create_view("t")
    return con.sql(query).to_arrow_table().to_pylist()  # type: ignore[no-any-return]


def process(
    words: list[str], *, folder: Path, prefix: tuple[str, ...] = (), code: tuple[str, ...] = ("-m", "tollbook")
) -> subprocess.Popen[str]:
    """The command as a process of its own; `prefix` goes before it, `code` is what Python runs.

    It dies with the test run.
    """
    return subprocess.Popen(
        [*prefix, sys.executable, "-I", "-S", "-c", TIED, *code, *words],
        cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


@contextmanager
def ended_with_block(running: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    """A process that does not end by itself. It is killed at the end of the block, even after a failure."""
    with running:  # which waits, and so must come after the signal
        try:
            yield running
        finally:
            running.kill()


def ended(running: subprocess.Popen[str]) -> Ended:
    """What a process left behind."""
    out, err = running.communicate(timeout=60)
    return Ended(running.returncode, out, err)


def until(running: subprocess.Popen[str], path: Path) -> None:
    """Wait until a process has made a file."""
    while not path.exists():
        try:
            running.wait(timeout=0.01)
        except subprocess.TimeoutExpired:
            continue
        pytest.fail(f"ended before it made {path}: {running.communicate()}")
