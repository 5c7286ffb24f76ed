"""The exact judgement of suspicious texts: right reason, right place, whatever the text, in time that grows with its length."""

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.decode import strict_json
from ingest.decode.strict_json import DEPTH_MAX, FIELDS_MAX, problem


def nested(depth: int) -> str:
    return '{"a":' * depth + "1" + "}" * depth


def wide(fields: int) -> str:
    return json.dumps({f"f{i}": i for i in range(fields)})


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param('{"a": 1}', None, id="an object"),
        pytest.param(nested(DEPTH_MAX), None, id="as deep as is allowed"),
        pytest.param(nested(DEPTH_MAX + 1), "TOO_DEEP", id="one deeper"),
        pytest.param("[" * 100_000, "TOO_DEEP", id="so deep that a parser would crash"),
        pytest.param('{"a":"' + "[" * 50 + '"}', None, id="brackets in a text are no depth"),
        pytest.param(wide(FIELDS_MAX), None, id="as many fields as are allowed"),
        pytest.param(wide(FIELDS_MAX + 1), "TOO_MANY_FIELDS", id="one more"),
        pytest.param('{"a":"' + ":" * 300 + '"}', None, id="colons in a text are no fields"),
        pytest.param('{"a":1,"a":1}', "DUPLICATE_KEY", id="a name twice, even with one value"),
        pytest.param('{"a":1,"\\u0061":2}', "DUPLICATE_KEY", id="a name twice, once in disguise"),
        pytest.param('{"data":{"a":1,"a":2}}', "DUPLICATE_KEY", id="a name twice in the data"),
        pytest.param('{"b":{"a":1,"a":2}}', None, id="a name twice where nothing is read"),
        pytest.param('{"a":1}{"b":2}', "TRAILING_DATA", id="two objects"),
        pytest.param('{"a":1} x', "TRAILING_DATA", id="an object and more"),
        pytest.param('{"a":', "NOT_JSON", id="cut"),
        pytest.param('{"a":NaN}', "NOT_JSON", id="NaN"),
        pytest.param('{"a":-Infinity}', "NOT_JSON", id="infinity"),
        pytest.param('{"a":1,}', "NOT_JSON", id="a comma too many"),
        pytest.param('{"a":1e400}', "NUMBER_RANGE", id="beyond all numbers"),
        pytest.param('{"a":1e-400}', "NUMBER_RANGE", id="below all numbers"),
        pytest.param('{"a":1e99}', None, id="the last exponent"),
        pytest.param('{"a":1e100}', "NUMBER_RANGE", id="the first one too far"),
        pytest.param('{"a":1e' + "9" * 5000 + "}", "NUMBER_RANGE", id="an exponent of 5,000 digits"),
        pytest.param('{"a":' + "9" * 38 + "}", None, id="38 digits"),
        pytest.param('{"a":' + "9" * 39 + "}", "NUMBER_RANGE", id="39 digits"),
        pytest.param('{"a":' + "9" * 5000 + "}", "NUMBER_RANGE", id="5,000 digits"),
        pytest.param('{"a":"\\ud800"}', "BAD_UTF8", id="half a surrogate pair"),
        pytest.param('{"\\ud800":1}', "BAD_UTF8", id="half a pair in a name"),
        pytest.param('{"a":"\\ud83d\\ude00"}', None, id="a whole pair"),
    ],
)  # fmt: skip
def test_each_kind_has_its_reason(text: str, reason: str | None) -> None:
    """Both sides of each limit."""
    found = problem(text)
    assert (found and str(found.reason)) == reason


def test_the_place_is_told_in_bytes() -> None:
    """Who mends a line finds it with tools that count bytes; characters beyond ASCII take several."""
    found = problem('{"ä":1} x')
    assert found is not None
    assert found.detail == "trailing data after the JSON at byte 9"


VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=9,
)


@pytest.mark.integration
@given(st.dictionaries(st.text(max_size=4), VALUES, max_size=5))
def test_what_a_writer_of_json_writes_passes(record: dict[str, Any]) -> None:
    """Suspicion must not cost an innocent event."""
    assert problem(json.dumps(record)) is None
    assert problem(json.dumps(record, ensure_ascii=False)) is None


@given(st.text(max_size=60) | st.text('{}[]":,\\0e-1au', max_size=60))
def test_any_text_has_an_answer(text: str) -> None:
    """It never raises: what a parser cannot read is an answer, too."""
    found = problem(text)
    assert found is None or found.detail


HOSTILE = ['"', "\\", '\\"', '"\\', "{", "[", ":", '{"a":', "9", "1e", "-", "\\ud800", ",", '"":', "null", " "]


@pytest.mark.parametrize("piece", HOSTILE)
def test_the_work_grows_with_the_length_alone(piece: str) -> None:
    """100,000 characters of what patterns and parsers stumble over: each is looked at once, and there is an answer."""
    text = '{"a":' + piece * (100_000 // len(piece))
    tokens = [m.span() for m in strict_json._TOKEN.finditer(text)]
    assert all(end <= start for (_, end), (start, _) in itertools.pairwise(tokens))
    assert sum(end - start for start, end in tokens) <= len(text)
    assert problem(text) is not None


def test_names_that_were_made_to_collide_are_counted_like_others() -> None:
    """200 names whose hashes are equal in many languages: there are never more than 256 to compare."""
    names = ["".join(pair) for pair in itertools.product(["Aa", "BB"], repeat=8)][:200]
    assert problem(json.dumps(dict.fromkeys(names, 1))) is None
    found = problem("{" + ",".join(f'"{name}":1' for name in [*names, names[0]]) + "}")
    assert found is not None
    assert str(found.reason) == "DUPLICATE_KEY"
