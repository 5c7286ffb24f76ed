"""`GET /v1/decision` as an ASGI application: it parses the question, asks the accounts, and writes the answer.

The client of a gateway chooses part of what arrives here. So a header wins over the query, of a parameter that is
repeated the first one counts, and an id may be anything: what the client sends never makes an error of its own.
"""

import json
from collections.abc import Awaitable, Callable, MutableMapping
from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

from aggregate.decisions import messages
from aggregate.decisions.credentials import BadCredential, Named, named
from aggregate.decisions.rule import Decision, DecisionPolicy, DenialReason
from tollbook.deciding.follower import View

PATH = "/v1/decision"
HEADER = b"x-tollbook-credential"
DENY_STATUSES = (401, 403, 429)
ALLOW_STATUSES = (200, 204)
# Gateways that hand a request on to be checked use its method (Envoy).
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_FIELDS_MAX = 100
_FORBIDDEN, _TOO_MANY = 403, 429
_OK, _NO_CONTENT, _BAD, _NOT_FOUND, _METHOD, _UNREADY = 200, 204, 400, 404, 405, 503
_JSON = (b"content-type", b"application/json")

_Message = MutableMapping[str, Any]
_Send = Callable[[_Message], Awaitable[None]]
_Receive = Callable[[], Awaitable[_Message]]


class BadQuestion(ValueError):
    """The gateway is configured wrongly. The message says what to correct."""


class Question(NamedTuple):
    """What a gateway asks: a credential, and the statuses that it wants for the answer."""

    credential: Named
    deny_status: int
    allow_status: int


class Answering(NamedTuple):
    """What the application needs. `on_decision` counts an answer, `wrong` says why the server is not ready."""

    view: Callable[[], View]
    clock: Callable[[], datetime]
    policy: DecisionPolicy
    deny_status: int
    on_decision: Callable[[Decision], None]
    wrong: Callable[[], list[str]]


class Api:
    """The application."""

    def __init__(self, answering: Answering) -> None:
        self._it = answering

    async def __call__(
        self, scope: MutableMapping[str, Any], receive: _Receive, send: _Send
    ) -> None:  # bodies are not read
        """Answer one request."""
        if scope["type"] != "http":
            return
        path, method = scope["path"], scope["method"]
        if path == PATH or path.startswith(f"{PATH}/"):
            answer = self._decision(scope) if method in METHODS else _not_allowed(METHODS)
        elif path in {"/healthz", "/readyz"}:
            answer = self._health(path) if method in {"GET", "HEAD"} else _not_allowed(("GET", "HEAD"))
        else:
            answer = _problem(_NOT_FOUND, f"there are {PATH}, /healthz and /readyz")
        status, headers, body = answer
        if status != _NO_CONTENT:
            headers = [*headers, (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if method == "HEAD" or status == _NO_CONTENT else body})

    def _decision(self, scope: MutableMapping[str, Any]) -> "_Answer":
        it = self._it
        try:
            asked = question(scope["headers"], scope["query_string"], it.deny_status)
        except BadQuestion as exc:
            return _problem(_BAD, str(exc))
        view = it.view()
        decided = view.accounts.decide(asked.credential, as_of=view.as_of, now=it.clock(), policy=it.policy)
        it.on_decision(decided)
        headers = [(name.lower().encode(), value.encode()) for name, value in messages.headers(decided)]
        status = asked.allow_status if decided.allows else _denied(decided, asked.deny_status)
        return status, [_JSON, (b"cache-control", b"no-store"), *headers], messages.body(decided)

    def _health(self, path: str) -> "_Answer":
        wrong = self._it.wrong() if path == "/readyz" else []
        body = "".join(f"{line}\n" for line in wrong or ["ok"]).encode()
        return _UNREADY if wrong else _OK, [(b"content-type", b"text/plain; charset=utf-8")], body


_Answer = tuple[int, list[tuple[bytes, bytes]], bytes]


def _denied(decided: Decision, status: int) -> int:
    """The status of a denial. 429 says to come again later, which does not help who is suspended or unknown."""
    return (
        _FORBIDDEN
        if status == _TOO_MANY and decided.reason in {DenialReason.SUSPENDED, DenialReason.UNKNOWN}
        else status
    )


def question(headers: list[tuple[bytes, bytes]], query: bytes, deny_status: int) -> Question:
    """What is asked. Raises BadQuestion."""
    first = b"&".join(query.split(b"&", _FIELDS_MAX)[:_FIELDS_MAX])
    pairs = parse_qsl(first.decode("latin-1"), keep_blank_values=True, errors="replace")
    asked: dict[str, str] = {}
    for name, value in pairs:
        asked.setdefault(name, value)
    text = next(
        (value.decode("utf-8", "replace") for name, value in headers if name == HEADER), asked.get("credential")
    )
    if text is None:
        raise BadQuestion("no credential; send ?credential=KIND:ID, or the header X-Tollbook-Credential")
    try:
        credential = named(text)
    except BadCredential as exc:
        raise BadQuestion(str(exc)) from exc
    return Question(
        credential, _status(asked, "deny", DENY_STATUSES, deny_status), _status(asked, "allow", ALLOW_STATUSES, _OK)
    )


def _status(asked: dict[str, str], name: str, possible: tuple[int, ...], default: int) -> int:
    if name not in asked:
        return default
    found = next((status for status in possible if str(status) == asked[name]), None)
    if found is None:
        raise BadQuestion(f"`{name}` is one of {', '.join(map(str, possible))}")
    return found


def _problem(status: int, detail: str) -> _Answer:
    return status, [_JSON], json.dumps({"error": detail}).encode() + b"\n"


def _not_allowed(methods: tuple[str, ...]) -> _Answer:
    status, headers, body = _problem(_METHOD, f"the method is one of {', '.join(methods)}")
    return status, [*headers, (b"allow", ", ".join(methods).encode())], body
