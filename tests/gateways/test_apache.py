"""Apache httpd itself writes the logs: what Tollbook reads in them is what was sent."""

from pathlib import Path

import pytest

from tests.gateways.apache import READINGS, started
from tests.gateways.cases import Case
from tests.gateways.counting import run_counts_every_request
from tests.gateways.reading import Played, differences, each_case, play


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Played]:
    with started(tmp_path_factory.mktemp("apache")) as (site, pipes):
        return play(site, READINGS, pipes)


@pytest.mark.sampled(keep=40)
@pytest.mark.parametrize(("log", "case"), each_case(READINGS))
def test_an_entry_is_the_request_that_was_sent(log: str, case: Case, played: dict[str, Played]) -> None:
    found = differences(READINGS[log], case, played[case.name], log)
    assert not found, "\n".join(found)


def test_a_run_counts_every_request_once(tmp_path: Path, played: dict[str, Played]) -> None:
    run_counts_every_request(tmp_path, READINGS["recommended"], played, "recommended")
