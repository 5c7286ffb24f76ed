"""Entries per CPU second of each cloud format, whole and bare: `python -m benchmarks.cloud_formats [FORMAT …]`. Asserts nothing.

Whole: the SQL of ingest.decode, from framed lines to the columns of events. Bare: what DuckDB alone needs to take the same fields
out of the same lines, by from_json (JSON, not validated) or by one regular expression (text). One thread, the best of three runs.
"""

import re
import sys
import time

import duckdb

from ingest import formats
from ingest.decode import _pipeline, _sql
from ingest.framing import Lines, split_lines
from tests.ingest.cloud_lines import CASES

ENTRIES = 200_000
PATTERNS = {
    "s3_access": (
        r'^\S+ (\S+) \[([^\]]+)\] (\S+) (\S+) (\S+) (\S+) \S+ "(\S+) (\S+)[^"]*" (\S+) \S+ (\S+) \S+ (\S+)',
        11,
    ),
    "aws_alb": (r'^\S+ (\S+) (\S+) (\S+):\d+ \S+ (\S+) (\S+) (\S+) (\S+) \S+ (\S+) (\S+) "(\S*) (\S*)', 11),
    "cloudfront": (
        r"^(\S+)\t(\S+)\t[^\t]*\t([^\t]*)\t([^\t]*)\t([^\t]*)\t([^\t]*)\t([^\t]*)\t([^\t]*)(?:\t[^\t]*){5}\t([^\t]*)\t([^\t]*)\t[^\t]*\t([^\t]*)\t([^\t]*)",
        12,
    ),
}


def main(names: list[str]) -> None:
    print("| format | bytes | entries / CPU s | bare decode / CPU s | ratio | CPU s a million |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for name in names or sorted(CASES):
        line = sample(name)
        framed = split_lines(f"{line}\n".encode() * ENTRIES, 0)
        whole, bare = ENTRIES / whole_seconds(name, framed), ENTRIES / bare_seconds(name, framed)
        print(f"| {name} | {len(line)} | {whole:,.0f} | {bare:,.0f} | {whole / bare:.2f} | {1e6 / whole:.2f} |")


def sample(name: str) -> str:
    """A line with one entry; of Tyk the flat record, as its Kafka pump writes it."""
    singles = [case for case in CASES[name][0] if len(case.entries) == 1]
    return singles[1 if name == "tyk" else 0].text


def whole_seconds(name: str, framed: Lines) -> float:
    con = _pipeline(name)
    con.register("lines", framed.lines)
    return best(con, _sql("events"), framed.lines.num_rows)


def bare_seconds(name: str, framed: Lines) -> float:
    con = duckdb.connect(config={"threads": 1})
    con.register("lines", framed.lines)
    if name in PATTERNS:
        pattern, groups = PATTERNS[name]
        fields = ", ".join(f"'f{i}'" for i in range(groups))
        return best(
            con, f"SELECT unnest(regexp_extract(line, '{pattern}', [{fields}])) FROM lines", framed.lines.num_rows
        )
    shape = re.search(r"from_json\((?:line|record), '(\{.*?\})'\)", formats.statement(name), re.DOTALL)
    assert shape is not None
    return best(con, f"SELECT unnest(from_json(line, '{shape[1]}')) FROM lines", framed.lines.num_rows)


def best(con: duckdb.DuckDBPyConnection, statement: str, rows: int) -> float:
    seconds = []
    for _ in range(3):
        start = time.process_time()
        assert con.sql(statement).to_arrow_table().num_rows == rows
        seconds.append(time.process_time() - start)
    return min(seconds)


if __name__ == "__main__":
    main(sys.argv[1:])
