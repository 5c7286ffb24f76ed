"""The closed list of reasons for which an entry is refused, with what mends each.

A refused entry is never lost: it stays in table `dead` with its coordinates, and counts in the books. Its text stands in table `texts`.
"""

from enum import StrEnum


class Reason(StrEnum):
    """Why an entry was not counted. The value is what tables, reports and `tollbook dead list` show."""

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
    PARTNER_MISMATCH = "PARTNER_MISMATCH"
    KEY_MISMATCH = "KEY_MISMATCH"
    ID_CONFLICT = "ID_CONFLICT"


# Reasons that say that a line is not what its format says: many of them mean a wrong format, or a gateway whose log was changed, and pause the
# source (ingest/decode/pausing.py). Attribution is not among them, nor is what follows from bytes, ids and sizes that a caller of the gateway chooses
# (BAD_UTF8, TOO_LARGE, BAD_ID, NUMBER_RANGE, …), nor lateness: a stranger must not be able to stop metering.
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
# Of these a stranger can make many, by connections without a request, and a log may hold many that are harmless. They mean a wrong format only
# where another format reads the same lines as requests.
FORM_IF_ANOTHER_FITS: frozenset[Reason] = frozenset({Reason.NOT_A_REQUEST})

REMEDY: dict[Reason, str] = {
    Reason.BAD_UTF8: "the shipper cut or re-encoded the line; ship the log as UTF-8",
    Reason.BAD_ENCODING: "the text is UTF-16 or UTF-32; ship the log as UTF-8",
    Reason.TOMBSTONE: "a record without a value; whoever sends it means to delete something, which a log cannot",
    Reason.EMPTY: "an empty record; correct the shipper",
    Reason.NO_SOURCE: "the record does not say who wrote it; set its header `source`, or start `tollbook ingest` with --source",
    Reason.BAD_HEADER: "a header of the record cannot be what it says (docs/kafka.md lists them with their limits); correct the shipper and send the record again",
    Reason.UNKNOWN_FORMAT: "the record's header `format` names no known format; correct it, or start `tollbook ingest` with --format",
    Reason.NOT_JSON: "the line is cut, or the gateway wrote an unescaped value; fix the log format",
    Reason.NOT_OBJECT: "the line is JSON but no object; check that the format fits the log",
    Reason.NOT_A_REQUEST: "a well-formed record that is no request (probe, error log); harmless, or a wrong format",
    Reason.TRAILING_DATA: "something stands behind the JSON object; write one object a line, or an array",
    Reason.DUPLICATE_KEY: "the event names a field twice, so it does not say one thing; correct who writes it",
    Reason.TOO_DEEP: "the event nests deeper than 32; send what is metered, not whole documents",
    Reason.TOO_MANY_FIELDS: "the event has more than 256 fields; send what is metered, not whole documents",
    Reason.TOO_LARGE: "the entry is longer than its format allows (64 KiB an event, 1 MiB a log line); turn off body logging",
    Reason.PARTIAL_LINE: "rotation or a crash cut the line, and the packed log ends there; count it as it stands by `tollbook dead redrive --final`, or find its rest",
    Reason.SCHEMA_UNKNOWN: "the event names no schema version that is known (specversion 1.0); correct or upgrade who writes it",
    Reason.UNKNOWN_METER: "the event's type is not among the source's `event_types` in the catalog; add it, and a meter for it",
    Reason.WRONG_TYPE: "a number is written as text, or a text as a number; nothing is guessed, correct who writes it",
    Reason.NOT_INTEGER: "a quantity that is counted in whole units is no integer; write digits only (no 1.0, no 1e3)",
    Reason.NEGATIVE: "a quantity is below zero; usage is never taken back by an event, ask for a credit",
    Reason.NO_ID: "the event has no id, so a resend could not be told from a new event; give it one where it is made",
    Reason.BAD_ID: "the request id is empty, blank or longer than 128 characters",
    Reason.CONTROL_CHAR: "the request id holds control characters; look into the gateway",
    Reason.NO_TIME: "the line has no request time; add it to the gateway's log format",
    Reason.NO_ZONE: "the request time has no zone, and none is guessed; write Z or an offset",
    Reason.BAD_TIME: "the request time cannot be read; check the gateway's log format",
    Reason.TIME_RANGE: "the request time lies outside 1990-2099; check the unit (seconds, milliseconds)",
    Reason.IN_FUTURE: "the request time lies further ahead of the time of receipt than the source's `max_future_minutes` (5 by default); correct the clock that wrote it",
    Reason.TOO_LATE: "the request was older on receipt than the source's `max_age_days` (35 by default); raise it in the catalog, then `tollbook dead redrive`",
    Reason.BAD_STATUS: "the status is not in 0, 100-599",
    Reason.NUMBER_RANGE: "a size or duration is negative or beyond 10^16",
    Reason.NO_PARTNER: "the request carries no credential and no partner tag; nobody can be billed",
    Reason.BAD_PARTNER: "the tag can be no partner's id (1-64 of a-z 0-9 _ -); correct who writes it",
    Reason.UNKNOWN_PARTNER: "the tag names a partner that is not in the catalog; add the partner",
    Reason.TAG_NOT_ALLOWED: "the source is not allowed to name partners; set `may_tag: true` for it in the catalog",
    Reason.UNKNOWN_CREDENTIAL: "add the credential to its partner in the catalog",
    Reason.CREDENTIAL_NOT_VALID: "the credential was not valid at that time; correct valid_from/valid_to",
    Reason.PARTNER_MISMATCH: "the tag names another partner than the credential's; ask the gateway's owner",
    Reason.KEY_MISMATCH: "the record's key names another partner than its line; correct the shipper",
    Reason.ID_CONFLICT: "the same id came with another payload; the first stays, look into the gateway",
}
