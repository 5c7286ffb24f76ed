"""The format of docs/formats.md, done as the page says."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from ingest.decode import formats, statements
from ingest.decode.framing import split_lines
from ingest.decode.pipeline import GIVEN
from tests.docs.pages import ROOT, block, names_in_first_column, rows, section, text_of

PACKAGES = ("schemas", "kernels", "lake", "ingest", "aggregate", "billing", "tollbook")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tollbook with one file more, as the page has it."""
    root = tmp_path_factory.mktemp("acme")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, root / package, ignore=shutil.ignore_patterns("__pycache__"))
    (root / "ingest" / "decode" / "formats" / "acme.sql").write_text(block("docs/formats.md", "acme.sql"))
    (root / "acme.log").write_text(block("docs/formats.md", "acme.log"))
    return root


def run(place: Path, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *words], cwd=place, env={**os.environ, "PYTHONPATH": str(place)}, capture_output=True, text=True, check=False
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.integration
def test_the_example_reads_what_the_page_says(place: Path) -> None:
    """Who follows the page must see what the page shows."""
    assert run(place, "ingest", "parse", "--format", "acme", "acme.log") == block("docs/formats.md", "parsed")


@pytest.mark.integration
def test_the_example_runs_into_a_lake(place: Path) -> None:
    """Two counted, one duplicate, two refused: the figures in the text."""
    source = ("--source", "acme-1", "--catalog", str(ROOT / "examples" / "catalog"))
    report = json.loads(
        run(place, "tollbook", "run", "--lake", "acme-lake", "--format", "acme", *source, "--json", "acme.log")
    )
    counts = {k: report[k] for k in ("entries", "counted", "duplicates", "conflicts", "refused")}
    assert counts == {"entries": 5, "counted": 2, "duplicates": 1, "conflicts": 0, "refused": 2}


def test_the_columns_of_a_format_are_those_that_are_read() -> None:
    """A column that the page forgets is one that its reader's format lacks."""
    listed = names_in_first_column(section("docs/formats.md", "The columns of a format"))
    header = (ROOT / "ingest/decode/sql/normalise.sql").read_text().partition("-- in:  entries(")[2].partition(")")[0]
    assert listed == [name.strip(" \n-") for name in header.split(",")]


def test_every_format_of_ours_has_these_columns() -> None:
    """The page describes all formats, not only its own example."""
    listed = names_in_first_column(section("docs/formats.md", "The columns of a format"))
    assert len(formats.names()) > 10
    for name in formats.names():
        con = statements.connect(name)
        con.register("lines", split_lines(b"{}\n", 0).lines)
        con.register("given", pa.Table.from_pylist([{}], GIVEN))
        assert sorted(con.sql(formats.statement(name)).columns) == sorted(listed), name


def test_macros_that_are_named_exist() -> None:
    """They are the first thing that is tried out."""
    macros = (ROOT / "ingest/decode/sql/macros.sql").read_text()
    for name in ("present", "epoch_number_us", "clf_time_us", "iso_time_us"):
        assert f"MACRO {name}(x)" in macros
        assert f"`{name}(x)`" in (ROOT / "docs/formats.md").read_text()


def test_the_page_says_of_every_format_what_was_seen() -> None:
    """Whoever has an older version of a gateway looks here before trusting a format with money."""
    listed = rows(section("docs/formats.md", "What was seen"))[2:]
    assert [name.strip("`") for name, *_ in listed] == list(formats.names())
    assert all(seen and influence for _, seen, influence in listed)


def test_the_page_says_which_versions_of_gateways_are_started() -> None:
    """The tests in tests/gateways take their configuration from the page of gateways."""
    seen = {name.strip("`"): text for name, text, _ in rows(section("docs/formats.md", "What was seen"))[2:]}
    started = re.findall(r"^Seen: .*? ([0-9.]+)\. Format `(\w+)`\.$", text_of("docs/gateways.md"), re.MULTILINE)
    assert len(started) == 6
    for version, name in started:
        assert f"real: {version}," in seen[name]
