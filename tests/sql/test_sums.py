"""No sum is narrower than 128 bits: 10,000 sizes just below the limit of anomalies do not fit into 64."""

import json
import re
from pathlib import Path

import pytest

from tests.sql.cases import ROOT

# A number of these types may not hold a sum. A decimal of 38 digits and a HUGEINT have 128 bits.
_NARROW = re.compile(
    r"::\s*(?:U?(?:BIG|SMALL|TINY)?INT(?:EGER)?|INT[1248]|LONG|SHORT|SIGNED|DOUBLE|FLOAT\d?|REAL|(?:DECIMAL|NUMERIC)(?!\s*\(\s*38\b))\b"
    r"|\bCAST\s*\(",
    re.IGNORECASE,
)
_SUM = re.compile(r"\b(?:sum|list_sum|sum_no_overflow|fsum|avg|mean)\s*\(", re.IGNORECASE)
_COMMENT = re.compile(r"--[^\n]*")
# What these casts hold is no sum: the part of one that a column of 64 bits takes, how many parts there are, and a day.
# Those of compacted rollups are of bounded numbers, and one that does not fit is an error.
_ALLOWED = {"aggregate/sql/fold.sql": 4, "aggregate/sql/jumps.sql": 1, "lake/sql/compacted_rollups.sql": 4}
FOLDERS = ("aggregate", "billing", "lake", "tollbook", "notebooks")


def statements() -> list[tuple[str, str]]:
    """Every statement that is a file, and each cell of a notebook and module that holds one."""
    files = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.sql"))]
    found = [(str(path.relative_to(ROOT)), path.read_text()) for path in files]
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        cells = json.loads(path.read_text())["cells"]
        found += [
            (f"{path.name}[{n}]", "".join(cell["source"]))
            for n, cell in enumerate(cells)
            if cell["cell_type"] == "code"
        ]
    modules = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]
    return found + [
        (str(path.relative_to(ROOT)), path.read_text()) for path in modules if "SELECT " in path.read_text()
    ]


STATEMENTS = statements()


def narrow(text: str) -> list[str]:
    """The casts to narrow numbers in a statement that sums."""
    bare = _COMMENT.sub("", text)
    return _NARROW.findall(bare) if _SUM.search(bare) else []


@pytest.mark.parametrize(("name", "text"), STATEMENTS, ids=[name for name, _ in STATEMENTS])
def test_a_statement_that_sums_casts_to_nothing_narrow(name: str, text: str) -> None:
    """Wherever the cast stands: of the sum itself, around it, or of its name in another part of the statement."""
    assert len(narrow(text)) == _ALLOWED.get(name, 0), narrow(text)


@pytest.mark.parametrize(
    "text",
    [
        "SELECT sum(requests)::BIGINT FROM rollups",
        "SELECT coalesce(sum(requests), 0)::bigint FROM rollups",
        "SELECT sum(requests) FILTER (WHERE TRUE) :: INTEGER FROM rollups",
        "WITH a AS (SELECT sum(x) AS x FROM t) SELECT x::INT8 FROM a",
        "SELECT CAST(sum(x) AS BIGINT) FROM t",
        "SELECT sum(x)::DECIMAL(18, 3) FROM t",
        "SELECT sum(x)::DOUBLE FROM t",
        "SELECT sum(sum(x)) OVER ()::UBIGINT FROM t",
    ],
)
def test_a_narrow_sum_is_found(text: str) -> None:
    """The scan itself: each way to write one."""
    assert narrow(text)


def test_all_folders_with_statements_are_scanned() -> None:
    """A new package with sums is not passed over."""
    summing = {
        path.relative_to(ROOT).parts[0]
        for path in Path(ROOT).glob("*/**/*.sql")
        if path.relative_to(ROOT).parts[0] not in {".venv", "tests"} and _SUM.search(_COMMENT.sub("", path.read_text()))
    }
    assert summing <= set(FOLDERS)
