"""Words that are not used any more: private words have given way to the usual terms, and do not come back.

A word is looked for in names, comments, docstrings, messages, statements and pages. Where one is a public name, or
stands in what is frozen, `ALLOWED` says so with the reason. A word enters the list when its last use is gone.
"""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# The word as a pattern, and what is written instead.
GONE = {
    r"twins?": "lines of one template, template cache",
    r"kin": "related records",
    r"receipts": "results of a batch",
    r"worksheets?": "the name of what it holds",
    r"unfold(s|ed|ing)?": "expansion of aliases, block style",
    r"forgetting": "expire",
    r"from ever to ever": "for all time",
    r"doors?": "credential type, way in, HTTP server",
    r"strangers?": "unknown partner, unknown credential",
    r"mend(s|ed|ing)?": "fix",
    r"struck out": "redacted",
    r"embedded run": "local run",
    r"heard": "received, read, logged",
    r"recall(s|ed)?": "refetch, replay",
    r"reread(s|ing)?": "decode again, replay",
    r"said": "the name of what it is: message, log line, report, headers",
    r"untold": "unknown",
    r"dear": "expensive",
}
# In docs/, README.md, examples/ and deploy/ more words are gone than in the code.
GONE_FROM_PAGES = {
    r"followers": "derived tables",
}
SUFFIXES = {".py", ".sql", ".md", ".yml", ".yaml", ".toml", ".ipynb", ".typ"}
PAGES = (
    "docs/",
    "README.md",
    "CHANGELOG.md",
    "examples/",
    "deploy/",
    "docker-compose.yml",
    "Dockerfile",
    "Makefile",
    "pyproject.toml",
)
FOLDERS = (
    "kernels", "schemas", "lake", "ingest", "aggregate", "billing", "tollbook", "tests", "benchmarks", "docs", "deploy", "examples",
    "notebooks",
)  # fmt: skip
# A path, or the beginning of one, and why a word may stand there.
FROZEN = {
    "docs/results/": "measurements are not written anew",
    "billing/invoicing/rules1/": "frozen code: invoices of rules 1 are proved by it",
    "tests/billing/lakes_kept/": "a lake of rules 1",
    "tests/test_words.py": "the list itself",
}
# (Path, or the beginning of one; pattern) → why the word may stand there.
ALLOWED = {
    ("ingest/decode/formats/azure_appgw.sql", r"doors?"): "Azure Front Door is the name of a product",
    ("docs/formats.md", r"doors?"): "Azure Front Door is the name of a product",
    ("ingest/decode/framing.py", r"unfold(s|ed|ing)?"): "to be renamed with its module",
    ("lake/", r"said"): "to be renamed with its module",
    **{
        ("tests/ingest/", word): "to be renamed with their modules"
        for word in (r"doors?", r"strangers?", r"mend(s|ed|ing)?", r"struck out", r"said", r"dear")
    },
    ("tests/lake/", r"said"): "to be renamed with its module",
}


@cache
def lowered() -> dict[str, str]:
    """The texts in lower case."""
    return {name: text.lower() for name, text in texts().items()}


@cache
def texts() -> dict[str, str]:
    """Path → text of every file of the project that is not frozen."""
    inside = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if path.suffix in SUFFIXES]
    beside = [ROOT / name for name in PAGES if (ROOT / name).is_file()]
    names = {str(path.relative_to(ROOT)): path for path in sorted({*inside, *beside})}
    return {name: path.read_text() for name, path in names.items() if not name.startswith(tuple(FROZEN))}


def uses(pattern: str, text: str) -> list[int]:
    """The lines that hold a word: by itself in any case, between underscores, or as a part of the name of a class."""
    word = pattern.replace(" ", r"(?:_|\s+(?:#\s+|--\s+)?)")
    capital = word[0].upper() + word[1:]
    found = re.compile(
        rf"(?<![A-Za-z])(?i:{word})(?![A-Za-z])|(?<=[a-z]){capital}(?![a-z])|(?<![A-Za-z]){capital}(?=[A-Z][a-z])"
    )
    return [text.count("\n", 0, m.start()) + 1 for m in found.finditer(text)]


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        pytest.param("one\ntwo twins", [2], id="a word"),
        pytest.param("Twins are read once.", [1], id="at the start of a sentence"),
        pytest.param("WITH_TWINS = 1", [1], id="in a constant"),
        pytest.param("class TwinCache:", [1], id="in the name of a class"),
        pytest.param("class LineTwins:", [1], id="behind another word of it"),
        pytest.param("twinset, entwined", [], id="another word"),
    ],
)
def test_words_are_found_in_names_and_sentences(text: str, lines: list[int]) -> None:
    """A word that hides in a name would come back."""
    assert uses("twins?", text) == lines


def test_words_of_a_phrase_are_found_in_names() -> None:
    """A phrase stands between underscores in the name of a test."""
    assert uses("struck out", "def test_it_is_struck_out(): ...\nstruck\n# out") == [1, 2]


@pytest.mark.parametrize("pattern", [*GONE, *GONE_FROM_PAGES])
def test_a_word_that_is_gone_stays_away(pattern: str) -> None:
    """Who reads for the first time knows the usual word, and no other."""
    instead = GONE.get(pattern) or GONE_FROM_PAGES[pattern]
    everywhere = pattern in GONE
    begin = re.match(r"[a-z]+", pattern)
    assert begin
    stem = begin[0][:-1]  # its last letter may be optional; a text without the stem need not be searched
    found = [
        f"{name}:{line}"
        for name, text in texts().items()
        if stem in lowered()[name]
        if everywhere or name.startswith(PAGES)
        if not any(word == pattern and name.startswith(place) for place, word in ALLOWED)
        for line in uses(pattern, text)
    ]
    assert len(texts()) > 300
    assert not found, f"instead of {pattern!r} write: {instead}; {', '.join(found[:20])}"


# A folder whose classes may have the names of others, and why.
FROZEN_COPIES = {"billing/invoicing/rules1": "it keeps the classes of rules 1, so their names stand in rules 2 as well"}
PACKAGES = ("schemas", "kernels", "lake", "ingest", "aggregate", "billing", "tollbook")


def defined_twice(modules: dict[str, str]) -> dict[str, list[str]]:
    """The class names that more than one `class` statement of the modules defines, without leading underscores."""
    places: dict[str, list[str]] = {}
    for name, text in modules.items():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ClassDef):
                places.setdefault(node.name.lstrip("_"), []).append(f"{name}:{node.lineno}")
    return {name: found for name, found in places.items() if len(found) > 1}


@pytest.mark.parametrize(
    ("modules", "twice"),
    [
        pytest.param({"a.py": "class Part: ...", "b.py": "class Parts: ..."}, {}, id="two names"),
        pytest.param({"a.py": "class Part: ...", "b.py": "class Part: ..."}, {"Part": ["a.py:1", "b.py:1"]}, id="same"),
        pytest.param({"a.py": "class Part: ...\nclass _Part: ..."}, {"Part": ["a.py:1", "a.py:2"]}, id="underscore"),
        pytest.param(
            {"a.py": "class Part: ...", "b.py": "def f():\n    class Part: ..."},
            {"Part": ["a.py:1", "b.py:2"]},
            id="nested",
        ),
    ],
)
def test_class_names_that_stand_twice_are_found(modules: dict[str, str], twice: dict[str, list[str]]) -> None:
    """Neither a leading underscore nor a place inside a function hides a second class of the same name."""
    assert defined_twice(modules) == twice


def test_a_class_name_means_one_thing() -> None:
    """Two classes of one name make a reader look up at every use which of them is meant."""
    modules = {
        name: path.read_text()
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
        for name in [str(path.relative_to(ROOT))]
        if not name.startswith(tuple(FROZEN_COPIES))
    }
    assert len(modules) > 200
    assert not defined_twice(modules)
