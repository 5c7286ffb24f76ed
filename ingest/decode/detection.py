"""Format detection: every format reads a sample of the log; the one that accepts most entries and fields comes first."""

from collections.abc import Iterable
from functools import cache
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from ingest.decode import formats
from ingest.decode.framing import Lines
from ingest.decode.pipeline import Parser
from schemas.reasons import Reason

SAMPLE_LINES = 200
# The fields, besides the time, that a format may find in an entry. An identity counts like any other field.
_FIELDS = (
    "event_id", "method", "path", "route", "status", "request_bytes", "response_bytes", "latency_ms", "client_ip", "identity_value", "service", "host",
)  # fmt: skip

# Reasons by which a format says that a line is one of its own, but for a value.
_KNOWN = (
    Reason.BAD_STATUS,
    Reason.NUMBER_RANGE,
    Reason.BAD_ID,
    Reason.CONTROL_CHAR,
    Reason.NOT_INTEGER,
    Reason.NEGATIVE,
)


class FormatMatch(NamedTuple):
    """How a format reads the sample: its entries, those it accepts, the fields in these, and why it refuses others."""

    format: str
    entries: int
    accepted: int
    fields: int  # in all accepted entries together
    refused: str  # the most common reason, or ""
    recognised: int  # refused entries that have a form of the format

    @property
    def rank(self) -> tuple[float, float, float]:
        """The order of formats: the share of accepted entries, the fields in each of these, the share of recognised."""
        if not self.entries:
            return (0.0, 0.0, 0.0)
        in_each = self.fields / self.accepted if self.accepted else 0.0
        return (self.accepted / self.entries, in_each, self.recognised / self.entries)


def sample(blocks: Iterable[Lines]) -> Lines:
    """The first lines of a log."""
    first = next(iter(blocks), None)
    if first is None:
        return Lines(pa.table({"position": pa.array([], pa.int64()), "line": pa.array([], pa.string())}), pa.table({}))
    lines = first.lines.slice(0, SAMPLE_LINES)
    return Lines(lines, first.unreadable.filter(pc.is_in(first.unreadable["position"], value_set=lines["position"])))


def matches(framed: Lines) -> list[FormatMatch]:
    """All formats, the most likely first; ties by name."""
    found = [_match(name, framed) for name in formats.names()] if framed.lines.num_rows else []
    return sorted(found, key=lambda r: (*(-part for part in r.rank), r.format))


def _match(name: str, framed: Lines) -> FormatMatch:
    rows = _parser(name).parse(framed)
    accepted = rows.filter(pc.is_null(rows["reason"]))
    fields = sum(accepted.num_rows - accepted[field].null_count for field in _FIELDS)
    reasons = sorted(pc.value_counts(rows["reason"].drop_null()).to_pylist(), key=lambda r: (-r["counts"], r["values"]))
    most = reasons[0]["values"] if reasons else ""
    return FormatMatch(name, rows.num_rows, accepted.num_rows, fields, most, _recognised(rows, framed))


def _recognised(rows: pa.Table, framed: Lines) -> int:
    """The refused entries that have a form of the format: a number is wrong, or a line of text is known to be no request.

    A JSON object without a request may be of any format.
    """
    refused = rows.filter(pc.is_valid(rows["reason"])).select(["position", "reason"])
    text = framed.lines.filter(pc.invert(pc.match_substring_regex(framed.lines["line"], r"^\s*[{\[]")))["position"]
    is_text = pc.is_in(refused["position"], value_set=text)
    known = pc.is_in(refused["reason"], value_set=pa.array(_KNOWN, pa.string()))
    no_request = pc.and_(pc.equal(refused["reason"], Reason.NOT_A_REQUEST), is_text)
    return int(pc.sum(pc.or_(known, no_request)).as_py() or 0)


@cache
def _parser(name: str) -> Parser:
    """Cached: planning a format's statement takes longer than reading a sample."""
    return Parser(name)


def proposed_format(framed: Lines, instead_of: str) -> str | None:
    """Another format for these lines, if it accepts most of them and matches better than `instead_of`; else None."""
    found = matches(framed)
    if not found or found[0].format == instead_of:
        return None
    before = next((r for r in found if r.format == instead_of), None)
    first = found[0]
    is_sure = 2 * first.accepted > first.entries and (before is None or first.rank > before.rank)
    return first.format if is_sure else None


def better_format(framed: Lines, format_name: str) -> str | None:
    """The format to use instead of `format_name`, which accepts no more than half of the lines; else None."""
    mine = _match(format_name, framed)
    return None if 2 * mine.accepted > mine.entries else proposed_format(framed, format_name)
