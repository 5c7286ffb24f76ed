"""A format declares each JSON field that it reads, once, and reads JSON in no other way."""

import re

import pytest

from ingest.decode import fields, formats
from ingest.decode.formats import statement
from tests.docs.pages import ROOT

JSON = [name for name in formats.names() if fields.declared(name)]
# What SQL may call to read JSON without the declarations. `json_valid` tells only whether a line is JSON.
OTHER_WAYS = re.compile(r"->|::\s*JSON|\bAS\s+JSON\b|\b\w*json(?!_valid\b)\w*\s*\(|\bunnest\(\s*from_", re.IGNORECASE)


def body(text: str) -> str:
    """A format's SQL without its comments."""
    return re.sub(r"--.*", "", text)


@pytest.mark.parametrize("name", formats.names())
def test_a_format_reads_json_by_its_declarations_alone(name: str) -> None:
    """`fields` and `respelled` come from them; the macros that split a line into records are in sql/macros.sql."""
    assert not OTHER_WAYS.findall(body(statement(name)))


@pytest.mark.parametrize(
    "sql",
    [
        "line->>'$.a'", "line -> 'a'", "json_extract(line, '$.a')", "json_extract_string (line, '$.a')", "from_json(line, '{}')", "line::JSON",
        "CAST(line AS JSON)", "json_transform(line, '{}')", "json_value(line, '$.a')", "TRY(FROM_JSON(line, '[]'))", "read_json('x')", "json(line)",
    ],
)  # fmt: skip
def test_other_ways_are_noticed(sql: str) -> None:
    """The guard itself."""
    assert OTHER_WAYS.search(sql)


@pytest.mark.parametrize("name", JSON)
def test_every_declared_field_is_read(name: str) -> None:
    """A field that nothing reads is a promise without a meaning, and makes keys longer."""
    sql = body(statement(name))
    unread = [field.path for field in fields.declared(name) if field.path[-1] not in sql]
    # These are not read themselves, but a line that has them differs from others.
    assert unread == [path for path in unread if path in UNREAD.get(name, ())]


UNREAD: dict[str, list[fields.Path]] = {
    "aws_apigw": [("owner",), ("logEvents",)],
    "azure_apim": [("records",)],
    "cloudtrail": [("Records",)],
}


@pytest.mark.parametrize("name", JSON)
def test_a_declared_macro_is_the_one_that_the_statement_uses(name: str) -> None:
    """One rule for a number: the statement and the template cache type it by the same macro."""
    sql = body(statement(name))
    named = {field.macro for field in fields.declared(name) if field.macro}
    known = set(re.findall(r"MACRO (\w+)\(", (ROOT / "ingest/decode/sql/macros.sql").read_text()))
    assert named <= known
    # The checks of cloudevents and their conversion are two steps there, and one for the cache.
    assert {macro for macro in named if f"{macro}(" not in sql} <= {"quantity_of"}


@pytest.mark.parametrize("name", JSON)
def test_a_field_is_declared_once(name: str) -> None:
    paths = [field.path for field in fields.declared(name)]
    assert len(paths) == len(set(paths))


@pytest.mark.parametrize("name", [name for name in JSON if fields.lists(name)])
def test_a_key_that_is_looked_up_is_declared(name: str) -> None:
    """Lookups by key in a list cannot fail for want of a member, so nothing else would notice."""
    looked_up = set(re.findall(r"names, '([^']+)'\)", body(statement(name))))
    assert looked_up == {field.path[-1] for field in fields.declared(name) if field.path[:-1] in fields.lists(name)}


@pytest.mark.parametrize(
    "line", ["-- Field", "-- Field a b c", "-- Field a number", "-- Field a time by", "-- Field a as TEXT"]
)
def test_a_declaration_that_cannot_be_read_is_an_error(line: str) -> None:
    with pytest.raises(ValueError, match="not a declaration of a field"):
        fields.in_header(f"-- x: y\n{line} \nSELECT 1\n")
