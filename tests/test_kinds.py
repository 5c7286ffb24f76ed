"""What `make unit`, `make test` and `make test-all` run, and that the first starts no process and connects to
nothing.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests import kinds

ROOT = Path(__file__).parent.parent
TARGETS = {"unit": "unit", "test": "not slow", "test-all": None}
# Files of which `make test` runs nothing, each with its reason.
NOT_IN_MAKE_TEST = {
    "tests/billing/test_correction_histories.py": "random histories of corrections; test_corrections.py has each by itself",
    "tests/deploy/test_alerts_arrive.py": "starts Prometheus and Alertmanager; test_prometheus.py has each rule by itself",
    "tests/gateways/test_enforcement_end_to_end.py": "a gateway, a followed log and a decision server; each has tests of its own",
    "tests/e2e/test_kafka_oracle.py": "brokers and workers are killed for a minute; test_oracle.py kills the local run, test_demo_kafka.py compares invoices",
    "tests/e2e/test_mutants.py": "checks that the oracle finds broken workers, and not the workers",
    "tests/tollbook/test_bit_flips.py": "every command over damaged copies of a lake; tests/lake/test_damage.py flips the bits of one file",
    "tests/tollbook/test_neighbour_alerts.py": "random histories of load; tests/aggregate/test_neighbour.py has the rule",
    "tests/tollbook/test_quota_histories.py": "random histories of quotas; test_alerting.py has the rules one by one",
}


def chosen(target: str, *words: str) -> subprocess.CompletedProcess[str]:
    """A pytest that chooses tests as the target does."""
    marks = TARGETS[target]
    environment = {
        k: v for k, v in os.environ.items() if k not in {"KAFKA_BOOTSTRAP_SERVERS", "REQUIRE_KAFKA", "PYTEST_ADDOPTS"}
    }
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:randomly", *([] if marks is None else ["-m", marks]), *words],
        env=environment, cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip


def collected(target: str, *words: str) -> set[str]:
    done = chosen(target, "--collect-only", "-q", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    return set(re.findall(r"^(tests/.+?\.py::.+)$", done.stdout, re.MULTILINE))


@pytest.mark.integration
def test_a_unit_test_that_starts_a_process_or_connects_fails() -> None:
    """Nobody has to look after it: what is no unit says so, or `make unit` and every other run fail."""
    done = chosen("unit", "-q", "-rA", "tests/kinds_probe.py")
    outcomes = re.findall(r"^(PASSED|FAILED|ERROR) tests/kinds_probe\.py::(\S+)", done.stdout, re.MULTILINE)
    assert {name: outcome for outcome, name in outcomes} == {
        "test_keeps_to_itself": "PASSED",
        "test_starts_a_process": "FAILED",
        "test_starts_a_process_and_is_not_told": "FAILED",
        "test_starts_a_shell": "FAILED",
        "test_forks": "FAILED",
        "test_connects": "FAILED",
        "test_connects_elsewhere": "FAILED",
        "test_has_a_fixture_that_starts_a_process": "ERROR",
        "test_has_many_cases[100]": "PASSED",
        "test_has_many_cases[104]": "PASSED",
        "test_has_many_cases[108]": "PASSED",
    }, done.stdout


@pytest.mark.integration
@pytest.mark.slow
def test_make_test_leaves_out_what_is_slow_and_make_test_all_nothing() -> None:
    """Of a family that is sampled the first case, the last, and others evenly between them stay."""
    everything = collected("test-all", "tests/kinds_probe.py")
    left_out = {name.partition("::")[2] for name in everything - collected("test", "tests/kinds_probe.py")}
    assert left_out == {
        "test_is_slow",
        "test_names_a_type_of_duckdb",
        *(f"test_has_many_cases[{n}]" for n in (101, 102, 103, 105, 106, 107)),
    }


@pytest.mark.integration
def test_make_test_runs_something_of_every_file(request: pytest.FixtureRequest) -> None:
    """A behaviour of which nothing is tested before a push breaks unseen for a day."""
    files = {str(path.relative_to(ROOT)) for path in (ROOT / "tests").rglob("test_*.py")}
    if [Path(name).resolve() for name in request.config.args] == [ROOT / "tests"] and not request.config.option.keyword:
        # This run has collected all tests already.
        items = [item for item in request.session.items if not item.get_closest_marker("slow")]
        kept = {str(item.path.relative_to(ROOT)) for item in items}
    else:
        kept = {name.partition("::")[0] for name in collected("test")}
    assert files - kept == set(NOT_IN_MAKE_TEST)


def test_of_many_cases_those_are_kept_that_lie_far_apart() -> None:
    """The cases of a family are often sorted by kind."""
    assert kinds.apart(9, 3) == {0, 4, 8}
    assert kinds.apart(10, 4) == {0, 3, 6, 9}
    assert kinds.apart(2, 5) == {0, 1}
    assert kinds.apart(5, 1) == {0}


def test_a_target_of_make_chooses_as_documented_here() -> None:
    """The commands of the Makefile, without the number of processes."""
    text = (ROOT / "Makefile").read_text()
    for target, marks in TARGETS.items():
        (command,) = re.findall(rf"^{target}: .*\n\t@\$\(BIN\)/python -m pytest(.*)$", text, re.MULTILINE)
        assert re.findall(r"-m '?([\w ]+?)'?$", command) == ([] if marks is None else [marks])


@pytest.mark.integration
@pytest.mark.slow
def test_a_run_lets_go_of_its_tests_at_its_end() -> None:
    """Else DuckDB reports at the end that its types have leaked: those that a test over random examples names."""
    done = chosen("test-all", "-q", "tests/kinds_probe.py::test_names_a_type_of_duckdb")
    assert (done.returncode, done.stderr) == (0, "")
    assert "leak" not in done.stdout
