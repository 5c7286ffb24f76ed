"""Strict JSON: the exact reason, with its position, why a text is not a valid usage event.

SQL selects the few lines that need this check (`doubtful` in ingest/decode/sql/macros.sql, and text that is not JSON).
Every text gets a result, in time linear in its length.
"""

import json
import re
from decimal import Decimal, InvalidOperation
from typing import Any, NamedTuple, NoReturn

from schemas.reasons import Reason

DEPTH_MAX = 32  # the same three limits as in ingest/decode/sql/macros.sql
FIELDS_MAX = 256
DIGITS_MAX = 38  # of a number: the precision of decimal128
EXPONENT_MAX = 99
_SHOWN = 40
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"?|[\[\]{}:]', re.DOTALL)  # each character is in at most one token: linear time


class JsonProblem(NamedTuple):
    """Why an object is refused: a reason, and a detail for people."""

    reason: Reason
    detail: str


class _NotStrict(Exception):
    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.problem = JsonProblem(reason, detail)


class _Object(list[tuple[str, Any]]):
    """The fields of an object in order, so that duplicate names are kept."""


def problem(text: str) -> JsonProblem | None:
    """What is wrong with `text` as a usage event, or None. Positions are bytes from the start of the text."""
    nesting = _depth_and_fields(text)
    if nesting.depth > DEPTH_MAX:
        return JsonProblem(Reason.TOO_DEEP, f"nested {nesting.depth} deep, at most {DEPTH_MAX}")
    try:
        found = _DECODER.decode(text)
    except _NotStrict as exc:
        return exc.problem
    except json.JSONDecodeError as exc:
        return _not_json(text, exc)
    if nesting.fields > FIELDS_MAX:
        return JsonProblem(Reason.TOO_MANY_FIELDS, f"{nesting.fields} fields, at most {FIELDS_MAX}")
    return _unpaired_surrogate(found) or (_duplicate_name(found) if isinstance(found, _Object) else None)


def _not_json(text: str, exc: json.JSONDecodeError) -> JsonProblem:
    place = len(text[: exc.pos].encode(errors="surrogatepass"))
    if exc.msg == "Extra data":
        return JsonProblem(Reason.TRAILING_DATA, f"trailing data after the JSON at byte {place}")
    return JsonProblem(Reason.NOT_JSON, f"not JSON at byte {place}: {exc.msg.lower()}")


class _Nesting(NamedTuple):
    depth: int
    fields: int


def _depth_and_fields(text: str) -> _Nesting:
    """The depth of brackets and the number of colons outside strings, measured before a parser recurses."""
    depth = deepest = fields = 0
    for token in _TOKEN.finditer(text):
        match token[0][0]:
            case "{" | "[":
                depth += 1
                deepest = max(deepest, depth)
            case "}" | "]":
                depth -= 1
            case ":":
                fields += 1
    return _Nesting(deepest, fields)


def _number(text: str) -> None:
    """Refuse a number that is out of range. Its value is not needed."""
    mantissa, _, exponent = text.lower().partition("e")
    digits = sum(c.isdigit() for c in mantissa)
    try:
        far = abs(int(exponent or "0")) > EXPONENT_MAX if len(exponent) < _SHOWN else True
        beyond = digits > DIGITS_MAX or far or not Decimal(text).is_finite()
    except (ValueError, InvalidOperation):
        beyond = True
    if beyond:
        raise _NotStrict(Reason.NUMBER_RANGE, f"number {text[:_SHOWN]} cannot be stored exactly")


def _no_number(text: str) -> NoReturn:
    raise _NotStrict(Reason.NOT_JSON, f"{text} is not a JSON number")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_Object, parse_int=_number, parse_float=_number, parse_constant=_no_number
)


def _duplicate_name(found: _Object) -> JsonProblem | None:
    """A duplicate name in the event or in its data. Deeper objects are not read."""
    for fields in (found, *(value for name, value in found if name == "data" and isinstance(value, _Object))):
        names: set[str] = set()
        for name, _ in fields:
            if name in names:
                return JsonProblem(Reason.DUPLICATE_KEY, f"field {name[:_SHOWN]!a} occurs twice")
            names.add(name)
    return None


def _unpaired_surrogate(found: object) -> JsonProblem | None:
    """An unpaired surrogate: JSON allows it as an escape, but it is not a character."""
    if isinstance(found, str):
        try:
            found.encode()
        except UnicodeEncodeError:
            return JsonProblem(Reason.BAD_UTF8, "a string has an unpaired surrogate, which is not a character")
    if isinstance(found, list):
        parts = (part for pair in found for part in pair) if isinstance(found, _Object) else found
        return next((bad for part in parts if (bad := _unpaired_surrogate(part))), None)
    return None
