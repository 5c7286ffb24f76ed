"""`tollbook load` with a wrong `--format`: the file is not sent, and the right one is proposed.

What is sent to a topic cannot be taken back.
"""

from pathlib import Path

import pytest
from confluent_kafka import Producer

from tests.ingest.gateway_lines import GOOD
from tests.tollbook.fixtures import requests
from tollbook.kafka import loading
from tollbook.kafka.loading import Loaded


def loaded(file: Path, format_name: str, *, accept: bool = False) -> Loaded:
    """What becomes of a file, with Kafka's client and a cluster of its own in memory."""
    producer = Producer({"bootstrap.servers": "none:1", "test.mock.num.brokers": 1, "log_level": 0})
    return loading.load(
        producer, "gateway.access", 2, [file], format_name=format_name, source="edge", lines_max=500, accept_form_errors=accept
    )  # fmt: skip


@pytest.mark.parametrize("wrong", ["cloudflare", "s3_access", "cloudevents"])
def test_a_file_in_another_format_is_not_sent(tmp_path: Path, wrong: str) -> None:
    """Before, ingest made a dead letter of every line."""
    (tmp_path / "a.log").write_bytes(b"".join(requests(300)))
    report = loaded(tmp_path / "a.log", wrong)
    assert (report.records, report.known) == (0, {})
    [problem] = report.problems
    assert "--format kong" in problem
    assert loaded(tmp_path / "a.log", "kong").lines == 300
    assert loaded(tmp_path / "a.log", wrong, accept=True).lines == 300


def test_lines_that_no_format_reads_are_sent(tmp_path: Path) -> None:
    """A source may call its fields otherwise, which only the catalog knows: what no format reads may be read by
    ingest.
    """
    (tmp_path / "a.log").write_bytes(b'{"when":"2026-10-01T00:00:00Z","verb":"GET","code":200}\n' * 300)
    assert loaded(tmp_path / "a.log", "kong").lines == 300


@pytest.mark.parametrize("format_name", sorted(GOOD))
def test_a_file_in_its_own_format_is_sent(tmp_path: Path, format_name: str) -> None:
    """Also where another format reads more in it."""
    text = "".join(f"{good.line}\n" for good in GOOD[format_name])
    (tmp_path / "a.log").write_text(text)
    report = loaded(tmp_path / "a.log", format_name)
    assert (report.problems, report.lines) == ([], text.count("\n"))


def test_a_line_that_no_record_can_hold_is_the_files_trouble_and_not_the_commands(tmp_path: Path) -> None:
    """It ended the command with Kafka's exception, and all files behind it were not sent."""
    (tmp_path / "a.log").write_bytes(b"".join(requests(3)) + b'{"x":"' + b"y" * 2_000_000 + b'"}\n')
    report = loaded(tmp_path / "a.log", "kong")
    assert report.records == 1
    [problem] = report.problems
    assert "2000009 bytes, more than a record may have" in problem
