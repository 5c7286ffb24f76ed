"""Whether a route matches a pattern, as docs/catalog.md, "Routes and patterns", says. Standard library only."""

import re
from functools import cache
from urllib.parse import unquote

_METHOD = re.compile(r"([A-Za-z]+) (?=/)")
_WILD = re.compile(r"/\*\*(?=/|$)|/\{[^}/]*\+\}(?=/|$)|\*\*|\{[^}/]*\+\}|\*|\{[^}/]*\}")


@cache
def matches(pattern: str, method: str | None, route: str | None) -> bool:
    if route is None:
        return False
    wanted_method, wanted = _split(pattern)
    logged_method, logged = _split(route)
    if wanted_method and wanted_method.upper() != (logged_method or method or "").upper():
        return False
    if logged.startswith("/"):
        return bool(re.fullmatch(_expression(wanted.lower()), _as_served(logged), re.DOTALL))
    return bool(re.fullmatch(_expression(wanted), logged, re.DOTALL))


def _split(text: str) -> tuple[str | None, str]:
    """`GET /v1/export`: its method and its path."""
    found = _METHOD.match(text)
    return (found[1], text[found.end() :]) if found else (None, text)


def _expression(pattern: str) -> str:
    written, at = "", 0
    for wild in _WILD.finditer(pattern):
        written += re.escape(pattern[at : wild.start()])
        at = wild.end()
        if wild[0].startswith("/"):
            written += "(/.*)?"
        elif wild[0] == "**" or wild[0].endswith("+}"):
            written += ".*"
        else:
            written += "[^/]*" if wild[0] == "*" else "[^/]+"
    return written + re.escape(pattern[at:])


def _as_served(path: str) -> str:
    """What servers take a path for."""
    kept: list[str] = []
    for segment in unquote(path.partition("?")[0]).lower().split("/"):
        name = segment.partition(";")[0]
        if name == "..":
            kept = kept[:-1]
        elif name not in {"", "."}:
            kept.append(name)
    return "/" + "/".join(kept)
