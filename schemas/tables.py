"""The tables of the lake: Arrow schemas, keys, partitions. Writers cast to these or fail; readers ask by name.

Times are UTC microseconds. Quantities are integers in the log's own unit (requests, bytes, microseconds); money and
billed quantities are decimals. Every table is a Delta table at `<lake>/<name>`; `event_day` is the UTC day of the event.
"""

from collections.abc import Mapping
from typing import NamedTuple

import pyarrow as pa

TIME = pa.timestamp("us", tz="UTC")
QUANTITY = pa.decimal128(38, 9)


class TableShape(NamedTuple):
    """One table of the lake. `partition_by` columns live in the path, not in the Parquet file.

    `later`: columns that a lake made by an earlier version lacks; they are added when it is next written to, null in old files.
    `erasable`: its rows may be erased, out of all its versions. Nothing rests on it: no close pins it, no sum reads it.
    `newer`: a lake made by an earlier version lacks the whole table; it is made when the lake is next written to, and is empty until then.
    """

    name: str
    schema: pa.Schema
    partition_by: tuple[str, ...] = ()
    later: tuple[str, ...] = ()
    erasable: bool = False
    newer: bool = False


_COORDINATES = [
    ("generation", pa.string()),  # which file, or partition of gateway.access, the entry was read from
    ("position", pa.int64()),  # byte offset of the line in the decompressed text, or offset of the record
    ("item", pa.int32()),  # place in a line or record that holds several entries, from 0
]
# Which partition of the log of events brought the row: that of usage.events, 0 where files are the log. Partial sums and
# known identities are told apart by it, since each is one worker's at a time.
_EVENTS_PARTITION = ("events_partition", pa.int16())
# Columns with few different values: in memory and on the wire they are coded by dictionary (`coded`).
_FEW = frozenset(
    [
        "source",
        "partner_id",
        "credential_kind",
        "credential",
        "service",
        "method",
        "route",
        "client_network",
        "outside",
        "generation",
    ]
)

EVENTS = TableShape(
    # One row per entry that was counted when it was landed. Key (source, event_id), unique among the rows that are not in `withdrawn`.
    "events",
    pa.schema(
        [
            ("source", pa.string()),
            ("event_id", pa.string()),
            ("partner_id", pa.string()),
            ("credential_kind", pa.string()),  # api_key, iam, oidc, consumer; null: named by tag
            ("credential", pa.string()),
            ("occurred_at", TIME),
            ("service", pa.string()),
            ("method", pa.string()),
            ("route", pa.string()),
            ("status", pa.int16()),
            ("request_bytes", pa.int64()),
            ("response_bytes", pa.int64()),
            ("latency_us", pa.int64()),
            ("client_network", pa.string()),  # /24 or /48, never the address
            ("suspended", pa.bool_()),  # the partner was suspended: counted, and flagged
            # What of its credential's policy it lies outside of: ACTION, RESOURCE, NETWORK, or UNKNOWN: it cannot be told.
            # Counted, and marked. Null: nothing was agreed, or it lies inside.
            ("outside", pa.string()),
            *_COORDINATES,
            _EVENTS_PARTITION,
            ("event_day", pa.date32()),
        ]
    ),
    ("event_day",),
    later=("outside",),
)

ROLLUPS = TableShape(
    # Partial sums: several rows may share a key (partner_id, window_start, source, service, method, route, status,
    # events_partition); readers sum. window_start is the start of a 15-minute window.
    "rollups",
    pa.schema(
        [
            ("partner_id", pa.string()),
            ("window_start", TIME),
            ("source", pa.string()),
            ("service", pa.string()),
            ("method", pa.string()),
            ("route", pa.string()),
            ("status", pa.int16()),
            ("requests", pa.int64()),
            ("request_bytes", pa.int64()),
            ("response_bytes", pa.int64()),
            ("latency_us", pa.int64()),
            _EVENTS_PARTITION,
            ("event_day", pa.date32()),
        ]
    ),
    ("event_day",),
)

DUPLICATES = TableShape(
    # One row per dropped resend: same identity and payload as an event.
    "duplicates",
    pa.schema(
        [
            ("source", pa.string()),
            ("event_id", pa.string()),
            ("partner_id", pa.string()),
            ("occurred_at", TIME),
            *_COORDINATES,
        ]
    ),
)

DEAD = TableShape(
    # An entry that was refused, or that conflicts with an event of the same identity, as a log gives it. In the lake it is two rows:
    # one of LETTERS, which the books rest on, and one of TEXTS, which can be erased.
    "dead",
    pa.schema(
        [
            ("outcome", pa.string()),  # refused | conflict
            ("reason", pa.string()),  # schemas.reasons.Reason
            ("detail", pa.string()),
            ("source", pa.string()),
            *_COORDINATES,
            ("event_id", pa.string()),
            ("partner_id", pa.string()),  # null where attribution failed
            ("occurred_at", TIME),  # null where the time could not be read
            (
                "raw",
                pa.binary(),
            ),  # the line as it came, secrets and query strings struck out, client addresses cut; of a conflict the normalised row
            ("raw_sha256", pa.string()),  # of the line with client addresses cut; null for a conflict
            # Kind and name of a credential that is unknown or not valid; null for every other reason. In the lake its keyed hash.
            ("credential", pa.string()),
        ]
    ),
)

# What of a dead letter was copied from its line.
COPIED = ("event_id", "detail", "raw")

LETTERS = TableShape(
    # One row per entry that was refused, or that conflicts with an event of the same identity. Nothing that was copied from the line.
    "dead",
    pa.schema(
        [
            *(f for f in DEAD.schema if f.name not in {*COPIED, "credential"}),
            # Which credential was refused as unknown or not valid, as a hash with the lake's own key (lake.tables.credential_hashes):
            # it tells them apart also when their texts are erased. Null: another reason, or landed before there was this column.
            ("credential_hash", pa.string()),
        ]
    ),
    later=("credential_hash",),
)

TEXTS = TableShape(
    # One row per row of `dead`: what was copied from its line; key (outcome, source, generation, position, item). The columns of COPIED
    # are null once they were erased.
    "texts",
    pa.schema(
        [
            ("outcome", pa.string()),
            ("source", pa.string()),
            *_COORDINATES,
            *((f.name, f.type) for f in DEAD.schema if f.name in COPIED),
            (
                "aged_from",
                TIME,
            ),  # its age counts from here: the time of the request, or when it was landed if that is earlier
            ("erased_at", TIME),  # null: it was not
            ("erased_by", pa.string()),  # the rule, for people
        ]
    ),
    erasable=True,
)

REDRIVEN = TableShape(
    # One row per refused entry that was read again and is refused no more; key (source, generation, position, item), that of its
    # row in `dead`, which stays. What it became stands in events, duplicates or, as a conflict, in dead.
    "redriven",
    pa.schema(
        [
            ("reason", pa.string()),  # why it was refused
            ("outcome", pa.string()),  # counted | duplicate | conflict
            ("source", pa.string()),
            *_COORDINATES,
            ("event_id", pa.string()),
            ("partner_id", pa.string()),
            ("occurred_at", TIME),
            ("catalog_sha256", pa.string()),  # the catalog that it was read again with
        ]
    ),
)

WITHDRAWN = TableShape(
    # One row per event that a settlement has taken out, because an event of the same identity was landed before it; key (source,
    # generation, position, item), that of its row in `events`, which stays. Its conflict stands in `dead`. Counted events are the rows of
    # `events` less these. The columns of ROLLUPS are here so that their negative sums follow from these rows alone.
    "withdrawn",
    pa.schema(
        [
            ("source", pa.string()),
            ("event_id", pa.string()),
            ("partner_id", pa.string()),
            ("occurred_at", TIME),
            ("service", pa.string()),
            ("method", pa.string()),
            ("route", pa.string()),
            ("status", pa.int16()),
            ("request_bytes", pa.int64()),
            ("response_bytes", pa.int64()),
            ("latency_us", pa.int64()),
            *_COORDINATES,
            _EVENTS_PARTITION,
            # The event that stays: where it stood, and when it happened.
            ("kept_generation", pa.string()),
            ("kept_position", pa.int64()),
            ("kept_item", pa.int32()),
            ("kept_occurred_at", TIME),
            ("settlement", pa.int64()),  # which of the settlements of the lake that took something out, from 1
        ]
    ),
    newer=True,
)

READS = TableShape(
    # One row per commit, log partition and origin: how far each was read, and what became of the entries. The ranges
    # of a log partition follow one another without a gap; so do those of one origin within one log partition.
    # entries = counted + duplicates + conflicts + refused. Of files the log partition is its own origin.
    "reads",
    pa.schema(
        [
            ("source", pa.string()),  # of the log partition: who wrote the file, or the topic
            ("generation", pa.string()),  # of the log partition: which file, or the partition's number
            ("file", pa.string()),  # the file's name when it was read, for people
            ("head_bytes", pa.int64()),  # the generation is known by the first head_bytes of the text; 0: no file
            ("head_sha256", pa.string()),
            ("from_offset", pa.int64()),
            ("to_offset", pa.int64()),
            ("tail_sha256", pa.string()),  # of the last bytes before to_offset: a changed file is noticed
            ("origin", pa.string()),  # the generation that the entries came from
            ("origin_from", pa.int64()),  # all entries of [origin_from, origin_to) that this log partition is to hold
            ("origin_to", pa.int64()),  # have been taken in
            ("entries", pa.int64()),
            ("counted", pa.int64()),
            ("duplicates", pa.int64()),
            ("conflicts", pa.int64()),
            ("refused", pa.int64()),
            ("redelivered", pa.int64()),  # taken in before: sent again by ingest after a crash, and no entries
            ("catalog_sha256", pa.string()),
        ]
    ),
)

INGESTED = TableShape(
    # What ingest says it read: `records` of a topic, or one range of a file, with `entries` in each. The other side of the
    # books.
    "ingested",
    pa.schema(
        [
            ("source", pa.string()),
            ("generation", pa.string()),
            ("from_offset", pa.int64()),
            ("to_offset", pa.int64()),
            ("records", pa.int64()),
            ("entries", pa.int64()),  # in each of the records
        ]
    ),
)

TOPICS = TableShape(
    # One row per topic that was ever landed: what it must not change without our knowing.
    "topics",
    pa.schema([("topic", pa.string()), ("topic_id", pa.string()), ("partitions", pa.int32())]),
)

ALERTS = TableShape(
    # One row per fired alert; key (partner_id, meter, quota_period, period_start, threshold_percent, plan, quota, limit_since).
    "alerts",
    pa.schema(
        [
            ("alert_id", pa.string()),
            ("kind", pa.string()),  # quota | withdrawn
            ("partner_id", pa.string()),
            ("meter", pa.string()),
            ("plan", pa.string()),
            ("quota_period", pa.string()),  # DAY | WEEK | MONTH
            ("period_start", TIME),
            ("period_end", TIME),
            ("threshold_percent", pa.decimal128(9, 3)),
            ("used", QUANTITY),
            ("quota", QUANTITY),
            ("passed", pa.bool_()),  # a higher threshold was already crossed when this one fired
            ("crossed_at", TIME),  # event time of the crossing
            ("projected_exhaustion_at", TIME),  # null when used >= quota or it ends after the period
            ("events_version", pa.int64()),  # the commit this is based on
            ("limit_since", TIME),  # from when `quota` holds (table limits); null: an earlier version wrote the row
            ("withdraws", pa.string()),  # the alert that a withdrawal takes back; null: that of the same threshold
        ]
    ),
    later=("limit_since", "withdraws"),
)

LIMITS = TableShape(
    # One row each time that the limit of a plan's quota was seen to be another one. The newest of (plan, meter, quota_period) holds.
    "limits",
    pa.schema(
        [
            ("plan", pa.string()),
            ("meter", pa.string()),
            ("quota_period", pa.string()),  # DAY | WEEK | MONTH
            ("quota", QUANTITY),
            ("limit_since", TIME),  # of the first one that was seen: 2000-01-01, always
        ]
    ),
)

CLOSES = TableShape(
    # One row per close of a (legal entity, period): what fixes the invoices' input. `document` is canonical JSON.
    "closes",
    pa.schema(
        [
            ("close_id", pa.string()),
            ("period", pa.string()),  # YYYY-MM
            ("legal_entity", pa.string()),
            ("closed_at", TIME),
            ("document", pa.string()),
        ]
    ),
)

INVOICES = TableShape(
    # What of each partner is settled: one row per partner and billing period, an issued invoice or, where there was nothing to pay,
    # a row without number, series, sequence and document. `document` is the invoice's canonical JSON; PDF and CSV are functions of it.
    "invoices",
    pa.schema(
        [
            ("number", pa.string()),
            ("series", pa.string()),  # legal entity and year: numbers are gapless in it
            ("sequence", pa.int64()),
            ("partner_id", pa.string()),
            ("period", pa.string()),
            ("close_id", pa.string()),
            ("issued_at", TIME),
            ("currency", pa.string()),
            ("total", pa.decimal128(38, 4)),
            ("document", pa.string()),
            ("json_sha256", pa.string()),
            ("csv_sha256", pa.string()),
            ("pdf_sha256", pa.string()),
            (
                "legal_entity",
                pa.string(),
            ),  # this and the period: null in rows of before; the document and its close say them
            ("period_start", TIME),  # [start, end)
            ("period_end", TIME),
        ]
    ),
    later=("legal_entity", "period_start", "period_end"),
)

ALL: Mapping[str, TableShape] = {
    t.name: t
    for t in (
        EVENTS,
        WITHDRAWN,
        ROLLUPS,
        DUPLICATES,
        LETTERS,
        TEXTS,
        REDRIVEN,
        READS,
        INGESTED,
        TOPICS,
        LIMITS,
        ALERTS,
        CLOSES,
        INVOICES,
    )
}
# From these nothing is ever taken away. Whoever reads the lake reads them; texts are only for whoever looks at dead letters, and
# limits for whoever alerts: a lake that an earlier version has made lacks the table until then.
KEPT: Mapping[str, TableShape] = {
    name: shape for name, shape in ALL.items() if not shape.erasable and shape is not LIMITS
}


def coded(schema: pa.Schema) -> pa.Schema:
    """`schema` as tables are held in memory and sent: columns of few values coded by dictionary. On disk they are text."""
    return pa.schema([pa.field(f.name, CODED) if f.name in _FEW else f for f in schema])


CODED = pa.dictionary(pa.int32(), pa.string())
# What a log gives: events before the land worker has added the partition they came by and their day.
FRESH_EVENTS = coded(pa.schema([f for f in EVENTS.schema if f.name not in {"events_partition", "event_day"}]))
