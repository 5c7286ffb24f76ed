"""`POST /api/v1/events`: events over HTTP to `gateway.access`.

The handler authenticates, reads the body, asks for a verdict, sends, and responds. The rule that must hold: a 2xx
response is given only after Kafka has confirmed the accepted events.
"""

import asyncio
import json
import logging
import secrets
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from fastapi import FastAPI, Request, Security
from fastapi.responses import Response
from fastapi.security import HTTPBearer
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ingest.decode import formats
from ingest.http import responses
from ingest.http.admission import FailedAttempts, MemoryBudget, Overloaded, RateLimited, RateLimiter, logged_network
from ingest.http.authentication import Authenticator, Unauthenticated
from ingest.http.batching import Batcher, DecoderFailed, IngestRequest
from ingest.http.bodies import (
    EXPANDED_BYTES_MAX,
    BadEncoding,
    BodyShape,
    MalformedBody,
    TooLarge,
    Unpacker,
    attributes_of,
)
from ingest.http.delivery import Delivery, NotDelivered, RecordTooLarge, records
from ingest.http.producers import Producer
from ingest.http.responses import ApiProblem, Code
from ingest.http.tokens import KeysUnavailable
from ingest.http.verdicts import ROWS_MAX, Verdict
from schemas.reasons import Reason
from schemas.windows import to_us

EVENTS, OPENAPI = "/api/v1/events", "/api/openapi.json"
CLOUDEVENTS = "cloudevents"
SINGLE, BATCH, LINES = "application/cloudevents+json", "application/cloudevents-batch+json", "application/x-ndjson"
REQUEST_BYTES = 8 << 10  # the memory of a request besides its body
DRAIN_BYTES, DRAIN_S = 16 << 20, 2.0
WRITE_S = 30.0
KEY_CHARACTERS_MAX = 255
_LENGTH_DIGITS_MAX = 20
_TWO_LENGTHS = "a request has either Content-Length or Transfer-Encoding, and the latter only in HTTP/1.1"
_FORBIDDEN_IN_KEYS = 0x20
_SHAPES: Mapping[str, BodyShape | None] = {SINGLE: BodyShape.EVENT, BATCH: BodyShape.EVENTS, "application/json": None}
_LINES = (LINES, "application/jsonl", "text/plain")
_BLANK = b"\xef\xbb\xbf \t\r\n"
_DESCRIPTION = """CloudEvents 1.0 in JSON (one event, an array, or binary mode), or log lines in any format that the sender may use.

204 means that Kafka has confirmed every event. Send a request again after 408, 429, 5xx or no response at all: an event
is deduplicated by its id, and counted once. Log lines without ids need an `Idempotency-Key`, the same one each time."""
_BEARER = "An API key, `tb_…`, or a JWT of an issuer that the installation trusts."
_EVENT = {
    "type": "object", "required": ["specversion", "id", "source", "type", "time"],
    "properties": {
        "specversion": {"const": "1.0"}, "id": {"type": "string"}, "source": {"type": "string"}, "type": {"type": "string"},
        "subject": {"type": "string"}, "time": {"type": "string", "format": "date-time"}, "data": {},
    },
}  # fmt: skip
_OPENAPI: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            SINGLE: {"schema": _EVENT},
            BATCH: {"schema": {"type": "array", "items": _EVENT}},
            "application/json": {"schema": {"oneOf": [_EVENT, {"type": "array", "items": _EVENT}]}},
            **{kind: {"schema": {"type": "string"}} for kind in _LINES},
        },
    },
    "parameters": [
        {"name": "format", "in": "query", "description": "Format of log lines.", "schema": {"type": "string", "default": CLOUDEVENTS}},
        {"name": "Idempotency-Key", "in": "header", "description": "Names the request, so that log lines without ids are deduplicated.",
         "schema": {"type": "string", "minLength": 1, "maxLength": KEY_CHARACTERS_MAX, "pattern": "^[!-~]+$"}},
        {"name": "Content-Encoding", "in": "header", "schema": {"type": "string", "enum": ["identity", "gzip", "zstd"]}},
    ],
}  # fmt: skip


class RequestOutcome(NamedTuple):
    """The outcome of a request, for metrics and logs. Contains no text of the sender."""

    status: int
    seconds: float
    producer: str | None
    accepted: int
    refused: Counter[str]


@dataclass(frozen=True, kw_only=True)
class ApiContext:
    """The services of the application. Clocks: `now` for validity, `clock` monotonic."""

    authenticator: Authenticator
    rate_limiter: RateLimiter
    memory: MemoryBudget
    failed_attempts: FailedAttempts
    batcher: Batcher
    delivery: Delivery
    now: Callable[[], datetime]
    clock: Callable[[], float]
    log: logging.Logger
    on_outcome: Callable[[RequestOutcome], None]
    request_s: float = 30.0


@dataclass
class _RequestState:
    """What is known of a request so far."""

    request_id: str
    address: str = ""
    producer: str | None = None
    accepted: int = 0
    refused: Counter[str] = field(default_factory=Counter)


def app() -> FastAPI:
    """The application. Set `state.context` to an ApiContext before the first request."""
    api = FastAPI(
        title="Tollbook",
        version="1",
        summary="Usage events over HTTP.",
        docs_url=None,
        redoc_url=None,
        openapi_url=OPENAPI,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
    )
    api.add_api_route(
        EVENTS, _post_events, methods=["POST"], status_code=204, response_class=Response, operation_id="ingestEvents",
        summary="Send events", description=_DESCRIPTION, responses=responses.documented(), openapi_extra=_OPENAPI,
        dependencies=[Security(HTTPBearer(auto_error=False, scheme_name="bearer", description=_BEARER))],
    )  # fmt: skip
    api.add_exception_handler(ApiProblem, _on_problem)
    api.add_exception_handler(HTTPException, _on_http)
    api.add_exception_handler(Exception, _on_bug)
    api.add_middleware(_RequestMiddleware)
    return api


async def _post_events(request: Request) -> Response:
    context: ApiContext = request.app.state.context
    state: _RequestState = request.scope["request_state"]
    body = _RequestBody(request)
    try:
        verdict = await _ingest(context, request, body, state)
    except ApiProblem as problem:
        if not await body.drained():
            problem.headers["Connection"] = "close"
        raise
    state.accepted = verdict.accepted
    return responses.of_verdict(verdict)


async def _ingest(context: ApiContext, request: Request, body: "_RequestBody", state: _RequestState) -> Verdict:
    """Process a request up to Kafka's confirmation. Raises ApiProblem: then nothing of it is known to be in Kafka."""
    producer = await _authenticated(context, request, state)
    kind = _request_kind(request, producer)
    rate = context.authenticator.producers.rate_of(producer)
    try:
        context.rate_limiter.enter(producer.id, rate.events_per_s, rate.burst)
        async with _reserved(context.memory, producer.id) as take:
            text = await _text(request, body, take, context.request_s)
            verdict = await _judge(context, producer, kind, text)
            context.rate_limiter.take(producer.id, rate.events_per_s, rate.burst, verdict.events)
            state.refused.update(row.code for row in verdict.refused)
            if Reason.PARTNER_MISMATCH in state.refused:
                _warn(
                    context, state, "events of a partner that this producer may not report for", Reason.PARTNER_MISMATCH
                )
            if verdict.too_many:
                raise ApiProblem(Code.BATCH_TOO_LARGE, f"{verdict.too_many} events; a request holds at most {ROWS_MAX}")
            if verdict.accepted:
                outgoing = records(verdict.text, format_name=kind.format, source=producer.source, key=kind.key)
                await context.delivery.send(outgoing)
    except RateLimited as exc:
        raise ApiProblem(
            Code.RATE_LIMITED, "more than this sender may send or have waiting", retry_after_s=exc.retry_after_s
        ) from exc
    except Overloaded as exc:
        raise ApiProblem(Code.BUSY, "too many requests are waiting at the moment", retry_after_s=1) from exc
    except NotDelivered as exc:
        raise ApiProblem(Code.NOT_DELIVERED, "Kafka has not confirmed it; send it again", retry_after_s=5) from exc
    except RecordTooLarge as exc:
        raise ApiProblem(Code.TOO_LARGE, "Kafka does not accept an event of this size") from exc
    return verdict


async def _authenticated(context: ApiContext, request: Request, state: _RequestState) -> Producer:
    try:
        producer = await context.authenticator.producer(request.headers.getlist("authorization"), context.now())
    except KeysUnavailable as exc:
        _warn(context, state, "the keys of an issuer cannot be fetched", Code.KEYS_UNAVAILABLE)
        raise ApiProblem(Code.KEYS_UNAVAILABLE, "tokens cannot be verified at the moment", retry_after_s=60) from exc
    except Unauthenticated as exc:
        try:
            context.failed_attempts.failed(state.address)
        except RateLimited as limited:
            raise ApiProblem(
                Code.RATE_LIMITED, "too many failed attempts", retry_after_s=limited.retry_after_s
            ) from exc
        _warn(context, state, f"authentication failed: {exc}", Code.UNAUTHENTICATED)
        raise ApiProblem(Code.UNAUTHENTICATED, "no valid credential", headers={"WWW-Authenticate": "Bearer"}) from exc
    state.producer = producer.id
    return producer


class _RequestKind(NamedTuple):
    """What a request claims to contain."""

    format: str
    shape: BodyShape | None  # None: JSON, one event or several, depending on its first character
    key: str | None
    attributes: Mapping[str, str] | None


def _request_kind(request: Request, producer: Producer) -> _RequestKind:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    shape: BodyShape | None
    attributes = None
    if "ce-specversion" in request.headers:
        format_name, shape, attributes = CLOUDEVENTS, BodyShape.EVENT, _attributes(request)
    elif kind in _SHAPES:
        format_name, shape = CLOUDEVENTS, _SHAPES[kind]
    elif kind in _LINES:
        format_name, shape = request.query_params.get("format", CLOUDEVENTS), BodyShape.LINES
    else:
        raise ApiProblem(Code.UNSUPPORTED_TYPE, f"Content-Type must be one of {', '.join((*_SHAPES, *_LINES))}")
    if format_name not in formats.names():
        raise ApiProblem(Code.UNKNOWN_FORMAT, f"`format` must be one of {', '.join(producer.formats)}")
    if format_name not in producer.formats:
        raise ApiProblem(Code.FORMAT_NOT_ALLOWED, f"this sender may send {', '.join(producer.formats)}")
    key = request.headers.get("idempotency-key")
    if key is not None and (not 0 < len(key) <= KEY_CHARACTERS_MAX or any(ord(c) <= _FORBIDDEN_IN_KEYS for c in key)):
        raise ApiProblem(Code.BAD_KEY, f"Idempotency-Key must have 1 to {KEY_CHARACTERS_MAX} characters, no spaces")
    return _RequestKind(format_name, shape, key, attributes)


def _attributes(request: Request) -> dict[str, str]:
    try:
        return attributes_of(dict(request.headers))
    except MalformedBody as exc:
        raise ApiProblem(Code.BAD_REQUEST, str(exc)) from exc


async def _text(request: Request, body: "_RequestBody", take: Callable[[int], None], limit_s: float) -> bytes:
    """The body, unpacked, as far as memory allows. Raises ApiProblem, RateLimited, Overloaded."""
    length = request.headers.get("content-length", "")
    if length.isdecimal() and (len(length) > _LENGTH_DIGITS_MAX or int(length) > EXPANDED_BYTES_MAX):
        raise ApiProblem(Code.TOO_LARGE, f"a body has at most {EXPANDED_BYTES_MAX} bytes")
    try:
        unpacker = Unpacker(request.headers.get("content-encoding", "identity").strip().lower())
        async with asyncio.timeout(limit_s):
            async for chunk in body.chunks():
                take(unpacker.feed(chunk))
        text = unpacker.text()
    except BadEncoding as exc:
        raise ApiProblem(Code.BAD_ENCODING, str(exc)) from exc
    except TooLarge as exc:
        raise ApiProblem(
            Code.TOO_LARGE, f"a body has at most {EXPANDED_BYTES_MAX} bytes, also after unpacking"
        ) from exc
    except TimeoutError as exc:
        body.given_up = True
        raise ApiProblem(Code.TOO_SLOW, f"the body did not arrive within {limit_s:g} s") from exc
    return text


async def _judge(context: ApiContext, producer: Producer, kind: _RequestKind, text: bytes) -> Verdict:
    """The verdict on the events of a body. Raises ApiProblem if the body as a whole cannot be read."""
    if not text.strip() and kind.attributes is None:
        raise ApiProblem(Code.EMPTY, "the body is empty")
    shape = kind.shape or (BodyShape.EVENTS if text.lstrip(_BLANK).startswith(b"[") else BodyShape.EVENT)
    work = IngestRequest(
        producer.id, producer.source, kind.format, shape, text, to_us(context.now()), kind.key is not None,
        kind.attributes,
    )  # fmt: skip
    try:
        return await context.batcher.judged(work)
    except MalformedBody as exc:
        raise ApiProblem(Code.NOT_JSON, str(exc)) from exc
    except DecoderFailed as exc:
        context.log.error("a bug in Tollbook: a request that the decoder fails on", extra={"fields": {"error": str(exc)}})  # noqa: TRY400  # fmt: skip
        raise ApiProblem(Code.INTERNAL, "this is a bug in Tollbook; report the X-Request-Id") from exc


@asynccontextmanager
async def _reserved(memory: MemoryBudget, producer: str) -> AsyncIterator[Callable[[int], None]]:
    """Memory for a request, released at its end. Call the value with a size to reserve more."""
    taken = 0

    def take(size: int) -> None:
        nonlocal taken
        memory.take(producer, size)
        taken += size

    try:
        take(REQUEST_BYTES)
        yield take
    finally:
        if taken:
            memory.give_back(producer, taken)


class _RequestBody:
    """The body of a request as it arrives."""

    def __init__(self, request: Request) -> None:
        self._receive = request.receive
        self._ended = False
        self.size = 0
        self.given_up = False

    async def chunks(self) -> AsyncIterator[bytes]:
        """The chunks of the body. Raises ApiProblem if the client disconnects before the end."""
        while not self._ended:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                self._ended = True
                raise ApiProblem(Code.INCOMPLETE, "the body ended too early")
            self._ended = not message.get("more_body", False)
            chunk = message.get("body", b"")
            self.size += len(chunk)
            if chunk:
                yield chunk

    async def drained(self) -> bool:
        """Read and drop the rest, so that a client that is still sending sees the response; whether that was all."""
        if self.given_up:
            return False
        before = self.size
        try:
            async with asyncio.timeout(DRAIN_S):
                async for _ in self.chunks():
                    if self.size - before > DRAIN_BYTES:
                        return False
        except (TimeoutError, ApiProblem):
            return False
        return True


class _RequestMiddleware:
    """Gives each request an id, bounds the time to read the response, and reports the outcome."""

    def __init__(self, inner: ASGIApp) -> None:
        self._inner = inner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return
        context: ApiContext = scope["app"].state.context
        client = scope.get("client")
        state = scope["request_state"] = _RequestState(secrets.token_hex(8), client[0] if client else "")
        began, status = context.clock(), 0

        async def send_response(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", []), (b"x-request-id", state.request_id.encode())]
            async with asyncio.timeout(WRITE_S):
                await send(message)

        try:
            if _has_two_lengths(scope):
                refused = ApiProblem(Code.BAD_REQUEST, _TWO_LENGTHS, headers={"Connection": "close"})
                await responses.of_problem(refused)(scope, receive, send_response)
            else:
                await self._inner(scope, receive, send_response)
        finally:
            seconds = context.clock() - began
            context.on_outcome(RequestOutcome(status, seconds, state.producer, state.accepted, state.refused))
            fields = {
                "request_id": state.request_id, "status": status, "producer": state.producer, "accepted": state.accepted,
                "refused": dict(state.refused), "ms": round(seconds * 1000),
            }  # fmt: skip
            context.log.info("request", extra={"fields": fields})


def _has_two_lengths(scope: Scope) -> bool:
    """Whether a proxy and this server may disagree about the end of the body (request smuggling)."""
    names = {name for name, _ in scope["headers"]}
    chunked = b"transfer-encoding" in names
    return chunked and (b"content-length" in names or scope.get("http_version") == "1.0")


def _warn(context: ApiContext, state: _RequestState, message: str, code: str) -> None:
    """A log line for security monitoring."""
    fields = {"security": True, "code": code, "producer": state.producer, "network": logged_network(state.address), "request_id": state.request_id}  # fmt: skip
    context.log.warning(message, extra={"fields": fields})


async def _on_problem(_: Request, exc: Exception) -> Response:
    assert isinstance(exc, ApiProblem)
    return responses.of_problem(exc)


async def _on_http(_: Request, exc: Exception) -> Response:
    assert isinstance(exc, HTTPException)
    code = {404: Code.NOT_FOUND, 405: Code.METHOD_NOT_ALLOWED}.get(exc.status_code, Code.BAD_REQUEST)
    return responses.of_problem(ApiProblem(code, f"there is POST {EVENTS} and GET {OPENAPI}", headers=exc.headers))


async def _on_bug(request: Request, exc: Exception) -> Response:
    context: ApiContext = request.app.state.context
    state: _RequestState = request.scope["request_state"]
    context.log.error("a bug in Tollbook: please report this line", exc_info=exc, extra={"fields": {"request_id": state.request_id}})  # fmt: skip
    return responses.of_problem(ApiProblem(Code.INTERNAL, "this is a bug in Tollbook; report the X-Request-Id"))


def document() -> str:
    """The OpenAPI document, published as schemas/openapi.json."""
    return json.dumps(app().openapi(), indent=2) + "\n"


if __name__ == "__main__":
    sys.stdout.write(document())
