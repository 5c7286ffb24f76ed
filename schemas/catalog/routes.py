"""Routes and the patterns that name them: in a meter's filter, in a source's `routes`, in what an operator claims as its own.

A pattern is text with wildcards: `*` stands for any characters but `/`, `{name}` for at least one of them, `**` and `{name+}` for
anything. As a whole segment `**` also stands for no segment: `/v1/**` matches `/v1`. A method and a space may stand before a path:
`GET /v1/export`.

A route that begins with `/` is a path, and a client may have written it. Paths are therefore compared by what a server takes them for:
without query, case, percent-encoding, doubled and trailing slashes, dot segments and `;parameters`. Other routes are names that a
gateway gives, and are compared as they stand. A pattern without a method matches a route with one. Regular expressions are RE2's, which
take linear time; no pattern becomes SQL.
"""

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import unquote

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

ANY = "ANY"  # what API Gateway writes as the method of a route for all methods
LENGTH_MAX = 1000
_DECODINGS = 4  # of percent-encodings of percent-encodings; a server decodes once
_WITH_METHOD = re.compile(r"([A-Za-z]{1,20}) +(?=[/*])(.*)", re.DOTALL)
_WILDCARD = re.compile(r"\*\*|\*|\{[^{}/]*\+\}|\{[^{}/]*\}")
_EXPRESSIONS = {"**": ".*", "*": "[^/]*", "{}": "[^/]+"}
_MARKS = {"**": "\ufdd0", "*": "\ufdd1", "{}": "\ufdd2"}  # no characters of any text


class BadPattern(ValueError):
    """The text can match no route. The message says why, and what to write."""


class Pattern(NamedTuple):
    """A pattern, read. `method` in capitals, None: any; `expression` for RE2, of the whole route in canonical form."""

    method: str | None
    expression: str


class Calls:
    """Different (method, route) pairs, made ready to be compared with many patterns. Null: the log had none."""

    def __init__(self, methods: Sequence[str | None], routes: Sequence[str | None]) -> None:
        read = [canonical(method, route) for method, route in zip(methods, routes, strict=True)]
        self._methods = pa.array([method for method, _ in read], pa.string())
        self._routes = pa.array([route for _, route in read], pa.string())

    def of_methods(self, methods: Iterable[str]) -> npt.NDArray[np.bool_]:
        """Which have one of the methods, compared without case."""
        wanted = pa.array([method.upper() for method in methods], pa.string())
        return _bools(pc.is_in(self._methods, value_set=wanted))

    def matching(self, pattern: str) -> npt.NDArray[np.bool_]:
        """Which a pattern matches. Raises BadPattern."""
        read = parsed(pattern)
        found = _bools(pc.match_substring_regex(self._routes, read.expression))
        if read.method is not None:
            found &= self.of_methods([read.method])
        return found

    def matching_any(self, patterns: Iterable[str]) -> npt.NDArray[np.bool_]:
        """Which any of the patterns matches."""
        found = np.zeros(len(self._routes), bool)
        for pattern in patterns:
            found |= self.matching(pattern)
        return found


@lru_cache(maxsize=4096)
def parsed(text: str) -> Pattern:
    """The pattern of a text. Raises BadPattern for one that nothing could match."""
    method, route = _split(text)
    if not route.strip():
        raise BadPattern("is empty; write a route, or `**` for any")
    if route != route.strip():
        raise BadPattern(f"{text!r} begins or ends with a space, which no route does; remove it")
    if len(text) > LENGTH_MAX:
        raise BadPattern(f"has {len(text)} characters, at most {LENGTH_MAX}; shorten it by `*`")
    if route.startswith(("/", "*")) and (found := re.search(r"[?#]", route)):
        raise BadPattern(
            f"{text!r} holds a {found[0]!r}, which no route does: a query is dropped; write what stands before it"
        )
    literals = _WILDCARD.split(route)
    if any("{" in literal or "}" in literal for literal in literals):
        raise BadPattern(f"{text!r} has a brace without its other; write {{name}} for one segment of a path")
    if any(mark in text for mark in _MARKS.values()):
        raise BadPattern(f"{text!a} holds a character that is set aside; write `*` for it")
    marked = _marked(route)
    return Pattern(method, f"(?s)^(?:{_expression(_path(marked) if route.startswith('/') else marked)})$")


def canonical(method: str | None, route: str | None) -> tuple[str | None, str | None]:
    """A logged method in capitals, and the route in the form in which it is compared.

    A route that names a method itself (`GET /v1/export`) gives it where the log has none.
    """
    if route is None:
        return method and method.upper(), None
    own, rest = _split(route)
    return (method or own or "").upper() or None, _path(rest) if rest.startswith("/") else rest


def _split(text: str) -> tuple[str | None, str]:
    """The method before a path, in capitals, None where there is none or it is any; and the rest."""
    found = _WITH_METHOD.fullmatch(text)
    if found is None:
        return None, text
    method = found[1].upper()
    return None if method == ANY else method, found[2]


def _path(path: str) -> str:
    """What a server takes a path for."""
    path = re.split(r"[?#]", path, maxsplit=1)[0]
    for _ in range(_DECODINGS):
        if "%" not in path:
            break
        path = unquote(path)
    segments: list[str] = []
    for segment in path.replace("\\", "/").lower().split("/"):
        name = segment.split(";", 1)[0]
        if name == "..":
            segments = segments[:-1]
        elif name not in {"", "."}:
            segments.append(name)
    return "/" + "/".join(segments)


def _expression(route: str) -> str:
    """The expression for a pattern's canonical form, in which marks stand for wildcards."""
    parts = re.split(f"(/?(?:{_MARKS['**']})+(?=/|$)|[{''.join(_MARKS.values())}])", route)
    expressions = {mark: _EXPRESSIONS[wildcard] for wildcard, mark in _MARKS.items()}
    made = []
    for part in parts:
        if part.startswith("/") and set(part[1:]) == {_MARKS["**"]}:
            made.append("(?:/.*)?")
        else:
            made.append(expressions.get(part) or re.escape(part))
    return "".join(made)


def _marked(route: str) -> str:
    """A pattern with one character for each wildcard, so that the rest can be read like a route."""
    return _WILDCARD.sub(lambda found: _MARKS[_kind(found[0])], route)


def _kind(wildcard: str) -> str:
    if wildcard.startswith("*"):
        return wildcard
    return "**" if wildcard.endswith("+}") else "{}"


def _bools(found: pa.Array) -> npt.NDArray[np.bool_]:
    values: npt.NDArray[np.bool_] = pc.fill_null(found, False).to_numpy(zero_copy_only=False)  # noqa: FBT003
    return values.astype(bool)
