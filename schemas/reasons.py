"""The closed list of reasons for which an entry is refused, with the remedy for each.

A refused entry is never lost: table `dead` keeps it with its coordinates, and the books count it. Its payload is in
table `texts`.
"""

from enum import StrEnum


class Reason(StrEnum):
    """Why an entry was not counted. Tables, reports and `tollbook dead list` show the value."""

    BAD_UTF8 = "BAD_UTF8"
    BAD_ENCODING = "BAD_ENCODING"
    TOMBSTONE = "TOMBSTONE"
    EMPTY = "EMPTY"
    NO_SOURCE = "NO_SOURCE"
    BAD_HEADER = "BAD_HEADER"
    UNKNOWN_FORMAT = "UNKNOWN_FORMAT"
    NOT_JSON = "NOT_JSON"
    NOT_OBJECT = "NOT_OBJECT"
    NOT_A_REQUEST = "NOT_A_REQUEST"
    TRAILING_DATA = "TRAILING_DATA"
    DUPLICATE_KEY = "DUPLICATE_KEY"
    TOO_DEEP = "TOO_DEEP"
    TOO_MANY_FIELDS = "TOO_MANY_FIELDS"
    TOO_LARGE = "TOO_LARGE"
    PARTIAL_LINE = "PARTIAL_LINE"
    SCHEMA_UNKNOWN = "SCHEMA_UNKNOWN"
    UNKNOWN_METER = "UNKNOWN_METER"
    WRONG_TYPE = "WRONG_TYPE"
    NOT_INTEGER = "NOT_INTEGER"
    NEGATIVE = "NEGATIVE"
    NO_ID = "NO_ID"
    BAD_ID = "BAD_ID"
    CONTROL_CHAR = "CONTROL_CHAR"
    NO_TIME = "NO_TIME"
    NO_ZONE = "NO_ZONE"
    BAD_TIME = "BAD_TIME"
    TIME_RANGE = "TIME_RANGE"
    IN_FUTURE = "IN_FUTURE"
    TOO_LATE = "TOO_LATE"
    BAD_STATUS = "BAD_STATUS"
    NUMBER_RANGE = "NUMBER_RANGE"
    NO_PARTNER = "NO_PARTNER"
    BAD_PARTNER = "BAD_PARTNER"
    UNKNOWN_PARTNER = "UNKNOWN_PARTNER"
    TAG_NOT_ALLOWED = "TAG_NOT_ALLOWED"
    UNKNOWN_CREDENTIAL = "UNKNOWN_CREDENTIAL"
    CREDENTIAL_NOT_VALID = "CREDENTIAL_NOT_VALID"
    UNVERIFIED_USER = "UNVERIFIED_USER"
    PARTNER_MISMATCH = "PARTNER_MISMATCH"
    KEY_MISMATCH = "KEY_MISMATCH"
    ID_CONFLICT = "ID_CONFLICT"


# Reasons for which a line does not have the form of its format. Many of them mean a wrong format or a changed gateway
# log, and pause the source (ingest/decode/pausing.py). The list excludes attribution, lateness, and reasons that a
# caller of the gateway can cause by choosing bytes, ids and sizes (BAD_UTF8, TOO_LARGE, BAD_ID, NUMBER_RANGE, …): an
# unknown caller must not be able to stop metering.
FORM: frozenset[Reason] = frozenset(
    {
        Reason.BAD_ENCODING,
        Reason.UNKNOWN_FORMAT,
        Reason.NOT_JSON,
        Reason.NOT_OBJECT,
        Reason.TRAILING_DATA,
        Reason.SCHEMA_UNKNOWN,
        Reason.NO_TIME,
        Reason.NO_ZONE,
        Reason.BAD_TIME,
        Reason.TIME_RANGE,
    }
)
# Unknown callers can cause these by connections without a request, and a log may contain many harmless ones. They mean
# a wrong format only if another format reads the same lines as requests.
FORM_IF_ANOTHER_FITS: frozenset[Reason] = frozenset({Reason.NOT_A_REQUEST})

REMEDY: dict[Reason, str] = {
    Reason.BAD_UTF8: "the shipper cut or re-encoded the line; ship the log as UTF-8",
    Reason.BAD_ENCODING: "the text is UTF-16 or UTF-32; ship the log as UTF-8",
    Reason.TOMBSTONE: "the record has no value; a log cannot delete entries, so correct the producer",
    Reason.EMPTY: "the record is empty; correct the shipper",
    Reason.NO_SOURCE: "the record names no source; set its header `source`, or start `tollbook ingest` with --source",
    Reason.BAD_HEADER: "a header of the record has an invalid value (docs/kafka.md lists the limits); correct the shipper and send the record again",
    Reason.UNKNOWN_FORMAT: "the record's header `format` names no known format; correct it, or start `tollbook ingest` with --format",
    Reason.NOT_JSON: "the line is cut, or the gateway wrote an unescaped value; correct the log format",
    Reason.NOT_OBJECT: "the line is JSON, but not an object; check that the format fits the log",
    Reason.NOT_A_REQUEST: "the record is well-formed, but not a request (probe, error log); it is harmless, or the format is wrong",
    Reason.TRAILING_DATA: "the line continues after the JSON object; write one object per line, or an array",
    Reason.DUPLICATE_KEY: "the event has a field twice, so its value is ambiguous; correct the producer",
    Reason.TOO_DEEP: "the event is nested deeper than 32 levels; send only what is metered, not whole documents",
    Reason.TOO_MANY_FIELDS: "the event has more than 256 fields; send only what is metered, not whole documents",
    Reason.TOO_LARGE: "the entry is longer than its format allows (64 KiB per event, 1 MiB per log line); turn off body logging",
    Reason.PARTIAL_LINE: "rotation or a crash cut the line, and the compressed log ends there; count it as it is with `tollbook dead redrive --final`, or find its rest",
    Reason.SCHEMA_UNKNOWN: "the event has no known schema version (specversion 1.0); correct or upgrade the producer",
    Reason.UNKNOWN_METER: "the event's type is not among the source's `event_types` in the catalog; add it, and a meter for it",
    Reason.WRONG_TYPE: "a number is written as text, or text as a number; correct the producer",
    Reason.NOT_INTEGER: "a quantity in whole units is not an integer; write digits only (no 1.0, no 1e3)",
    Reason.NEGATIVE: "a quantity is negative; an event cannot reduce usage, so issue a credit instead",
    Reason.NO_ID: "the event has no id, so a resend could not be detected; assign an id where the event is created",
    Reason.BAD_ID: "the request id is empty, blank or longer than 128 characters; correct the gateway's log format",
    Reason.CONTROL_CHAR: "the request id contains control characters; check the gateway",
    Reason.NO_TIME: "the line has no request time; add it to the gateway's log format",
    Reason.NO_ZONE: "the request time has no time zone; write Z or an offset",
    Reason.BAD_TIME: "the request time cannot be parsed; check the gateway's log format",
    Reason.TIME_RANGE: "the request time is outside 1990-2099; check the unit (seconds, milliseconds)",
    Reason.IN_FUTURE: "the request time is further ahead of the time of receipt than the source's `max_future_minutes` (default 5); correct the clock of the gateway",
    Reason.TOO_LATE: "the request was older on receipt than the source's `max_age_days` (default 35); raise it in the catalog, then run `tollbook dead redrive`",
    Reason.BAD_STATUS: "the status is neither 0 nor in 100-599; correct the gateway's log format",
    Reason.NUMBER_RANGE: "a size or duration is negative or greater than 10^16; check the gateway's log format",
    Reason.NO_PARTNER: "the request has no credential and no partner tag, so nobody can be billed; log one of them",
    Reason.BAD_PARTNER: "the tag is not a valid partner id (1-64 of a-z 0-9 _ -); correct the producer",
    Reason.UNKNOWN_PARTNER: "the tag names a partner that is not in the catalog; add the partner",
    Reason.TAG_NOT_ALLOWED: "the source may not name partners; set `may_tag: true` for it in the catalog",
    Reason.UNKNOWN_CREDENTIAL: "the credential is not in the catalog; add it to its partner",
    Reason.CREDENTIAL_NOT_VALID: "the credential was not valid at that time; correct its valid_from or valid_to",
    Reason.UNVERIFIED_USER: "the log does not show that the gateway checked this user; if it checks all, set `trust_user: true` for the source in the catalog",
    Reason.PARTNER_MISMATCH: "the tag names another partner than the credential; ask the owner of the gateway",
    Reason.KEY_MISMATCH: "the record's key names another partner than its line; correct the shipper",
    Reason.ID_CONFLICT: "the same id arrived with a different payload, and the first one was kept; check the gateway",
}
