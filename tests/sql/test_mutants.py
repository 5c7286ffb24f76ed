"""Cases notice: of every statement each comparison, turned into its neighbour or its opposite, fails a case."""

import pytest

from tests.sql.cases import STATEMENTS
from tests.sql.mutants import mutants, unnoticed

COMPARISONS = {"=", "!=", "<", "<=", ">", ">=", "IN", "NOT", "NULL", "DISTINCT", "ANTI", "SEMI"}
# A change that changes nothing: what is beside it, and why.
SAME = {
    "completeness": {
        "i.to_offset ⟦<=⟧ k.covered_to": "a range that ends at the bound holds as many offsets below it as it has records",
    },
    "silences": {
        "n.w ⟦>⟧ p.w": "a window that is empty is not among the windows with requests",
        "l.w ⟦<⟧ f.began": "nor is the one in which a silence begins",
    },
}


@pytest.mark.slow
@pytest.mark.parametrize("name", STATEMENTS)
def test_a_wrong_comparison_is_noticed(name: str) -> None:
    """Without this the silence of the cases would mean nothing.

    `python -m tests.sql.mutants NAME` shows other changes, too.
    """
    number, left = unnoticed(name, COMPARISONS)
    same = SAME.get(name, {})
    assert [what for what in left if not any(beside in what for beside in same)] == []
    assert all(any(beside in what for what in left) for beside in same), "it is noticed now: take it off the list"
    assert number or not any(token in STATEMENTS[name].read_text() for token in (" = ", " >= ", " IN "))


def test_a_change_is_one_change() -> None:
    """The tool itself: what it makes of a statement, comments left alone."""
    made = [mutant.text for mutant in mutants("-- a = b\nSELECT a FROM t WHERE a >= 1 AND b IS NOT DISTINCT FROM c")]
    assert "SELECT a FROM t WHERE a > 1 AND b IS NOT DISTINCT FROM c" in made
    assert "SELECT a FROM t WHERE a < 1 AND b IS NOT DISTINCT FROM c" in made
    assert "SELECT a FROM t WHERE a >= 2 AND b IS NOT DISTINCT FROM c" in made
    assert "SELECT a FROM t WHERE a >= 1 OR b IS NOT DISTINCT FROM c" in made
    assert "SELECT a FROM t WHERE a >= 1 AND b IS  DISTINCT FROM c" in made
    assert len(made) == len(set(made)) == 6
