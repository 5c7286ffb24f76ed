"""HTTP responses: every status, code and body in one place, and their description in the OpenAPI document.

A response names the rule and the remedy. It never repeats a credential, a path of this machine, or data of another
sender.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from http import HTTPStatus
from typing import Any

from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, Field

from ingest.http.verdicts import EventRefusal, Verdict
from schemas.reasons import Reason

PROBLEM = "application/problem+json"


class Code(StrEnum):
    """Why a request as a whole was refused. Single events are refused by schemas.reasons.Reason."""

    EMPTY = "EMPTY"
    NOT_JSON = "NOT_JSON"
    BAD_ENCODING = "BAD_ENCODING"
    BAD_REQUEST = "BAD_REQUEST"
    BAD_KEY = "BAD_KEY"
    INCOMPLETE = "INCOMPLETE"
    REFUSED = "REFUSED"
    UNKNOWN_FORMAT = "UNKNOWN_FORMAT"
    UNAUTHENTICATED = "UNAUTHENTICATED"
    FORMAT_NOT_ALLOWED = "FORMAT_NOT_ALLOWED"
    NOT_FOUND = "NOT_FOUND"
    METHOD_NOT_ALLOWED = "METHOD_NOT_ALLOWED"
    TOO_SLOW = "TOO_SLOW"
    TOO_LARGE = "TOO_LARGE"
    BATCH_TOO_LARGE = "BATCH_TOO_LARGE"
    UNSUPPORTED_TYPE = "UNSUPPORTED_TYPE"
    RATE_LIMITED = "RATE_LIMITED"
    INTERNAL = "INTERNAL"
    BUSY = "BUSY"
    NOT_DELIVERED = "NOT_DELIVERED"
    KEYS_UNAVAILABLE = "KEYS_UNAVAILABLE"


_STATUS: Mapping[Code, int] = {
    Code.EMPTY: 400, Code.NOT_JSON: 400, Code.BAD_ENCODING: 400, Code.BAD_REQUEST: 400, Code.BAD_KEY: 400, Code.INCOMPLETE: 400,
    Code.REFUSED: 400, Code.UNKNOWN_FORMAT: 400, Code.UNAUTHENTICATED: 401, Code.FORMAT_NOT_ALLOWED: 403, Code.NOT_FOUND: 404,
    Code.METHOD_NOT_ALLOWED: 405, Code.TOO_SLOW: 408, Code.TOO_LARGE: 413, Code.BATCH_TOO_LARGE: 413, Code.UNSUPPORTED_TYPE: 415,
    Code.RATE_LIMITED: 429, Code.INTERNAL: 500, Code.BUSY: 503, Code.NOT_DELIVERED: 503, Code.KEYS_UNAVAILABLE: 503,
}  # fmt: skip


class Row(BaseModel):
    """One event that was not taken."""

    index: int = Field(description="Which event of the request, from 0.")
    item: int | None = Field(default=None, description="Which event of a line with several, from 0.")
    code: str = Field(description="Reason, from a closed list.")
    field: str | None = Field(default=None, description="The field of the event that the reason is about.")
    message: str


class Partly(BaseModel):
    """Some events were taken for good, some were not. Send again none of the first."""

    accepted: int
    refused: int
    rows: list[Row]


class ProblemBody(BaseModel):
    """Nothing was taken (RFC 9457)."""

    type: str = "about:blank"
    title: str
    status: int
    code: str
    detail: str
    rows: list[Row] | None = Field(default=None, description="One for each event, if events were decoded.")


class ApiProblem(Exception):
    """Nothing of a request was taken. `detail` is for the sender."""

    def __init__(self, code: Code, detail: str, *, retry_after_s: int | None = None, headers: Mapping[str, str] | None = None) -> None:  # fmt: skip
        self.code = code
        self.detail = detail
        self.headers = dict(headers or {})
        if retry_after_s is not None:
            self.headers["Retry-After"] = str(retry_after_s)
        super().__init__(code)


def of_problem(problem: ApiProblem) -> Response:
    """The response to a request of which nothing was taken."""
    return _problem(_STATUS[problem.code], problem.code, problem.detail, None, problem.headers)


def of_verdict(verdict: Verdict) -> Response:
    """The response to a request with a verdict, after its accepted events are in Kafka."""
    if not verdict.refused:
        return Response(status_code=HTTPStatus.NO_CONTENT)
    rows = [_row(refusal) for refusal in verdict.refused]
    if verdict.accepted:
        body = {"accepted": verdict.accepted, "refused": len(rows), "rows": rows}
        return JSONResponse(body, HTTPStatus.MULTI_STATUS)
    codes = {row["code"] for row in rows}
    code = codes.pop() if len(codes) == 1 else Code.REFUSED
    status = 403 if code == Reason.PARTNER_MISMATCH else 413 if code == Reason.TOO_LARGE else 400
    detail = rows[0]["message"] if len(rows) == 1 else "every event of the request was refused"
    return _problem(status, code, detail, rows, {})


def _row(refusal: EventRefusal) -> dict[str, Any]:
    fields = {
        "index": refusal.place,
        "item": refusal.item,
        "code": refusal.code,
        "field": refusal.field,
        "message": refusal.message,
    }
    return {name: value for name, value in fields.items() if value is not None}


def _problem(status: int, code: str, detail: str, rows: Sequence[Mapping[str, Any]] | None, headers: Mapping[str, str]) -> Response:  # fmt: skip
    body = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "code": code, "detail": detail}
    return JSONResponse(body | ({} if rows is None else {"rows": rows}), status, dict(headers), PROBLEM)


def documented() -> dict[int | str, dict[str, Any]]:
    """The responses for the OpenAPI document."""
    fields = {
        204: "All events are accepted: Kafka has confirmed them.",
        207: "Some events are accepted for good; the others are listed with their reasons.",
        400: "Nothing is accepted: the body, a parameter or every event is wrong.",
        401: "Nothing is accepted: there is no valid credential. The response is the same whatever the reason.",
        403: "Nothing is accepted: the sender may not send this.",
        408: "Nothing is accepted: the body arrived too slowly.",
        413: "Nothing is accepted: too many bytes or events. Send less at once.",
        415: "Nothing is accepted: unknown Content-Type.",
        429: "Nothing is accepted: the sender exceeds its limits, or failed to authenticate too often.",
        500: "A bug. Nothing is known to be accepted; the header X-Request-Id identifies the request.",
        503: "Nothing is known to be accepted: send it again after Retry-After. Events that did arrive are deduplicated by their ids.",
    }
    documented_responses: dict[int | str, dict[str, Any]] = {}
    for status, description in fields.items():
        headers = {
            "X-Request-Id": {"description": "Identifies this request in the logs.", "schema": {"type": "string"}}
        }
        if status in {429, 503}:
            headers["Retry-After"] = {"description": "Seconds.", "schema": {"type": "integer"}}
        documented_responses[status] = {"description": description, "headers": headers}
        if status == HTTPStatus.MULTI_STATUS:
            documented_responses[status]["content"] = {
                "application/json": {"schema": Partly.model_json_schema(ref_template=_REF)}
            }
        elif status != HTTPStatus.NO_CONTENT:
            documented_responses[status]["content"] = {
                PROBLEM: {"schema": ProblemBody.model_json_schema(ref_template=_REF)}
            }
    return documented_responses


_REF = "#/components/schemas/{model}"
