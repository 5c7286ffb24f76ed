"""A batch of records of `gateway.access`, and which of its records are decoded together.

The headers `format` and `source` of a record decide. The other headers say where the sender had read the record.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from schemas.reasons import Reason

# Limits of names in headers, which are repeated in every row of a record. A position plus a record's size fits 64 bits.
SOURCE_CHARACTERS_MAX, NAME_CHARACTERS_MAX, _POSITION_DIGITS_MAX = 128, 128, 18
# Uncompressed. A record of this size can have millions of lines, which are all in memory at once.
RECORD_BYTES_MAX = 32 << 20
_NOTHING = {None: (Reason.TOMBSTONE, "a record without a value"), b"": (Reason.EMPTY, "an empty record")}

I64 = npt.NDArray[np.int64]
Headers = Any  # a list of (name, value) or None, as in confluent_kafka; or UNREADABLE_HEADERS
UNREADABLE_HEADERS = "unreadable"  # the client library cannot decode them


class Records(NamedTuple):
    """A batch as columns, ordered by offset within each partition."""

    values: Sequence[bytes | None]
    headers: Sequence[Headers]
    partitions: I64
    offsets: I64
    received_us: I64  # the broker's append time
    keys: Sequence[bytes | None] | None = None  # None: no record has a key

    def part(self, rows: slice) -> "Records":
        """A slice of the records."""
        keys = None if self.keys is None else self.keys[rows]
        return Records(
            self.values[rows],
            self.headers[rows],
            self.partitions[rows],
            self.offsets[rows],
            self.received_us[rows],
            keys,
        )

    def where(self, kept: npt.NDArray[np.bool_]) -> "Records":
        """The records where `kept` is true."""
        rows: list[int] = np.flatnonzero(kept).tolist()
        keys = None if self.keys is None else [self.keys[row] for row in rows]
        return Records(
            [self.values[row] for row in rows],
            [self.headers[row] for row in rows],
            self.partitions[rows],
            self.offsets[rows],
            self.received_us[rows],
            keys,
        )


class RecordGroup(NamedTuple):
    """Records that are decoded together.

    `rows`: their rows in the batch. `files` and `requests`: the name and the byte position of a record from a file or
    request.
    """

    rows: list[int]
    files: dict[int, tuple[str, int]]
    requests: dict[int, tuple[str, int]]


class GroupRefusal(NamedTuple):
    """Why all records with the same headers are refused."""

    reason: Reason
    detail: str


def grouped(
    records: Records, defaults: tuple[str, str]
) -> tuple[dict[tuple[str, str], RecordGroup], list[tuple[int, Reason, str, str]]]:
    """Records by format and source; and records without lines, with the reason.

    With one line per record, this loop takes most of the time of ingest: header values are decoded once per distinct
    pair.
    """
    groups: dict[tuple[str, str], RecordGroup] = {}
    by_headers: dict[tuple[bytes | None, bytes | None], RecordGroup | GroupRefusal] = {}  # by the raw headers
    letters: list[tuple[int, Reason, str, str]] = []
    for row, (value, headers) in enumerate(zip(records.values, records.headers, strict=True)):
        if headers is UNREADABLE_HEADERS:
            letters.append((row, Reason.BAD_HEADER, "the name of a header is not UTF-8", ""))
            continue
        fields: dict[str, bytes | None] = dict(headers) if headers else {}
        named = (fields.get("format"), fields.get("source"))
        if named not in by_headers:
            key = (
                header_text(named[0])[: NAME_CHARACTERS_MAX + 1] or defaults[0],
                header_text(named[1]) or defaults[1],
            )
            by_headers[named] = _source_refusal(key[1]) or groups.setdefault(key, RecordGroup([], {}, {}))
        group = by_headers[named]
        if not value:
            reason, detail = _NOTHING[value]
            letters.append(
                (row, reason, detail, "" if isinstance(group, GroupRefusal) else header_text(named[1]) or defaults[1])
            )
        elif isinstance(group, GroupRefusal):
            letters.append((row, group.reason, group.detail, ""))
        elif len(value) > RECORD_BYTES_MAX:
            letters.append(
                (
                    row,
                    Reason.TOO_LARGE,
                    f"a record has at most {RECORD_BYTES_MAX} bytes",
                    header_text(named[1]) or defaults[1],
                )
            )
        elif wrong := _bad_header(fields):
            letters.append((row, Reason.BAD_HEADER, wrong, header_text(named[1]) or defaults[1]))
        else:
            group.rows.append(row)
            if "generation" in fields and (file := _named(fields, "generation")):
                group.files[row] = file
            elif "request" in fields and (request := _named(fields, "request")):
                group.requests[row] = f"request/{request[0]}", request[1]
    return {key: group for key, group in groups.items() if group.rows}, letters


def _source_refusal(source: str) -> GroupRefusal | None:
    """Why records of a source cannot be decoded; None if they can."""
    if not source:
        return GroupRefusal(Reason.NO_SOURCE, "no header `source`")
    if len(source) > SOURCE_CHARACTERS_MAX:
        return GroupRefusal(
            Reason.BAD_HEADER, f"header `source` has {len(source)} characters, at most {SOURCE_CHARACTERS_MAX}"
        )
    return None


def _bad_header(fields: Mapping[str, bytes | None]) -> str | None:
    """What is wrong with the headers that give a record's position in a file or request; None if nothing.

    Ignoring them would give the lines other ids than in the file, and count them twice.
    """
    for name in ("generation", "request"):
        if name in fields and len(fields[name] or b"") > NAME_CHARACTERS_MAX:
            return f"header `{name}` has {len(fields[name] or b'')} bytes, at most {NAME_CHARACTERS_MAX}"
    position = fields.get("position")
    if position and not (position.isdigit() and len(position) <= _POSITION_DIGITS_MAX):
        return f"header `position` is not a number of at most {_POSITION_DIGITS_MAX} digits"
    return None


def _named(fields: Mapping[str, bytes | None], name: str) -> tuple[str, int] | None:
    """The file or request of a record and the position in it, if the sender (`load`, `serve`) gave them."""
    position = fields.get("position")
    return (header_text(fields[name]), int(position)) if position else None


def header_text(value: bytes | None) -> str:
    """A header's value as text; bytes that are not UTF-8 are escaped."""
    return (value or b"").decode(errors="backslashreplace")
