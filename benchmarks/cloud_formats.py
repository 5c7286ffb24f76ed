"""The bare decode of cloud formats, for benchmarks.ingest: what DuckDB alone needs to take the fields of a format out
of its lines.

By from_json (JSON, not validated) or by one regular expression (text). One thread, the best of three runs.
"""

import time

import duckdb

from ingest.decode import fields
from ingest.decode.framing import Lines
from tests.ingest.cloud_lines import CASES

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


def sample(name: str) -> str:
    """A line with one entry; of Tyk the flat record, as its Kafka pump writes it."""
    singles = [case for case in CASES[name][0] if len(case.entries) == 1]
    return singles[1 if name == "tyk" else 0].text


def bare_seconds(name: str, framed: Lines) -> float:
    con = duckdb.connect(config={"threads": 1})
    con.register("lines", framed.lines)
    if name in PATTERNS:
        pattern, groups = PATTERNS[name]
        names = ", ".join(f"'f{i}'" for i in range(groups))
        return best(
            con, f"SELECT unnest(regexp_extract(line, '{pattern}', [{names}])) FROM lines", framed.lines.num_rows
        )
    shape = fields.structures(name)["fields"]
    return best(con, f"SELECT unnest(from_json(line, '{shape}')) FROM lines", framed.lines.num_rows)


def best(con: duckdb.DuckDBPyConnection, statement: str, rows: int) -> float:
    seconds = []
    for _ in range(3):
        start = time.process_time()
        assert con.sql(statement).to_arrow_table().num_rows == rows
        seconds.append(time.process_time() - start)
    return min(seconds)
