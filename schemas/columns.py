"""Columns that several tables of the lake share (`schemas.tables`)."""

import pyarrow as pa

QUANTITY = pa.decimal128(38, 9)

# Where an entry was read.
COORDINATES = (
    # Fingerprint of the file, or number of the partition of gateway.access.
    ("generation", pa.string()),
    # Byte offset of the line in the decompressed text, or offset of the record.
    ("position", pa.int64()),
    # Index within a line or record of several entries, from 0.
    ("item", pa.int32()),
)
# The partition of the log of events that the row came from: of usage.events, or 0 if the log is files. Partial sums and
# dedup are separate per partition, as each partition has one worker at a time.
EVENTS_PARTITION = ("events_partition", pa.int16())
# What only some events carry beside a request (docs/quantities.md).
CARRIED = ("event_type", "quantities", "attributes")
# Columns with few distinct values, which are dictionary-encoded in memory and on the wire (`schemas.tables.coded`).
FEW_VALUES = frozenset({
    "source", "partner_id", "credential_kind", "credential", "service", "method", "route", "client_network", "outside",
    "generation",
})  # fmt: skip
