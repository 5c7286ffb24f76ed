"""The closed list of reasons for which an entry is refused, with what mends each.

A refused entry is never lost: it stays in table `dead` with its raw bytes and coordinates, and counts in the books.
"""

from enum import StrEnum


class Reason(StrEnum):
    """Why an entry was not counted. The value is what tables, reports and `tollbook dead list` show."""

    BAD_UTF8 = "BAD_UTF8"
    TOMBSTONE = "TOMBSTONE"
    EMPTY = "EMPTY"
    NO_SOURCE = "NO_SOURCE"
    UNKNOWN_FORMAT = "UNKNOWN_FORMAT"
    NOT_JSON = "NOT_JSON"
    NOT_OBJECT = "NOT_OBJECT"
    NOT_A_REQUEST = "NOT_A_REQUEST"
    TOO_LARGE = "TOO_LARGE"
    PARTIAL_LINE = "PARTIAL_LINE"
    BAD_ID = "BAD_ID"
    NO_TIME = "NO_TIME"
    BAD_TIME = "BAD_TIME"
    TIME_RANGE = "TIME_RANGE"
    IN_FUTURE = "IN_FUTURE"
    TOO_LATE = "TOO_LATE"
    BAD_STATUS = "BAD_STATUS"
    NUMBER_RANGE = "NUMBER_RANGE"
    NO_PARTNER = "NO_PARTNER"
    UNKNOWN_PARTNER = "UNKNOWN_PARTNER"
    TAG_NOT_ALLOWED = "TAG_NOT_ALLOWED"
    UNKNOWN_CREDENTIAL = "UNKNOWN_CREDENTIAL"
    CREDENTIAL_NOT_VALID = "CREDENTIAL_NOT_VALID"
    PARTNER_MISMATCH = "PARTNER_MISMATCH"
    ID_CONFLICT = "ID_CONFLICT"


REMEDY: dict[Reason, str] = {
    Reason.BAD_UTF8: "the shipper cut or re-encoded the line; ship the log as UTF-8",
    Reason.TOMBSTONE: "a record without a value; whoever sends it means to delete something, which a log cannot",
    Reason.EMPTY: "an empty record; correct the shipper",
    Reason.NO_SOURCE: "the record does not say who wrote it; set its header `source`, or start `tollbook ingest` with --source",
    Reason.UNKNOWN_FORMAT: "the record's header `format` names no known format; correct it, or start `tollbook ingest` with --format",
    Reason.NOT_JSON: "the line is cut, or the gateway wrote an unescaped value; fix the log format",
    Reason.NOT_OBJECT: "the line is JSON but no object; check that the format fits the log",
    Reason.NOT_A_REQUEST: "a well-formed record that is no request (probe, error log); harmless, or a wrong format",
    Reason.TOO_LARGE: "the line is longer than 1 MiB; turn off body logging",
    Reason.PARTIAL_LINE: "the file ends inside a line; it is read again when the rest has come",
    Reason.BAD_ID: "the request id is empty, longer than 128 characters or holds control characters",
    Reason.NO_TIME: "the line has no request time; add it to the gateway's log format",
    Reason.BAD_TIME: "the request time cannot be read; check the gateway's log format",
    Reason.TIME_RANGE: "the request time lies outside 1990-2099; check the unit (seconds, milliseconds)",
    Reason.IN_FUTURE: "the request time lies after the time of receipt; check the gateway's clock",
    Reason.TOO_LATE: "the line came later than the source's limit; raise the limit and read it again",
    Reason.BAD_STATUS: "the status is not in 0, 100-599",
    Reason.NUMBER_RANGE: "a size or duration is negative or beyond 10^15",
    Reason.NO_PARTNER: "the request carries no credential and no partner tag; nobody can be billed",
    Reason.UNKNOWN_PARTNER: "the tag names a partner that is not in the catalog; add the partner",
    Reason.TAG_NOT_ALLOWED: "the source is not allowed to name partners; set `may_tag: true` for it in the catalog",
    Reason.UNKNOWN_CREDENTIAL: "add the credential to its partner in the catalog",
    Reason.CREDENTIAL_NOT_VALID: "the credential was not valid at that time; correct valid_from/valid_to",
    Reason.PARTNER_MISMATCH: "the tag names another partner than the credential's; ask the gateway's owner",
    Reason.ID_CONFLICT: "the same id came with another payload; the first stays, look into the gateway",
}
