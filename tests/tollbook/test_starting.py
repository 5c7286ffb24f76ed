"""What a command imports before it begins: its own modules, and none that only others need."""

import json
import subprocess
import sys
from importlib import import_module

import pytest

from tollbook.cli.app import app
from tollbook.cli.commands import COMMANDS
from tollbook.cli.errors import ANSWERS

# Runs a command in a fresh process, and prints which of some modules it imported.
IMPORTED = """
import sys, json
from tollbook.__main__ import main
try:
    main({words})
finally:
    print(json.dumps([name for name in {names} if name in sys.modules]))
"""
# PyArrow would import pandas when it is there, for as long as all else takes.
HEAVY = [
    "pandas",
    "numpy",
    "pyarrow",
    "duckdb",
    "pydantic",
    "httpx",
    "tenacity",
    "confluent_kafka",
    "fastapi",
    "boto3",
    "faust",
]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--version"], []),
        (["lake", "stats", "--help"], ["numpy", "pyarrow", "duckdb", "tenacity"]),
        (["invoice", "list", "--help"], ["numpy", "pyarrow", "duckdb", "pydantic"]),
    ],
    ids=" ".join,
)
def test_a_command_imports_what_it_needs(words: list[str], expected: list[str]) -> None:
    """A scheduler starts commands all day: none waits for the libraries of the others."""
    code = IMPORTED.format(words=words, names=HEAVY)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1]) == expected


def test_the_table_names_every_command_once() -> None:
    names = [each.name for each in COMMANDS]
    assert len(names) == len(set(names))
    assert {name for name in app if not name.startswith("-")} == set(names)


@pytest.mark.parametrize("listed", COMMANDS, ids=lambda each: each.name)
def test_what_the_table_says_of_a_command_is_what_its_module_says(listed) -> None:  # type: ignore[no-untyped-def]
    """The text of a command that takes long to import stands twice."""
    module, _, name = listed.target.partition(":")
    found = getattr(import_module(module), name)
    assert listed.is_group == (not callable(found) or hasattr(found, "parse_args"))
    if listed.help is not None:
        assert listed.help.split() == (found.__doc__ or "").split()


@pytest.mark.parametrize("name", ANSWERS)
def test_every_error_with_an_answer_is_the_class_of_that_name(name: str) -> None:
    """A class that was renamed or moved would become a bug in Tollbook, with a traceback."""
    module, _, qualname = name.rpartition(".")
    kind = getattr(import_module(module), qualname)
    assert issubclass(kind, Exception)
    assert f"{kind.__module__}.{kind.__qualname__}" == name
