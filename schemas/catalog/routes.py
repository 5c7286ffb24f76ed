"""Route patterns, as used in a meter's filter, in a source's `routes` and in its `own` traffic.

A pattern is text with wildcards. `*` matches any characters except `/`, `{name}` at least one such character, `**` and
`{name+}` anything. As a whole segment, `**` also matches no segment: `/v1/**` matches `/v1`. A path may follow a method
and a space: `GET /v1/export`.

A route that begins with `/` is a path, which a client may have chosen. Paths are therefore compared in canonical form,
as a server would read them: without query, case, percent-encoding, repeated and trailing slashes, dot segments and
`;parameters`. Other routes are names given by a gateway, and are compared literally. A pattern without a method matches
a route with any method. Patterns are compiled to RE2, which takes linear time, and never to SQL.
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

ANY = "ANY"  # the method that API Gateway logs for a route that accepts all methods
LENGTH_MAX = 1000
_DECODINGS = 4  # of nested percent-encodings; a server decodes once
_WITH_METHOD = re.compile(r"([A-Za-z]{1,20}) +(?=[/*])(.*)", re.DOTALL)
_WILDCARD = re.compile(r"\*\*|\*|\{[^{}/]*\+\}|\{[^{}/]*\}")
_EXPRESSIONS = {"**": ".*", "*": "[^/]*", "{}": "[^/]+"}
_MARKS = {"**": "\ufdd0", "*": "\ufdd1", "{}": "\ufdd2"}  # Unicode noncharacters, which no text contains


class BadPattern(ValueError):
    """The pattern cannot match any route. The message says why, and what to write instead."""


class Pattern(NamedTuple):
    """A parsed pattern. `method` is in upper case, or None for any; `expression` is RE2 for a whole canonical route."""

    method: str | None
    expression: str


class Calls:
    """Distinct (method, route) pairs in canonical form, to be matched against many patterns. Null: the log had none."""

    def __init__(self, methods: Sequence[str | None], routes: Sequence[str | None]) -> None:
        read = [canonical(method, route) for method, route in zip(methods, routes, strict=True)]
        self._methods = pa.array([method for method, _ in read], pa.string())
        self._routes = pa.array([route for _, route in read], pa.string())

    def of_methods(self, methods: Iterable[str]) -> npt.NDArray[np.bool_]:
        """Which pairs have one of the methods, compared case-insensitively."""
        wanted = pa.array([method.upper() for method in methods], pa.string())
        return _bools(pc.is_in(self._methods, value_set=wanted))

    def matching(self, pattern: str) -> npt.NDArray[np.bool_]:
        """Which pairs a pattern matches. Raises BadPattern."""
        read = parsed(pattern)
        found = _bools(pc.match_substring_regex(self._routes, read.expression))
        if read.method is not None:
            found &= self.of_methods([read.method])
        return found

    def matching_any(self, patterns: Iterable[str]) -> npt.NDArray[np.bool_]:
        """Which pairs at least one of the patterns matches. Raises BadPattern."""
        found = np.zeros(len(self._routes), bool)
        for pattern in patterns:
            found |= self.matching(pattern)
        return found


@lru_cache(maxsize=4096)
def parsed(text: str) -> Pattern:
    """The parsed pattern. Raises BadPattern if it cannot match any route."""
    method, route = _split(text)
    if not route.strip():
        raise BadPattern("is empty; write a route, or `**` for any")
    if route != route.strip():
        raise BadPattern(f"{text!r} begins or ends with a space, and no route does; remove it")
    if len(text) > LENGTH_MAX:
        raise BadPattern(f"has {len(text)} characters, but at most {LENGTH_MAX} are allowed; shorten it with `*`")
    if route.startswith(("/", "*")) and (found := re.search(r"[?#]", route)):
        raise BadPattern(f"{text!r} contains a {found[0]!r}, but routes have no query; remove it and what follows")
    literals = _WILDCARD.split(route)
    if any("{" in literal or "}" in literal for literal in literals):
        raise BadPattern(f"{text!r} has an unbalanced brace; write {{name}} for one segment of a path")
    if any(mark in text for mark in _MARKS.values()):
        raise BadPattern(f"{text!a} contains a reserved character; write `*` instead")
    marked = _marked(route)
    return Pattern(method, f"(?s)^(?:{_expression(_path(marked) if route.startswith('/') else marked)})$")


def canonical(method: str | None, route: str | None) -> tuple[str | None, str | None]:
    """A logged method in upper case, and the canonical form of the route.

    If the log has no method, the one in the route (`GET /v1/export`) is used.
    """
    if route is None:
        return method and method.upper(), None
    own, rest = _split(route)
    return (method or own or "").upper() or None, _path(rest) if rest.startswith("/") else rest


def _split(text: str) -> tuple[str | None, str]:
    """The method before a path in upper case, or None if there is none or it is ANY; and the rest of the text."""
    found = _WITH_METHOD.fullmatch(text)
    if found is None:
        return None, text
    method = found[1].upper()
    return None if method == ANY else method, found[2]


def _path(path: str) -> str:
    """The canonical form of a path, as a server would read it."""
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
    """The regular expression of a canonical pattern in which marks stand for wildcards."""
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
    """The pattern with each wildcard replaced by one mark, so that the rest can be parsed like a route."""
    return _WILDCARD.sub(lambda found: _MARKS[_kind(found[0])], route)


def _kind(wildcard: str) -> str:
    if wildcard.startswith("*"):
        return wildcard
    return "**" if wildcard.endswith("+}") else "{}"


def _bools(found: pa.Array) -> npt.NDArray[np.bool_]:
    values: npt.NDArray[np.bool_] = pc.fill_null(found, False).to_numpy(zero_copy_only=False)  # noqa: FBT003
    return values.astype(bool)
