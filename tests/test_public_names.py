"""Public names stay: what users query, script, scrape or consume is in the lists under tests/public_names, and in
the program.
"""

import pytest

from tests.public_names import kafka as beside_kafka
from tests.public_names import outputs, program
from tests.public_names.lists import FOLDER, committed, complaint
from tests.tollbook.test_help import WITH_JSON

PROGRAM = program.lists()
OUTPUTS = ("json", "documents", "analysis-views", "modules")
KAFKA = ("json-kafka",)


def same(subject: str, names: list[str]) -> None:
    message = complaint(subject, committed(subject), names)
    assert not message, message


@pytest.mark.parametrize("subject", PROGRAM)
def test_names_of_the_program_are_those_of_the_list(subject: str) -> None:
    """Tables, messages, reasons, metrics, options, fields of files: a renamed one breaks a query or a script that
    nobody here sees.
    """
    same(subject, PROGRAM[subject])


@pytest.mark.slow
@pytest.mark.parametrize("subject", OUTPUTS)
def test_names_in_outputs_are_those_of_the_list(subject: str) -> None:
    """Programs read what commands print and write: keys of JSON, columns of CSV and of views."""
    same(subject, outputs.lists()[subject])


@pytest.mark.parametrize("subject", KAFKA)
def test_names_in_outputs_beside_a_broker_are_those_of_the_list(subject: str, kafka: str) -> None:
    """The same for what needs Kafka."""
    same(subject, beside_kafka.lists(kafka)[subject])


def test_no_list_is_left_over_and_none_is_empty() -> None:
    """A list that nothing is compared with would keep nothing."""
    subjects = {*PROGRAM, *OUTPUTS, *KAFKA}
    assert {path.stem for path in FOLDER.glob("*.txt")} == subjects
    assert all(committed(subject) for subject in subjects)


def test_every_command_that_offers_json_is_listed() -> None:
    """A new command's keys are names from its first day. test_aws.py and test_approving.py have theirs."""
    elsewhere = {"tollbook aws enforce", "tollbook invoice propose", "tollbook invoice approve"}
    listed = {line.partition(":")[0] for subject in ("json", "json-kafka") for line in committed(subject)}
    assert {" ".join(("tollbook", *place)) for place in WITH_JSON} - elsewhere <= listed


@pytest.mark.parametrize(
    ("now", "line"),
    [
        pytest.param(["a", "c"], "-b", id="removed"),
        pytest.param(["a", "b2", "c"], "+b2", id="renamed"),
        pytest.param(["a", "b", "c", "d"], "+d", id="added"),
    ],
)
def test_a_list_that_differs_is_reported_with_what_to_do(now: list[str], line: str) -> None:
    """Whoever meets the failure learns what it breaks, and how to add a name."""
    message = complaint("tables", ["a", "b", "c"], now)
    assert line in message.splitlines()
    assert "breaks users" in message
    assert "python -m tests.public_names" in message
    assert complaint("tables", now, now) == ""
