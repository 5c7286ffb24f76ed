"""How many entries a CPU second decodes, per gateway format, beside the bare decode of the same lines by DuckDB.

Bare: from_json with the format's own fields, or the one regular expression that a text format is usually read with; no
validation, no typing, no attribution. Run: python -m benchmarks.gateway_formats [LINES]
"""

import re
import sys
import time
from collections.abc import Callable
from functools import partial

import duckdb
import pyarrow as pa

from ingest.decode import fields
from ingest.decode.framing import Lines, split_lines
from ingest.decode.pipeline import CREDENTIALS, Attribution, Decoder, Parser, SourceRules
from tests.ingest.gateway_lines import GOOD, Good

LINES = 200_000
RUNS = 3
_CLF = r'^(\S+) \S+ (\S+) \[([^\]]+)\] "(\S+) (\S+) [^"]*" (\d{3}|-) (\d+|-)'
_ENVOY = r'^\[([^\]]+)\] "(\S+) (\S+) \S+" (\d+) \S+ (\d+) (\d+) (\d+) \S+ "([^"]*)" "([^"]*)" "([^"]*)" "([^"]*)"'
PATTERNS = {
    "nginx": _CLF + r' "([^"]*)" "([^"]*)"',
    "apache": _CLF,
    "traefik": _CLF + r' "([^"]*)" "((?:[^"\\]|\\.)*)" (\d+) "([^"]*)" "([^"]*)" (\d+)ms',
    "haproxy": (
        r"^(\S+):\d+ \[([^\]]+)\] (\S+) ([^ /]+)/(\S+) (-?\d+)/(-?\d+)/(-?\d+)/(-?\d+)/(\d+) (-?\d+) (\d+) \S+ \S+ (\S+) "
        r'\S+ \S+ "(\S+) (\S+) [^"]*"'
    ),
    "envoy": _ENVOY,
    "istio": (
        r'^\[([^\]]+)\] "(\S+) (\S+) \S+" (\d+) \S+ \S+ \S+ "[^"]*" (\d+) (\d+) (\d+) \S+ "([^"]*)" "([^"]*)" "([^"]*)" "([^"]*)" '
        r'"([^"]*)" (\S+) \S+ \S+ (\S+) \S+ (\S+)'
    ),
}


def samples(format_name: str) -> dict[str, Good]:
    """One text and one JSON line of the format, as far as it has them; rather one with an identity."""
    found: dict[str, Good] = {}
    for row in sorted(GOOD[format_name], key=lambda r: "identity" not in r.fields):
        if row.line.startswith("{"):
            found.setdefault("json", row)
        elif "{" not in row.line:
            found.setdefault("text", row)
    return found


def owner(good: Good) -> Attribution:
    """The identity of the line belongs to a partner."""
    kind, _, value = good.fields["identity"].partition(":")
    row = {"kind": kind, "value": value, "partner_id": "acme", "suspended": False, "from_us": 0, "to_us": 1 << 62}
    return Attribution(pa.Table.from_pylist([row], CREDENTIALS))


def reading(format_name: str, good: Good) -> Callable[[Lines], object]:
    """The whole decode; of a line without identity, which nobody can be billed for, the normalised fields alone."""
    if "identity" not in good.fields:
        return Parser(format_name).parse
    decoder = Decoder(format_name, SourceRules("edge"), owner(good))
    return lambda framed: decoder.decode(framed, "gen")


def log(line: str, count: int) -> bytes:
    """`line` with paths, seconds, sizes and networks that vary."""
    rows = []
    for i in range(count):
        row = line.replace("/v1/orders?", f"/v1/orders/{i % 9973}?").replace("900", str(i % 100_000))
        row = row.replace("203.0.113.", f"203.0.{i % 199}.")
        for hour, second in (("00", 1_790_812_800), ("06", 1_790_834_400)):
            row = row.replace(f"{hour}:00:00", f"{i // 3600 % 24:02}:{i // 60 % 60:02}:{i % 60:02}")
            row = row.replace(str(second), str(second + i))
        rows.append(row + "\n")
    return "".join(rows).encode()


def bare(format_name: str, shape: str) -> str:
    """The statement of the bare decode over `lines`."""
    if shape == "json":
        return f"SELECT position, from_json(line, '{fields.structures(format_name)['fields']}') AS r FROM lines"
    pattern = PATTERNS[format_name].replace("'", "''")
    names = ", ".join(f"'f{i}'" for i in range(re.compile(PATTERNS[format_name]).groups))
    return f"SELECT position, regexp_extract(line, '{pattern}', [{names}]) AS t FROM lines"


def run(con: duckdb.DuckDBPyConnection, statement: str) -> pa.Table:
    return con.sql(statement).to_arrow_table()


def cpu_seconds(work: Callable[[], object]) -> float:
    """The least of a few runs."""
    best = float("inf")
    for _ in range(RUNS):
        before = time.process_time()
        work()
        best = min(best, time.process_time() - before)
    return best


def main() -> int:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else LINES
    con = duckdb.connect(config={"threads": 1})
    print("| format | line | bytes | entries / CPU s | bare decode | ratio | CPU s / million |")
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: |")
    for name in GOOD:
        for shape, good in samples(name).items():
            framed = split_lines(log(good.line, count), 0)
            ours = count / cpu_seconds(partial(reading(name, good), framed))
            con.register("lines", framed.lines)
            theirs = count / cpu_seconds(partial(run, con, bare(name, shape)))
            label = shape if "identity" in good.fields else f"{shape}, fields only"
            print(
                f"| {name} | {label} | {len(good.line)} | {ours:,.0f} | {theirs:,.0f} | {ours / theirs:.2f} | {1e6 / ours:.2f} |"
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
