"""`python -m ingest parse`: how people try a format on a few lines, and how conformance is checked."""

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.ingest.fixtures import kong, line

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parent.parent.parent
FIELDS = [
    "event_id", "time", "method", "path", "route", "status", "request_bytes", "response_bytes", "latency_ms", "client_ip",
    "identity", "service", "host",
]  # fmt: skip
AWS = {
    "requestId": "r1", "extendedRequestId": "Jx8=", "ip": "198.51.100.7", "apiKeyId": "k9x", "requestTimeEpoch": "1790812800123", "httpMethod": "POST",
    "resourcePath": "/v1/orders/{id}", "path": "/prod/v1/orders/7", "status": "201", "responseLength": "345", "responseLatency": "12",
}  # fmt: skip


class Parsed(NamedTuple):
    """What the command left behind."""

    code: int
    records: list[dict[str, Any]]
    err: str


def parse(*words: object, stdin: bytes = b"") -> Parsed:
    """Run the command in a process of its own, in a folder that is not ours."""
    done = subprocess.run(
        [sys.executable, "-m", "ingest", "parse", *map(str, words)],
        input=stdin, capture_output=True, check=False, timeout=60, cwd="/", env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    return Parsed(done.returncode, [json.loads(text) for text in done.stdout.splitlines()], done.stderr.decode())


def test_a_kong_line_comes_out_with_every_field(tmp_path: Path) -> None:
    """The normalised fields, in order, as the log means them: before addresses are cut and partners are found."""
    log = tmp_path / "kong.log"
    log.write_bytes(line(kong("id-1", latencies__request=12)))
    done = parse("--format", "kong", "--source", "edge", log)
    assert (done.code, done.err) == (0, "")
    [record] = done.records
    assert list(record) == FIELDS
    assert record | {"time": ""} == {
        "event_id": "id-1", "time": "", "method": "GET", "path": "/v1/orders", "route": "orders", "status": 200, "request_bytes": 200,
        "response_bytes": 900, "latency_ms": 12, "client_ip": "203.0.113.77", "identity": {"kind": "consumer", "value": "c-acme"},
        "service": "svc", "host": "api.example",
    }  # fmt: skip
    assert record["time"].startswith("2026-10-01T00:00:00")


def test_an_api_gateway_line_from_standard_input_and_from_gzip(tmp_path: Path) -> None:
    """`head -3 access.log | python -m ingest parse --format aws_apigw -` is the first thing one tries."""
    text = line(AWS)
    packed = tmp_path / "aws.log.gz"
    packed.write_bytes(gzip.compress(text))
    piped = parse("--format", "aws_apigw", "-", stdin=text)
    assert piped == parse("--format", "aws_apigw", packed)
    [record] = piped.records
    assert (record["status"], record["response_bytes"], record["route"]) == (201, 345, "/v1/orders/{id}")
    assert record["identity"] == {"kind": "api_key", "value": "k9x"}
    assert record["time"].startswith("2026-10-01T00:00:00.123")


@pytest.mark.slow
def test_refused_lines_are_output_in_their_place_and_no_error() -> None:
    """Which lines a format does not read is what one wants to know; the last line may lack its newline."""
    text = line(kong("id-1")) + b"not a record\n\n\xc3(\n" + line(kong("id-2")).strip()
    done = parse("--format", "kong", "-", stdin=text)
    assert (done.code, done.err) == (0, "")
    assert [r.get("event_id") or r["refused"] for r in done.records] == ["id-1", "NOT_JSON", "BAD_UTF8", "id-2"]
    assert all(set(r) == {"refused", "detail"} for r in done.records if "refused" in r)


@pytest.mark.slow
def test_an_array_gives_one_record_for_each_of_its_entries() -> None:
    """Kong's HTTP log can send batches."""
    done = parse("--format", "kong", "-", stdin=line([kong("id-1"), kong("id-2")]))
    assert [r["event_id"] for r in done.records] == ["id-1", "id-2"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "message"),
    [
        pytest.param(["--format", "punchcards", "-"], "unknown format 'punchcards'; there are: ", id="unknown format"),
        pytest.param(["--format", "kong", "/nowhere.log"], "/nowhere.log: No such file or directory; check the path", id="no file"),
        pytest.param(["--format", "kong", "/dev"], "/dev: not a regular file but a folder", id="a folder"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_one_line_and_code_2(words: list[str], message: str) -> None:
    """Nothing on standard output: what reads it must not take half an answer for one."""
    done = parse(*words)
    assert (done.code, done.records) == (2, [])
    assert done.err.startswith(f"error: {message}")
    assert done.err.count("\n") == 1


@pytest.mark.slow
def test_half_a_gzip_is_one_line_and_code_2(tmp_path: Path) -> None:
    """However much of it could be read: the code says that there was more."""
    packed = gzip.compress(b"".join(line(kong(f"id-{n}")) for n in range(100)))
    (tmp_path / "half.gz").write_bytes(packed[: len(packed) // 2])
    done = parse("--format", "kong", tmp_path / "half.gz")
    assert done.code == 2
    assert (
        done.err == f"error: {tmp_path}/half.gz: the gzip file ends too early; copy it again, then repeat the command\n"
    )


@pytest.mark.slow
def test_the_output_is_plain_ascii() -> None:
    """It is often looked at: a log line must not be able to act on the terminal, C1 control characters included."""
    done = subprocess.run(
        [sys.executable, "-m", "ingest", "parse", "--format", "kong", "-"],
        input=line(kong("id-1", route__name="r\x1b[31m\x9b2J\u202e")), capture_output=True, check=True, cwd=ROOT,
    )  # fmt: skip
    assert done.stdout.isascii()
    assert b"\x1b" not in done.stdout


def test_it_has_help_with_an_example() -> None:
    """A command that is there to try things must say how to try it."""
    done = subprocess.run(
        [sys.executable, "-m", "ingest", "--help"], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert "example: head -3 access.log | python -m ingest parse --format kong -" in done.stdout


@pytest.mark.slow
def test_a_reader_that_goes_away_is_no_error() -> None:
    """`… | head -1` over a large log."""
    text = b"".join(line(kong(f"id-{n}")) for n in range(20_000))
    running = subprocess.Popen(
        [sys.executable, "-m", "ingest", "parse", "--format", "kong", "-"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT,
    )  # fmt: skip
    assert running.stdin is not None
    assert running.stdout is not None
    assert running.stderr is not None
    running.stdin.write(text)
    running.stdin.close()
    assert json.loads(running.stdout.readline())["event_id"] == "id-0"
    running.stdout.close()
    assert running.stderr.read() == b""
    running.stderr.close()
    assert running.wait(timeout=60) == 0
