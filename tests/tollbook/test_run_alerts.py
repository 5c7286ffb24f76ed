"""`tollbook run --alerts`: what a run records is sent, once, whatever happens to the run or to a sink."""

import json
import signal
from pathlib import Path

import pytest

from tests.aggregate.receivers import Receiver, receiver
from tests.tollbook.fixtures import Here, ended, ended_with_block, process, requests

KEY = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3"
DIES_BEFORE_SENDING = """
import os
from tollbook.__main__ import main
from tollbook.local_run.sending import Sending

Sending.once = lambda *_: os._exit(9)
main()
"""


def sinks(here: Here, to: Receiver) -> list[str]:
    """The options that send to a receiver."""
    key = here.folder / "key"
    key.write_text(KEY)
    file = here.folder / "alerts.yaml"
    file.write_text(f"- {{name: ops, url: '{to.url}', secret_file: {key}, private: true, kinds: [quota]}}\n")
    return ["--alerts", str(file)]


def told(to: Receiver) -> list[str]:
    """The thresholds that a receiver was told of since the last time."""
    bodies = [json.loads(to.received.get_nowait().body) for _ in range(to.received.qsize())]
    return [body["data"]["threshold_percent"] for body in bodies]


def test_each_alert_is_sent_by_the_run_that_records_it_or_by_the_next(here: Here) -> None:
    """A receiver that is down, and a run that dies before it sends, cost time and no alert."""
    lines = requests(95)
    first, second, third = (
        here.log("0.log", *lines[:60]),
        here.log("1.log", *lines[60:85]),
        here.log("2.log", *lines[85:]),
    )
    with receiver(200, 503, 200) as to:
        words = sinks(here, to)
        done = here.tollbook(*here.run_words(first), *words)
        assert (done.code, done.err) == (0, "")
        assert told(to) == ["50"]
        done = here.tollbook(*here.run_words(second), *words)
        assert done.code == 0
        assert "sink ops: status 503; the next run sends the rest" in done.err
        assert told(to) == ["80"]
        died = ended(process([*here.run_words(third), *words], folder=here.folder, code=("-c", DIES_BEFORE_SENDING)))
        assert died.code == 9
        for expected in (["80", "90"], []):
            assert here.tollbook(*here.run_words(third), *words).code == 0
            assert told(to) == expected
    assert here.balanced(95), "the cursors in its folder are no part of the lake"


def test_a_lake_with_old_alerts_begins_with_the_next(here: Here) -> None:
    """Whoever adds a sink wants to hear what happens, not what happened."""
    assert here.tollbook(*here.run_words(here.log("0.log", *requests(60)))).code == 0
    with receiver(200) as to:
        assert here.tollbook(*here.run_words(here.log("1.log", *requests(85)[60:])), *sinks(here, to)).code == 0
        assert told(to) == ["80"]


@pytest.mark.slow
def test_a_run_that_follows_sends_while_it_runs_and_ends_although_a_sink_is_down(here: Here) -> None:
    """An alert that is sent at the end of the day is none."""
    log = here.log("0.log", *requests(60))
    with receiver(200, 503) as to:
        words = [*here.run_words(log), *sinks(here, to), "--follow", "--look-s", "0.05", "--json"]
        with ended_with_block(process(words, folder=here.folder)) as running:
            assert json.loads(to.next().body)["data"]["threshold_percent"] == "50"
            with log.open("ab") as file:
                file.writelines(requests(85)[60:])
            assert json.loads(to.next().body)["data"]["threshold_percent"] == "80"
            running.send_signal(signal.SIGTERM)
            assert ended(running).code == 0
    with receiver(200) as to:
        assert here.tollbook(*here.run_words(log), *sinks(here, to)).code == 0
        assert told(to) == ["80"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- {name: a, type: pager}", "pager"),
        ("- {name: a, type: slack}", "either secret_env or secret_file"),
        ("- {name: a, type: slack, secret_env: UNSET}", "one secret"),
        ("- {name: a, type: slack, secret_env: HOME, kinds: [quotas]}", "kinds"),
        ("- {name: a, type: alertmanager, url: 'http://am.example:9093'}", "https://"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_before_anything_is_read(
    here: Here, tmp_path: Path, text: str, message: str
) -> None:
    """A fault in the file must not be found when the first alert is due."""
    file = tmp_path / "bad.yaml"
    file.write_text(text)
    done = here.tollbook(*here.run_words(here.log("0.log", *requests(1))), "--alerts", file)
    assert done.code == 2
    assert message in done.err
    assert not here.lake.exists()
