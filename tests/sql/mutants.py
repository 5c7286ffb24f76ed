"""Statements with something wrong on purpose: `python -m tests.sql.mutants [STATEMENT …]` lists what no case notices.

One change at a time: a comparison, a condition, a join, an aggregate, a number, a text, a column of an order or a
group.
"""

import re
import sys
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple

import duckdb

from tests.sql.cases import CASES, STATEMENTS, compared, prepared

_TOKEN = re.compile(r"--[^\n]*|'(?:[^']|'')*'|\"[^\"]*\"|::|<=|>=|!=|//|\|\||<<|\w+|\$\w+|.", re.DOTALL)
_SWAPS = {
    "=": ["!="], "!=": ["="], "<": ["<=", ">"], "<=": ["<", ">"], ">": [">=", "<"], ">=": [">", "<"],
    "AND": ["OR"], "OR": ["AND"], "IN": ["NOT IN"], "DISTINCT": [""], "ANTI": ["SEMI"], "SEMI": ["ANTI"], "LEFT": ["INNER"],
    "INNER": ["LEFT"], "FULL": ["LEFT", "RIGHT"], "ALL": [""], "DESC": [""], "+": ["-"], "-": ["+"], "*": ["+"], "//": ["*"],
    "max": ["min"], "min": ["max"], "sum": ["max"], "arg_max": ["arg_min"], "greatest": ["least"], "least": ["greatest"],
    "first_value": ["last_value"], "lag": ["lead"], "TRUE": ["FALSE"], "FALSE": ["TRUE"], "starts_with": ["contains"],
    "request_bytes": ["response_bytes"], "response_bytes": ["latency_us"], "latency_us": ["request_bytes"],
    "service": ["method"], "method": ["route"], "route": ["service"], "source": ["generation"], "generation": ["source"], "position": ["item"],
    "item": ["position"], "meter": ["plan"], "counted": ["duplicates"], "duplicates": ["conflicts"], "conflicts": ["refused"], "refused": ["counted"],
    "from_offset": ["to_offset"], "to_offset": ["from_offset"], "origin_from": ["origin_to"], "origin_to": ["origin_from"],
}  # fmt: skip
# What a token is where it stands so; the first that fits.
_IN_PLACES: dict[str, list[tuple[str, list[str]]]] = {
    "AND": [(r"BETWEEN\s+\S+(?: \w+)?\s+⟦⟧", [])],
    "DISTINCT": [(r"IS NOT ⟦⟧", []), (r"IS ⟦⟧", ["NOT DISTINCT"])],
    "NOT": [(r"", [""])],
    "IN": [(r"NOT ⟦⟧", [])],
    "NULL": [(r"IS ⟦⟧", ["NOT NULL"])],
}
_LIST = re.compile(r"\b(ORDER BY|GROUP BY|PARTITION BY)\s+((?:[\w.]+(?: DESC)?)(?:,\s*[\w.]+(?: DESC)?)+)")
_CONDITION = re.compile(r"\n\s*(?:AND|OR|HAVING|WHERE) [^\n]*")


class Mutant(NamedTuple):
    """A statement with one change, and which."""

    what: str
    text: str
    token: str = ""  # that was changed; "": a list or a condition is shorter


def mutants(statement: str) -> Iterator[Mutant]:
    """Every statement that differs from this one by one change.

    Some are none at all: those of another text, the same meaning.
    """
    text = "\n".join(line for line in statement.splitlines() if not line.strip().startswith("--"))
    for found in _TOKEN.finditer(text):
        token, (start, end) = found.group(), found.span()
        where = f"line {text.count(chr(10), 0, start) + 1}: {_around(text, start, end)}"
        for other in _others(token, text[:start], text[end:]):
            yield Mutant(f"{where}: {token} → {other or 'nothing'}", text[:start] + other + text[end:], token)
    for found in _LIST.finditer(text):
        names = re.split(r",\s*", found[2])
        for name in names:
            rest = ", ".join(other for other in names if other is not name)
            what = f"line {text.count(chr(10), 0, found.start()) + 1}: {found[1]} without {name}"
            yield Mutant(what, text[: found.start(2)] + rest + text[found.end(2) :])
    for found in _CONDITION.finditer(text):
        condition = found.group().strip()
        kept = "" if not condition.startswith("WHERE") else "WHERE TRUE"
        yield Mutant(f"without {condition}", text[: found.start()] + "\n" + kept + text[found.end() :])


def _others(token: str, before: str, after: str) -> list[str]:
    """What may stand in a token's place."""
    if token.isdigit():
        return [str(int(token) + 1), str(int(token) - 1)]
    if token.startswith("'") and token != "''":
        return [f"'{token[1:-1]}?'"]
    for in_place, other in _IN_PLACES.get(token, []):
        if re.search(in_place, before + "⟦⟧" + after):
            return other
    return _SWAPS.get(token, [])


def _around(text: str, start: int, end: int) -> str:
    """The words beside a place, for the eye."""
    return " ".join((text[max(0, start - 25) : start] + "⟦" + text[start:end] + "⟧" + text[end : end + 25]).split())


def unnoticed(name: str, only: Collection[str] | None = None) -> tuple[int, list[str]]:
    """How many mutants of a statement there are, and those that all its cases take for the statement.

    `only`: of these tokens.
    """
    text = STATEMENTS[name].read_text()
    cases = [(prepared(case, text), case) for case in CASES if case.parts[0] == name]
    made = [mutant for mutant in mutants(text) if only is None or mutant.token in only]
    return len(made), [one.what for one in made if not any(_notices(con, case, one.text) for con, case in cases)]


def _notices(con: duckdb.DuckDBPyConnection, case: Path, text: str) -> bool:
    try:
        got, wanted = compared(con, case, text)
    except duckdb.Error:
        return True
    return got != wanted


if __name__ == "__main__":
    for asked in sys.argv[1:] or sorted(STATEMENTS):
        number, left = unnoticed(asked)
        print(f"{asked}: {len(left)} of {number} unnoticed", flush=True)
        for what in left:
            print(f"    {what}")
