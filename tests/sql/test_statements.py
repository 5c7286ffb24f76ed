"""One runner for all SQL: a folder per statement, a folder per case (tests/sql/cases.py says how one is written)."""

from pathlib import Path

import pytest

from tests.sql.cases import CASES, HERE, SHAPES, STATEMENTS, outcome

# Statements without a case, each with the reason.
WITHOUT: dict[str, str] = {}


@pytest.mark.integration
@pytest.mark.parametrize("zone", ["UTC", pytest.param("Pacific/Apia", marks=pytest.mark.slow)])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_statement_gives_what_the_case_says(case: Path, zone: str) -> None:
    """Values, nulls, types as they are written (5 is no 5.0), and the order where there is one; whichever zone the
    session has.
    """
    got, wanted = outcome(case, STATEMENTS[case.parts[0]].read_text(), zone)
    assert got == wanted


@pytest.mark.parametrize("name", STATEMENTS)
def test_every_statement_has_a_case(name: str) -> None:
    """A new statement comes with an example of what it does."""
    has = any(case.parts[0] == name for case in CASES)
    assert has or name in WITHOUT, f"tests/sql/{name} is missing"
    assert not (has and name in WITHOUT), f"{name} has cases now: take it off the list"


def test_no_file_of_a_case_is_passed_over() -> None:
    """A table with a mistake in its name would be an empty one, and a case in the wrong folder none."""
    known = {*(f"{name}.csv" for name in SHAPES), "params.json", "expect.csv", "asked.sql"}
    files = [
        path.relative_to(HERE)
        for path in HERE.rglob("*")
        if path.is_file() and path.suffix in {".csv", ".json", ".sql"}
    ]
    assert {path.name for path in files} <= known
    assert {path.parent for path in files} == set(CASES)
    assert {path.parts[0] for path in files} <= set(STATEMENTS)
