"""The workers' log: one JSON object a line for every message, and no secret in it."""

import json
import logging
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.halts import Halt
from tests.tollbook.fixtures import ROOT
from tollbook.kafka.options import PASSWORD, KafkaConfig
from tollbook.workers.logs import JsonLines

CUT = 2048


def line(message: str, *args: object, fields: dict[str, object] | None = None, exc: BaseException | None = None) -> str:
    """What the formatter makes of a record."""
    record = logging.LogRecord(
        "tollbook.land", logging.WARNING, __file__, 1, message, args, None if exc is None else (type(exc), exc, None)
    )
    record.created = 1_790_812_800.25
    if fields is not None:
        record.fields = fields
    return JsonLines().format(record)


def read(text: str) -> Any:
    return json.loads(text)


def test_a_line_says_when_how_bad_who_and_what() -> None:
    """The names are what a collector's rules are written for; the fields stand beside them, enumerations as their
    words.
    """
    logged = line("landed %s", "it", fields={"counted": 3, "seconds": 0.25, "reason": Halt.KAFKA})
    assert read(logged) == {
        "time": "2026-10-01T00:00:00.250+00:00", "level": "warning", "process": "tollbook.land", "message": "landed it",
        "counted": 3, "seconds": 0.25, "reason": "KAFKA",
    }  # fmt: skip


@given(st.text(), st.text())
def test_every_message_is_one_line_of_plain_characters(message: str, field: str) -> None:
    """A line break in a topic's name would forge a record; an escape sequence would rule the terminal of who reads
    it.
    """
    logged = line("%s", message, fields={"file": field})
    assert logged.isascii()
    assert logged.isprintable()
    assert read(logged)["message"] == message[:CUT]
    assert read(logged)["file"] == field[:CUT]


def test_long_text_is_cut_and_a_traceback_keeps_its_end() -> None:
    """A message may hold a whole record, and 2 KB of it are enough.

    Of a traceback the end is kept, because it names the error.
    """
    logged = read(line("x" * 10_000, fields={"detail": "y" * 10_000}, exc=ValueError("z" * 5_000 + " the end")))
    assert len(logged["message"]) == len(logged["detail"]) == len(logged["traceback"]) == CUT
    assert logged["traceback"].endswith("the end")


def test_values_that_json_does_not_know_are_shown() -> None:
    """To say something strange is better than to die of saying it."""
    assert read(line("x", fields={"path": ROOT, "left": {1, 2} - {2}}))["path"] == str(ROOT)


def test_a_password_is_in_no_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Configurations get logged; the password comes from the environment and is in neither repr nor message."""
    monkeypatch.setenv(PASSWORD, "open-sesame")
    config = KafkaConfig(bootstrap_servers="b:9092", security="SASL_SSL", sasl_username="tollbook")
    assert config.client_options()["sasl.password"] == "open-sesame"
    logged = line("connected by %r and %s", config, config, fields={"config": config, "all": vars(config).keys()})
    assert "tollbook" in logged
    assert "open-sesame" not in logged


def test_a_process_says_everything_on_standard_error_its_libraries_too() -> None:
    """Standard output is for results. Libraries that log much are shown only when they warn."""
    code = (
        "import logging; from tollbook.workers import logs; log = logs.logger('ingest'); log.info('one')\n"
        "for name in ('aiokafka', 'faust.app', 'other'):\n"
        "    logging.getLogger(name).info('info of %s', name); logging.getLogger(name).warning('warning of %s', name)\n"
        "try: 1 / 0\n"
        "except ZeroDivisionError: log.exception('two\\nlines')"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == ""
    logged = [read(text) for text in done.stderr.splitlines()]
    assert [s["message"] for s in logged] == [
        "one", "warning of aiokafka", "warning of faust.app", "info of other", "warning of other", "two\nlines"
    ]  # fmt: skip
    assert logged[0]["process"] == "tollbook.ingest"
    assert logged[-1]["traceback"].endswith("ZeroDivisionError: division by zero")
