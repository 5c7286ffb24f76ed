"""The sample logs of the demo: October 2026 for the three partners of examples/catalog, equal on every machine.

Each partner has another credential type and a quota of 1,000,000 requests a month, which northwind exceeds. As in real
logs, one percent of the lines is resent, some are late, some are broken, and a few conflict.
"""

import gzip
import itertools
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import NamedTuple

import duckdb
import pyarrow as pa

from lake import duck
from schemas import zones
from schemas.windows import WINDOW_US, to_us

MONTH = date(2026, 10, 1)
REQUESTS = 2_000_000
# Shares of the month's requests. The quota meter excludes 429 and 5xx, so northwind ends at about 110 % of its quota.
_SHARES = {"northwind": ("Europe/London", 580), "globex": ("America/New_York", 395), "initech": ("Europe/Warsaw", 25)}
# The weight of each local hour. Weekends have a third of it.
_HOURS = (2, 1, 1, 1, 1, 2, 4, 7, 10, 12, 12, 11, 10, 11, 12, 12, 11, 9, 7, 6, 5, 4, 3, 2)
_MIX = (
    "CREATE TEMP MACRO mix(n, salt) AS "
    "((n % 2147483647 * 48271 + salt * 69621 + 12345) % 2147483647 * 16807 + salt * 7919) % 2147483647 // 7"
)


class DemoFile(NamedTuple):
    """One log file of the demo."""

    path: Path
    format: str
    source: str


def write_month(folder: Path, *, requests: int = REQUESTS) -> list[DemoFile]:
    """Write the month's logs below `folder`, about `requests` lines. Returns the files in reading order."""
    con = duckdb.connect()
    con.execute(_MIX)
    con.register("slots", _slots(requests))
    con.execute(f"CREATE TEMP TABLE requests AS {_sql('demo_requests')}")
    cuts = [MONTH - timedelta(days=1), MONTH.replace(day=11), MONTH.replace(day=21), MONTH + timedelta(days=33)]
    files = []
    for number, (start, end) in enumerate(itertools.pairwise(cuts), 1):
        files.append(_write(con, folder / "rest" / f"access-{number}.log", "aws_apigw", "rest", start, end))
    files.append(_write(con, folder / "http" / "access.log.gz", "aws_apigw", "http", cuts[0], cuts[-1]))
    files.append(_write(con, folder / "kong" / "access.log", "kong", "kong", cuts[0], cuts[-1]))
    return files


def _write(
    con: duckdb.DuckDBPyConnection, path: Path, format_name: str, source: str, start: date, end: date
) -> DemoFile:
    path.parent.mkdir(parents=True, exist_ok=True)
    params = {"gateway": source, "start_us": _midnight_us(start), "end_us": _midnight_us(end)}
    reader = con.sql(_sql("demo_lines"), params=params).to_arrow_table().to_batches()
    if path.suffix == ".gz":
        with (
            path.open("wb") as raw,
            gzip.GzipFile(filename="", fileobj=raw, mode="wb", compresslevel=3, mtime=0) as packed,
        ):
            packed.writelines(_texts(reader))
    else:
        with path.open("wb") as plain:
            plain.writelines(_texts(reader))
    return DemoFile(path, format_name, source)


def _texts(batches: list[pa.RecordBatch]) -> Iterator[bytes]:
    """The text of each batch, which is contiguous in memory."""
    for batch in batches:
        lines = batch["line"].cast(pa.large_string())
        if len(lines):
            first, last = lines.offset, lines.offset + len(lines)
            offsets = memoryview(lines.buffers()[1]).cast("q")
            yield bytes(lines.buffers()[2][offsets[first] : offsets[last]])


def _slots(requests: int) -> pa.Table:
    """The number of requests of each partner in each 15-minute window of its local month."""
    rows = []
    first = 0
    for partner, (zone, share) in _SHARES.items():
        total = requests * share // 1000
        weights = [(start, weight) for start, weight in _weights(zone)]
        whole = sum(weight for _, weight in weights)
        assigned = so_far = 0
        for start, weight in weights:
            so_far += weight
            count = total * so_far // whole - assigned
            assigned += count
            rows.append({"partner": partner, "slot_start_us": start, "first_n": first, "requests": count})
            first += count
    return pa.Table.from_pylist(rows)


def _weights(zone: str) -> Iterator[tuple[int, int]]:
    start, end = zones.midnight(MONTH, zone), zones.midnight((MONTH + timedelta(days=31)).replace(day=1), zone)
    while start < end:
        local = start.astimezone(zones.zone(zone))
        yield to_us(start), _HOURS[local.hour] * (1 if local.weekday() > 4 else 3)  # noqa: PLR2004  # Saturday, Sunday
        start += timedelta(microseconds=WINDOW_US)


def _midnight_us(day: date) -> int:
    return to_us(datetime.combine(day, time(), UTC))


def _sql(name: str) -> str:
    return duck.statement("tollbook.sql", name)
