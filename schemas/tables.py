"""The tables of the lake: Arrow schemas, keys, partitions.

Writers cast to these schemas or fail; readers select by name.

Times are UTC microseconds. Quantities are integers in the log's own unit (requests, bytes, microseconds). Money and
billed quantities are decimals. Every table is a Delta table at `<lake>/<name>`. `event_day` is the UTC day of the
event.
"""

from collections.abc import Mapping
from typing import NamedTuple

import pyarrow as pa

from schemas.columns import COORDINATES, EVENTS_PARTITION, FEW_VALUES, QUANTITY

TIME = pa.timestamp("us", tz="UTC")


class TableShape(NamedTuple):
    """One table of the lake. The columns in `partition_by` are stored in the path, not in the Parquet files.

    `later` lists columns that lakes of earlier versions lack. The next write adds them; they are null in older files.
    `erasable` rows may be erased from all versions of the table. No close pins such a table, and no sum reads it.
    `newer` tables are missing in lakes of earlier versions. The next write creates them; until then they count as
    empty.
    """

    name: str
    schema: pa.Schema
    partition_by: tuple[str, ...] = ()
    later: tuple[str, ...] = ()
    erasable: bool = False
    newer: bool = False


EVENTS = TableShape(
    # One row per entry that was counted when it was landed. Key (source, event_id), unique among rows not in
    # `withdrawn`.
    "events",
    pa.schema(
        [
            ("source", pa.string()),
            ("event_id", pa.string()),
            ("partner_id", pa.string()),
            ("credential_kind", pa.string()),  # api_key, iam, oidc, consumer; null: the partner was named by tag
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
            ("suspended", pa.bool_()),  # the partner was suspended; the event is counted and flagged
            # The part of the credential's policy that does not allow it: ACTION, RESOURCE or NETWORK; UNKNOWN if that
            # cannot be decided. The event is counted all the same. Null: it is allowed, or there is no policy.
            ("outside", pa.string()),
            ("event_type", pa.string()),  # of a CloudEvent
            # Open quantities (docs/quantities.md): canonical JSON of name → exact decimal as a text; null: none.
            ("quantities", pa.string()),
            ("attributes", pa.string()),  # those that a meter or source declares: name → text, likewise
            *COORDINATES,
            EVENTS_PARTITION,
            # The commit that landed the row, in a file that a compaction wrote. Null: the commit that added the file.
            ("landed_in", pa.int64()),
            ("event_day", pa.date32()),
        ]
    ),
    ("event_day",),
    later=("outside", "event_type", "quantities", "attributes", "landed_in"),
)

ROLLUPS = TableShape(
    # Partial sums of 15-minute windows. Several rows may share a key (partner_id, window_start, source, service,
    # method, route, status, events_partition), so readers must sum them. window_start is the start of the window.
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
            EVENTS_PARTITION,
            ("event_day", pa.date32()),
        ]
    ),
    ("event_day",),
)

DUPLICATES = TableShape(
    # One row per dropped resend, which has the same (source, event_id) and payload as an event.
    "duplicates",
    pa.schema(
        [
            ("source", pa.string()),
            ("event_id", pa.string()),
            ("partner_id", pa.string()),
            ("occurred_at", TIME),
            *COORDINATES,
        ]
    ),
)

DEAD = TableShape(
    # One row per entry that was refused, or that conflicts with an event of the same (source, event_id), as the log
    # returns it. In the lake it becomes two rows: one in LETTERS, which the books rely on, and one in PAYLOADS, which
    # can be erased.
    "dead",
    pa.schema(
        [
            ("outcome", pa.string()),  # refused | conflict
            ("reason", pa.string()),  # schemas.reasons.Reason
            ("detail", pa.string()),
            ("source", pa.string()),
            *COORDINATES,
            ("event_id", pa.string()),
            ("partner_id", pa.string()),  # null if attribution failed
            ("occurred_at", TIME),  # null if the time could not be read
            # The line with secrets and query strings redacted and client addresses truncated. For a conflict, the
            # normalized row.
            ("raw", pa.binary()),
            ("raw_sha256", pa.string()),  # of the line with client addresses truncated; null for a conflict
            # Kind and name of a credential that is unknown or not valid. The lake stores its keyed hash. Null for other
            # reasons.
            ("credential", pa.string()),
        ]
    ),
)

# The columns of a dead letter that were copied from its line.
COPIED = ("event_id", "detail", "raw")

LETTERS = TableShape(
    # One row per entry that was refused, or that conflicts with an event of the same (source, event_id), without the
    # columns copied from its line.
    "dead",
    pa.schema(
        [
            *(f for f in DEAD.schema if f.name not in {*COPIED, "credential"}),
            # The credential that was refused as unknown or not valid, as a hash with the lake's own key
            # (lake.tables.credential_hashes). It distinguishes credentials even after their payloads are erased. Null:
            # another reason, or landed before this column existed.
            ("credential_hash", pa.string()),
        ]
    ),
    later=("credential_hash",),
)

PAYLOADS = TableShape(
    # The payload of each row of `dead`: what was copied from its line. Key (outcome, source, generation, position,
    # item). The columns of COPIED are null after erasure.
    "texts",
    pa.schema(
        [
            ("outcome", pa.string()),
            ("source", pa.string()),
            *COORDINATES,
            *((f.name, f.type) for f in DEAD.schema if f.name in COPIED),
            ("aged_from", TIME),  # the start of its age: the time of the request or of landing, whichever is earlier
            ("erased_at", TIME),  # null: not erased
            ("erased_by", pa.string()),  # the retention rule, for people
        ]
    ),
    erasable=True,
)

REDRIVEN = TableShape(
    # One row per refused entry that a redrive accepted. Key (source, generation, position, item), that of its row in
    # `dead`, which stays. Its outcome is a row in events or duplicates, or a conflict in dead.
    "redriven",
    pa.schema(
        [
            ("reason", pa.string()),  # why it was refused
            ("outcome", pa.string()),  # counted | duplicate | conflict
            ("source", pa.string()),
            *COORDINATES,
            ("event_id", pa.string()),
            ("partner_id", pa.string()),
            ("occurred_at", TIME),
            ("catalog_sha256", pa.string()),  # the catalog of the redrive
        ]
    ),
)

WITHDRAWN = TableShape(
    # One row per event that a settlement withdrew, because an event of the same (source, event_id) was landed before
    # it. Key (source, generation, position, item), that of its row in `events`, which stays. Its conflict is in `dead`.
    # The counted events are the rows of `events` minus these. The columns of ROLLUPS allow negative sums from these
    # rows alone.
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
            *COORDINATES,
            EVENTS_PARTITION,
            # The event that is kept: its coordinates and time.
            ("kept_generation", pa.string()),
            ("kept_position", pa.int64()),
            ("kept_item", pa.int32()),
            ("kept_occurred_at", TIME),
            ("settlement", pa.int64()),  # number of the settlement, from 1, among those that withdrew events
        ]
    ),
    newer=True,
)

READS = TableShape(
    # One row per commit, log partition and origin: the range that was read, and the outcomes of its entries. The ranges
    # of a log partition are contiguous, and so are those of one origin within a log partition. entries = counted +
    # duplicates + conflicts + refused. The log partition of a file is its own origin.
    "reads",
    pa.schema(
        [
            ("source", pa.string()),  # of the log partition: who wrote the file, or the topic
            ("generation", pa.string()),  # of the log partition: the file's fingerprint, or the partition's number
            ("file", pa.string()),  # the file's name when it was read, for people
            ("head_bytes", pa.int64()),  # length of the text's head that identifies the file; 0: the log is not a file
            ("head_sha256", pa.string()),
            ("from_offset", pa.int64()),
            ("to_offset", pa.int64()),
            ("tail_sha256", pa.string()),  # of the last bytes before to_offset, to detect a changed file
            ("origin", pa.string()),  # the generation that the entries were first read from
            ("origin_from", pa.int64()),  # all entries of [origin_from, origin_to) that belong to this log partition
            ("origin_to", pa.int64()),  # have been landed
            ("entries", pa.int64()),
            ("counted", pa.int64()),
            ("duplicates", pa.int64()),
            ("conflicts", pa.int64()),
            ("refused", pa.int64()),
            ("redelivered", pa.int64()),  # rows that ingest sent again after a crash; not part of entries
            ("catalog_sha256", pa.string()),
            # What identifies a file by its whole text (docs/decisions/004-generations-by-content.md). Null for topics.
            ("text_digest", pa.string()),  # of everything before to_offset
            ("marks", pa.string()),  # digests of the text before some offsets of this range: offset:digest, in order
            ("file_key", pa.string()),  # device:inode, and :size:time of change if the file was read to its end
        ]
    ),
    later=("text_digest", "marks", "file_key"),
)

INGESTED = TableShape(
    # What ingest reports to have read: `records` of a topic, or one range of a file, with their `entries`. It is the
    # other side of the books.
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
    # One row per topic that was ever landed, with the properties whose change must be detected.
    "topics",
    pa.schema([("topic", pa.string()), ("topic_id", pa.string()), ("partitions", pa.int32())]),
)

ALERTS = TableShape(
    # One row per statement about an alert, in the order in which they were made; the newest row of an alert counts.
    # Rows are never deleted or changed. Columns from `meter` to `projected_exhaustion_at` are of alerts on quotas, and
    # null for other kinds.
    "alerts",
    pa.schema(
        [
            ("alert_id", pa.string()),
            (
                "kind",
                pa.string(),
            ),  # schemas.alerts.Kind, or withdrawn | restated | timed: the row is about an earlier alert
            ("partner_id", pa.string()),  # null: the alert is not about a partner
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
            ("limit_since", TIME),  # from when `quota` applies (table limits); null: written by an earlier version
            ("withdraws", pa.string()),  # the alert that a withdrawal cancels; null: that of the same threshold
            # Null in rows of alerts on quotas that an earlier version wrote.
            ("subject", pa.string()),  # what the alert concerns (schemas.alerts.Alert)
            ("key", pa.string()),  # canonical JSON
            ("began_at", TIME),  # event time at which the condition began to hold
            ("ends_at", TIME),  # event time at which it ended or will end; null: it goes on
            ("evidence", pa.string()),  # JSON
            ("restates", pa.string()),  # the alert that a row of kind `restated` or `timed` is about
            ("number", pa.int64()),  # which statement about its alert this is, from 1; the greatest counts
        ]
    ),
    later=("limit_since", "withdraws", "subject", "key", "began_at", "ends_at", "evidence", "restates", "number"),
)

LIMITS = TableShape(
    # One row per change of the limit of a plan's quota. The newest row of (plan, meter, quota_period) applies.
    "limits",
    pa.schema(
        [
            ("plan", pa.string()),
            ("meter", pa.string()),
            ("quota_period", pa.string()),  # DAY | WEEK | MONTH
            ("quota", QUANTITY),
            ("limit_since", TIME),  # 2000-01-01 for the first known limit
        ]
    ),
)

GRANTS = TableShape(
    # One row per grant of more quota to a partner, and one per grant that was revoked. Rows are appended.
    "grants",
    pa.schema(
        [
            ("grant_id", pa.string()),
            ("action", pa.string()),  # granted | revoked; a revocation has no meter, period, amount and times
            ("partner_id", pa.string()),
            ("meter", pa.string()),
            ("quota_period", pa.string()),  # DAY | WEEK | MONTH
            ("amount", QUANTITY),  # in the meter's unit
            ("starts_at", TIME),  # it holds in [starts_at, ends_at)
            ("ends_at", TIME),
            ("reason", pa.string()),
            ("recorded_by", pa.string()),
            ("recorded_at", TIME),  # later than that of every row before
        ]
    ),
    newer=True,
)

CLOSES = TableShape(
    # One row per close of a (legal entity, period). A close fixes the input of the invoices. `document` is canonical
    # JSON.
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
    # One row per partner and billing period that is settled: an issued invoice or, if there was nothing to pay, a row
    # without number, series, sequence and document. `document` is the invoice's canonical JSON, which PDF and CSV are
    # derived from. Rows of another kind are documents that correct an invoice; they settle nothing.
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
            # This and the period are null in rows of earlier versions. Their document and close contain them.
            ("legal_entity", pa.string()),
            ("period_start", TIME),  # [start, end)
            ("period_end", TIME),
            ("kind", pa.string()),  # invoice | credit_note | adjustment; null: invoice
            ("refers_to", pa.string()),  # the number of the document that a credit note or an adjustment corrects
            ("correction_id", pa.string()),  # the row of `corrections` behind it; null: a close is
            ("voids", pa.bool_()),  # the document `refers_to` no longer counts, and its period is open again
        ]
    ),
    later=("legal_entity", "period_start", "period_end", "kind", "refers_to", "correction_id", "voids"),
)

CORRECTIONS = TableShape(
    # One row per correction that a person decided. It takes effect with the credit note in `invoices` that names it.
    # `document` is canonical JSON, and `correction_id` is its hash.
    "corrections",
    pa.schema(
        [
            ("correction_id", pa.string()),
            ("what", pa.string()),  # credit | void | rebill
            ("number", pa.string()),  # of the invoice that is corrected
            ("partner_id", pa.string()),
            ("legal_entity", pa.string()),
            ("document", pa.string()),
            ("recorded_by", pa.string()),
            ("recorded_at", TIME),
        ]
    ),
    newer=True,
)

AUDIT = TableShape(
    # One row per close, proposal, approval, issued, credited, voided or sent document, and payment. Rows are appended.
    # The number counts from 1 without gaps, and each row holds the hash of the row before.
    "audit",
    pa.schema(
        [
            ("number", pa.int64()),
            ("recorded_at", TIME),  # not earlier than that of the row before
            ("recorded_by", pa.string()),
            ("what", pa.string()),  # close | propose | approve | issue | credit | void | sent | payment
            ("subject", pa.string()),  # a close id, a document number, or the transaction id of a payment
            ("facts", pa.string()),  # canonical JSON
            ("before_sha256", pa.string()),  # that of the row before; empty in the first row
            ("sha256", pa.string()),  # of this row without this column
        ]
    ),
    newer=True,
)

ALL: Mapping[str, TableShape] = {
    t.name: t
    for t in (
        EVENTS,
        WITHDRAWN,
        ROLLUPS,
        DUPLICATES,
        LETTERS,
        PAYLOADS,
        REDRIVEN,
        READS,
        INGESTED,
        TOPICS,
        LIMITS,
        GRANTS,
        ALERTS,
        CLOSES,
        INVOICES,
        CORRECTIONS,
        AUDIT,
    )
}
# Nothing is ever removed from these tables, and every reader of the lake opens them. PAYLOADS and LIMITS are not among
# them: only commands for dead letters and alerts read these two, and lakes of earlier versions lack them until then.
KEPT: Mapping[str, TableShape] = {
    name: shape for name, shape in ALL.items() if not shape.erasable and shape is not LIMITS
}


def coded(schema: pa.Schema) -> pa.Schema:
    """`schema` for tables in memory and on the wire: columns of few values are dictionary-encoded.

    On disk they are text.
    """
    return pa.schema([pa.field(f.name, CODED) if f.name in FEW_VALUES else f for f in schema])


CODED = pa.dictionary(pa.int32(), pa.string())
# Events as a log returns them, before the land worker adds their partition and day.
FRESH_EVENTS = coded(
    pa.schema([f for f in EVENTS.schema if f.name not in {"events_partition", "landed_in", "event_day"}])
)
