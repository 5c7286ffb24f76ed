"""`python -m ingest parse`: how a format reads a log, one JSON object per entry. For testing a format on real lines."""

import argparse
import json
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

from ingest.decode import formats
from ingest.decode.framing import Lines
from ingest.decode.pipeline import Parser
from ingest.files.block_reader import UnreadableFile, frames

_FIELDS = [
    "event_id",
    "time",
    "method",
    "path",
    "route",
    "status",
    "request_bytes",
    "response_bytes",
    "latency_ms",
    "client_ip",
]


def main(argv: list[str] | None = None) -> int:
    """Exit code 0, or 2 if the file or the format cannot be used. Refused entries are output, not errors."""
    parser = argparse.ArgumentParser(
        prog="python -m ingest",
        description="Read a gateway log as Tollbook reads it.",
        epilog="example: head -3 access.log | python -m ingest parse --format kong -",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    parse = commands.add_parser("parse", help="one JSON object per entry: its normalised fields, or why it is refused")
    parse.add_argument("--format", required=True, metavar="F", help=f"one of: {', '.join(formats.names())}")
    parse.add_argument(
        "--source", default="", metavar="S", help="who wrote the log; not shown, accepted as in `tollbook run`"
    )
    parse.add_argument(
        "file", metavar="FILE", help="a log file, plain, gzip, zstd, bzip2 or xz, or - for standard input"
    )
    args = parser.parse_args(argv)
    try:
        reader = Parser(args.format)
        for framed in frames(sys.stdin.buffer if args.file == "-" else Path(args.file)):
            _show(reader, framed)
    except (formats.UnknownFormat, UnreadableFile) as exc:
        print(f"error: {exc}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        sys.stderr.close()  # the reader closed the pipe
    return 0


def _show(reader: Parser, framed: Lines) -> None:
    for row in reader.parse(framed).to_pylist():
        print(json.dumps(_record(row)))


def _record(row: dict[str, Any]) -> dict[str, Any]:
    if row["reason"] is not None:
        return {"refused": row["reason"], "detail": row["detail"]}
    latency: Decimal | None = row["latency_ms"]
    if latency is not None:
        row["latency_ms"] = int(latency) if latency == int(latency) else float(latency)  # JSON has no decimals
    identity = {"kind": row["identity_kind"], "value": row["identity_value"]}
    return {k: row[k] for k in _FIELDS} | {"identity": identity, "service": row["service"], "host": row["host"]}


if __name__ == "__main__":
    sys.exit(main())
