"""YAML as our own files use it: text stays text, every fault has its line, and nothing takes time or memory without
end.
"""

from pathlib import Path

import pytest

from aggregate.sinks.file import sinks
from aggregate.sinks.sink import BadSink
from billing.catalog.loading import CatalogError, load
from ingest.http.producers import BadProducers, parsed
from schemas.yaml.reading import DEPTH_MAX, BadYaml, read

LAUGHS = "".join(f"    k{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 30))
# Name → text, and the expected message. All of them ended the process, filled the memory or took minutes in one of the
# three files.
BOMBS = {
    "aliases of aliases": ("partners:\n  - id: &a0 [x]\n" + LAUGHS, "the aliases up to here expand to"),
    "one long list, many times": (
        f"a: &a [{'x,' * 10_000}]\nb: [{'*a,' * 10_000}]\n",
        "the aliases up to here expand to",
    ),
    **{
        f"{name}, {depth:,} levels": ("partners: " + opening * depth + closing * depth, "nested deeper than 64 levels")
        for name, opening, closing in (("brackets", "[", "]"), ("open brackets", "[", ""), ("braces", "{a: ", "}"))
        for depth in (DEPTH_MAX, 900, 100_000)
    },
    "indentation, 900 levels": ("".join(f"{' ' * i}a:\n" for i in range(900)), "nested deeper than 64 levels"),
    "dashes, 100,000 levels": ("partners:\n" + "- " * 100_000 + "x\n", "nested deeper than 64 levels"),
    "question marks, 100,000 levels": ("? " * 100_000 + "x\n", "nested deeper than 64 levels"),
    "a part within itself": ("partners: &a [*a]", "this part contains itself; write it out"),
    "a field a thousand times": ("partners: [{" + "a: 1, " * 100_000 + "}]", "is given twice; keep one"),
    "a name for two values": ("partners: [&a x, &a y]", "two values have the anchor &a; rename one"),
    "a name for nothing": ("partners: [*a]", "no earlier value has the anchor &a; write the value out"),
    "two documents": ("partners: []\n---\npartners: []\n", "line 2: invalid YAML: a second document begins"),
    "a list as a name": ("? [a]\n: b\n", "a field's name must be text"),
    "a mapping as a name": ("? {a: b}\n: b\n", "a field's name must be text"),
    "an alias of a list as a name": ("a: &a [x]\n? *a\n: b\n", "a field's name must be text"),
    "a zero byte": ("a: \0", "check that it is a UTF-8 text file"),
}


@pytest.mark.parametrize(("text", "says"), BOMBS.values(), ids=BOMBS.keys())
def test_what_no_file_needs_ends_with_a_line_and_a_remedy(tmp_path: Path, text: str, says: str) -> None:
    """In each file of ours that is YAML, by the error that its command knows (exit code 2)."""
    with pytest.raises(BadYaml) as refused:
        read(text)
    assert says in str(refused.value)
    assert str(refused.value).startswith("line ")
    assert len(refused.value.faults) <= 1_000
    (tmp_path / "catalog.yaml").write_text(text)
    with pytest.raises(CatalogError) as of_catalog:
        load(tmp_path)
    assert says.removeprefix("line 2: ") in str(of_catalog.value)
    with pytest.raises(BadProducers, match="line "):
        parsed(text)
    with pytest.raises(BadSink, match="line "):
        sinks(tmp_path / "catalog.yaml", {})


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("# nothing\n", None),
        ("~", None),
        ("a: 1.10\nb: no\nc: 2026-01-01\nd: 0x1f\n", {"a": "1.10", "b": "no", "c": "2026-01-01", "d": "0x1f"}),
        ("a: null\nb: 'null'\nc:\nd: \"\"\ne: ~\nf: Null\n", {"a": None, "b": "null", "c": None, "d": "", "e": None, "f": "Null"}),
        ("a: &x [1, &y 2]\nb: *x\n*y : 3\n", {"a": ["1", "2"], "b": ["1", "2"], "2": "3"}),
        ("<<: {a: b}\n", {"<<": {"a": "b"}}),
        ("a: |\n  two\n  lines\nb: >\n  one\n  line\n", {"a": "two\nlines\n", "b": "one line\n"}),
        ("- [a, {b: c}]\n- {d: []}\n", [["a", {"b": "c"}], {"d": []}]),
        ("[" * DEPTH_MAX + "]" * DEPTH_MAX, None),
        ("~: a\n", {"~": "a"}),
    ],
)  # fmt: skip
def test_text_stays_text(text: str, value: object) -> None:
    """No number, date or boolean is ever guessed; only null is more than text."""
    found = read(text)
    if text.startswith("[["):
        assert isinstance(found, list)
    else:
        assert found == value


def test_aliases_in_their_place_are_no_bomb() -> None:
    """Ten thousand partners that share an address of six lines, and twenty the size of it."""
    text = "a: &a [1, 2, 3, 4, 5, 6]\nb:\n" + "".join(f"- {{id: p{i}, address: *a}}\n" for i in range(10_000))
    assert len(read(text)["b"]) == 10_000
