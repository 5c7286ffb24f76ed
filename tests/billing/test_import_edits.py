"""Edits of YAML: what is new stands where it should, everything else keeps its bytes."""

import difflib
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from schemas.yaml.edits import Append, CannotEdit, Drop, Edit, Set, edited
from schemas.yaml.nodes import composed
from schemas.yaml.writing import Entry, flow

CATALOG = """\
# Who pays.
partners:
  - id: acme   # the first
    name: 'Acme: all of it'
    credentials:
      - {kind: api_key, id: x}   # by hand
      # a second key comes in June
    plans: [{plan: a, valid_from: 2026-01-01}]
  # flow style
  - {id: zeta, name: Zeta, credentials: [{kind: iam, id: "arn:x"}]}
  - id: empty
    credentials: []

plans:
- id: a
  rate_card: card
  quotas:
  - {meter: requests, period: DAY, limit: 10}  # agreed by phone
  - meter: requests
    period: MONTH
    limit: 300
# the end
"""
KEY = {"kind": "api_key", "id": "new"}

# Edits, and the lines that they add (+) and take away (-).
CASES: dict[str, tuple[list[Edit], list[str]]] = {
    "a list in lines": (
        [Append(("partners", 0, "credentials"), (Entry(KEY, "from t"),))], ["+      - {kind: api_key, id: new}  # from t"],
    ),
    "a list in brackets": (
        [Append(("partners", 1, "credentials"), (Entry(KEY, "from t"),))],
        ['-  - {id: zeta, name: Zeta, credentials: [{kind: iam, id: "arn:x"}]}',
         '+  - {id: zeta, name: Zeta, credentials: [{kind: iam, id: "arn:x"}, {kind: api_key, id: new}]}'],
    ),
    "a record in brackets whose line would be too long": (
        [Append(("partners", 1, "credentials"), (Entry({"kind": "iam", "id": "arn:" + "y" * 60}, "from t"),)), Append(("partners", 1, "plans"), (Entry({"plan": "a"}),))],
        ['-  - {id: zeta, name: Zeta, credentials: [{kind: iam, id: "arn:x"}]}', "+  - id: zeta", "+    name: Zeta", "+    credentials:",
         '+      - {kind: iam, id: "arn:x"}', f"+      - {{kind: iam, id: arn:{'y' * 60}}}  # from t", "+    plans:", "+      - {plan: a}"],
    ),
    "an empty list": (
        [Append(("partners", 2, "credentials"), (Entry(KEY),))], ["-    credentials: []", "+    credentials:", "+      - {kind: api_key, id: new}"],
    ),
    "a list that is not there": (
        [Append(("partners", 2, "plans"), (Entry({"plan": "a", "valid_from": date(2026, 11, 1)}, "from t"),))],
        ["+    plans:", "+      - {plan: a, valid_from: 2026-11-01}  # from t"],
    ),
    "a list that is not there, in brackets": (
        [Append(("partners", 1, "plans"), (Entry({"plan": "a"}),))],
        ['-  - {id: zeta, name: Zeta, credentials: [{kind: iam, id: "arn:x"}]}',
         '+  - {id: zeta, name: Zeta, credentials: [{kind: iam, id: "arn:x"}], plans: [{plan: a}]}'],
    ),
    "a list without indentation": (
        [Append(("plans", 0, "quotas"), (Entry({"meter": "m", "period": "WEEK", "limit": Decimal(70)}),))], ["+  - {meter: m, period: WEEK, limit: 70}"],
    ),
    "a number": ([Set(("plans", 0, "quotas", 0), "limit", Decimal(20))],
        ["-  - {meter: requests, period: DAY, limit: 10}  # agreed by phone", "+  - {meter: requests, period: DAY, limit: 20}  # agreed by phone"]),
    "a number in lines": ([Set(("plans", 0, "quotas", 1), "limit", Decimal("1E+3"))], ["-    limit: 300", "+    limit: 1000"]),
    "a record": ([Set(("plans", 0), "throttle", {"rate_per_s": Decimal("0.5"), "burst": Decimal(5)})], ["+  throttle: {rate_per_s: 0.5, burst: 5}"]),
    "a record of a section": ([Append(("plans",), (Entry({"id": "b", "rate_card": "card"}, "from t"),))], ["+# from t", "+- id: b", "+  rate_card: card"]),
    "a section": ([Append(("meters",), (Entry({"id": "m", "aggregate": "count"}),))], ["+meters:", "+  - id: m", "+    aggregate: count"]),
    "an entry less": ([Drop(("plans", 0, "quotas"), 1)], ["-  - meter: requests", "-    period: MONTH", "-    limit: 300"]),
    "several at one place": (
        [Append(("plans",), (Entry({"id": "b"}),)), Set(("plans", 0), "throttle", {"burst": 1}), Append(("plans", 0, "quotas"), (Entry({"meter": "m"}),))],
        ["+  - {meter: m}", "+  throttle: {burst: 1}", "+- id: b"],
    ),
    "grants, on lines of their own": (
        [Append(("partners", 0, "credentials"), (Entry({"kind": "iam", "id": "arn:y", "allow": [{"actions": ["s3:Get*"], "resources": ["*"]}]}, "from t"),))],
        ["+      # from t", "+      - kind: iam", "+        id: arn:y", "+        allow:", "+          - actions: [s3:Get*]", "+            resources: ['*']"],
    ),
}  # fmt: skip


def changes(before: str, after: str) -> list[str]:
    lines = list(difflib.unified_diff(before.splitlines(), after.splitlines(), n=0, lineterm=""))[2:]
    return [line for line in lines if not line.startswith("@@")]


@pytest.mark.parametrize("name", CASES)
def test_an_edit_changes_its_own_lines_alone(name: str) -> None:
    """A diff in which a person must look for what changed is one that nobody reads."""
    edits, expected = CASES[name]
    after = edited(CATALOG, edits)
    assert changes(CATALOG, after) == expected


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize(
    "text",
    [CATALOG.replace("\n", "\r\n"), CATALOG.rstrip("\n"), "\ufeff" + CATALOG],
    ids=["CRLF", "no last line end", "BOM"],
)
def test_line_ends_and_marks_stay_as_they_are(name: str, text: str) -> None:
    """A file from another system comes back as one of that system."""
    after = edited(text, CASES[name][0])
    assert composed(after) == composed(edited(CATALOG, CASES[name][0]))
    assert after.count("\r\n") == (after.count("\n") if "\r\n" in text else 0)
    assert after.startswith("\ufeff") == text.startswith("\ufeff")


@pytest.mark.parametrize(
    "text", ["", "# nothing yet\n", "# nothing yet"], ids=["empty", "a comment", "a comment without end"]
)
def test_an_empty_file_gets_its_first_section(text: str) -> None:
    """`imported-NAME.yaml` begins so."""
    after = edited(text, [Append(("plans",), (Entry({"id": "a"}),))])
    assert after.startswith(text.rstrip("\n"))
    assert composed(after) == {"plans": [{"id": "a"}]}


@pytest.mark.parametrize(
    ("text", "edit"),
    [
        ("a: &x [{id: 1}]\nplans: *x\n", Append(("plans",), (Entry({"id": "2"}),))),
        ("plans: &x\n  - {id: 1}\n", Append(("plans",), (Entry({"id": "2"}),))),
        ("plans: [{id: 1}, {id: 2}]\n", Drop(("plans",), 0)),
        ("plans: text\n", Append(("plans",), (Entry({"id": "2"}),))),
    ],
    ids=["an alias", "an anchor", "an entry out of brackets", "no list"],
)
def test_what_cannot_be_changed_neatly_is_refused_with_its_line(text: str, edit: Edit) -> None:
    """Better a person edits it than that a neighbour is changed as well."""
    with pytest.raises(CannotEdit, match=r"^\d+: "):
        edited(text, [edit])


SCALARS = st.text(max_size=12) | st.sampled_from(
    ["no", "1e5", "0123", "2026-01-01", "12:30:00", "a: b", "# x", "null", "~", "*x", "s3:*", "{", "'", '"']
)


@given(
    st.recursive(
        SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(SCALARS, inner, max_size=3), max_leaves=8
    )
)
def test_whatever_is_written_is_read_back(value: Any) -> None:
    """As text for us, and for every other reader of YAML as the same text: an id of digits is no number."""
    written = flow(value)
    assert "\n" not in written
    assert yaml.safe_load(f"[{written}]") == [value]


NAMES = st.text("abc", min_size=1, max_size=3)
COMMENTS = st.sampled_from(["", "  # note", " # a: b", "\n# a line of its own", "\n\n  # indented"])


@pytest.mark.integration
@given(st.data())
def test_edits_keep_all_else_whatever_the_style(data: st.DataObject) -> None:
    """Lists in lines or in brackets, comments anywhere: what was there is there, byte by byte, and what is new is at
    its place.
    """
    lines = ["partners:"]
    for n in range(data.draw(st.integers(1, 3))):
        ids = data.draw(st.lists(NAMES, max_size=3))
        note = data.draw(COMMENTS)
        if data.draw(st.booleans()):
            lines.append(f"  - {{id: p{n}, credentials: [{', '.join(f'{{id: {i}}}' for i in ids)}]}}{note}")
        else:
            lines += [f"  - id: p{n}{note}"]
            if ids:
                lines += ["    credentials:", *(f"      - id: {i}{data.draw(COMMENTS)}" for i in ids)]
    text = "\n".join(lines) + data.draw(st.sampled_from(["", "\n", "\n# end\n"]))
    before = composed(text)
    place = data.draw(st.integers(0, len(before["partners"]) - 1))
    after = edited(text, [Append(("partners", place, "credentials"), (Entry({"id": "new"}, "from t"),))])
    assert composed(after)["partners"][place]["credentials"][-1] == {"id": "new"}
    kept = [a for a in difflib.ndiff(text.splitlines(), after.splitlines()) if a.startswith("- ")]
    assert len(kept) <= 1  # the one line in brackets
    assert [c for c in text if c == "#"] == [c for c in after.replace("  # from t", "") if c == "#"]
