"""Records of `gateway.access` to messages of `usage.events` and `usage.dead`: a pure function of a batch of records.

A record contains one or more lines; its headers `format` and `source` say how to decode them. Records of one format and
source are decoded together, whatever their partitions. Every entry becomes exactly one row: an event or a refusal.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ingest.decode.formats import UnknownFormat
from ingest.decode.framing import WIDE_BOMS, Lines, split_lines
from ingest.decode.pipeline import LIMITS, Decoder
from ingest.kafka.record_groups import (
    I64,
    NAME_CHARACTERS_MAX,
    UNREADABLE_HEADERS,
    RecordGroup,
    Records,
    grouped,
    header_text,
)
from schemas.kafka import wire
from schemas.kafka.partitions import partitions_of
from schemas.log import Origin
from schemas.reasons import Reason
from schemas.tables import DEAD, FRESH_EVENTS, INGESTED

DERIVED = "\x01"  # the generation in derived ids until they are final; no id of a log may contain it


class SourceDecoder(NamedTuple):
    """The decoder of one format and source, and its limits relative to the time of receipt."""

    decoder: Decoder
    max_age_us: int
    max_future_us: int
    key_is_partner: bool = False  # record keys name partners; a line of another partner is refused


class SourceResult(NamedTuple):
    """The result of one format and source: rows of its records in the batch, entries, and refusals (DEAD)."""

    format: str
    source: str
    rows: Sequence[int]
    entries: int
    refused: pa.Table


class DecodedBatch(NamedTuple):
    """The result of a batch: `events` and `refused` with record coordinates, and the ranges that were read."""

    events: pa.Table  # schemas.tables.FRESH_EVENTS
    refused: pa.Table  # schemas.tables.DEAD
    ingested: pa.Table  # schemas.tables.INGESTED
    origins: tuple[Origin, ...]
    by_source: Sequence[SourceResult] = ()


class OutgoingMessage(NamedTuple):
    """A message to send."""

    partition: int
    value: bytes
    headers: Sequence[tuple[str, str | bytes | None]]

    @property
    def size(self) -> int:
        """Uncompressed bytes, as a broker counts them. The header with the ranges can be longer than the value."""
        return len(self.value) + sum(len(name) + len(value or b"") for name, value in self.headers)


class _EntryPlaces(NamedTuple):
    """The places of entries: row of the record, rank in the record, byte in the record, index in the line."""

    row: I64
    rank: I64
    byte: I64
    item: I64

    def part(self, entries: slice) -> "_EntryPlaces":
        """A slice of the entries."""
        return _EntryPlaces(*(column[entries] for column in self))


def read(
    records: Records,
    decoder_of: Callable[[str, str], SourceDecoder],
    generation_of: Callable[[int], str],
    *,
    defaults: tuple[str, str] = ("", ""),
) -> DecodedBatch:
    """Decode a batch. `decoder_of(format, source)` raises UnknownFormat; `generation_of(partition)` names the origin.

    `defaults`: format and source of records without such headers.
    """
    generations = {int(p): generation_of(int(p)) for p in np.unique(records.partitions)}
    entries = np.zeros(len(records.values), np.int64)
    sources = np.empty(len(records.values), object)
    events, refused = [FRESH_EVENTS.empty_table()], [DEAD.schema.empty_table()]
    by_source: list[SourceResult] = []
    groups, letters = grouped(records, defaults)
    for (format_name, source), group in groups.items():
        sources[group.rows] = source
        try:
            source_decoder = decoder_of(format_name, source)
        except UnknownFormat as exc:
            unknown = [(row, Reason.UNKNOWN_FORMAT, str(exc), source) for row in group.rows]
            letters += unknown
            refused_here = _letters(records, unknown, generations)
            by_source.append(SourceResult(format_name, source, group.rows, len(unknown), refused_here))
            continue
        decoded = _decode_group(records, group, source_decoder, generations)
        events.append(decoded.events)
        refused.append(decoded.refused)
        entries[group.rows] = decoded.entries
        by_source.append(SourceResult(format_name, source, group.rows, int(decoded.entries.sum()), decoded.refused))
    for row, _, _, source in letters:
        entries[row] = 1
        sources[row] = source
    refused.append(_letters(records, letters, generations))
    origins = tuple(
        Origin(name, int(mine[0]), int(mine[-1]) + 1)
        for p, name in generations.items()
        for mine in [records.offsets[records.partitions == p]]
    )
    ingested = _runs(records, sources, entries, generations)
    return DecodedBatch(
        pa.concat_tables(events).unify_dictionaries(), pa.concat_tables(refused), ingested, origins, by_source
    )


def refuse_records(
    records: Records, size: int, generation_of: Callable[[int], str], *, defaults: tuple[str, str] = ("", "")
) -> DecodedBatch:
    """The result of `read` with each record as one refusal, because its entries exceed the size of a message."""
    detail = f"its entries make a message of {size} bytes; send fewer lines per record"
    (partition,) = np.unique(records.partitions).tolist()
    generation = generation_of(partition)
    rows = range(len(records.values))
    names = [header_text(dict(given or []).get("source")) or defaults[1] for given in records.headers]
    letters = [(row, Reason.TOO_LARGE, detail, names[row]) for row in rows]
    origin = Origin(generation, int(records.offsets[0]), int(records.offsets[-1]) + 1)
    sources = np.array(names, object)
    ingested = _runs(records, sources, np.ones(len(rows), np.int64), {partition: generation})
    return DecodedBatch(
        FRESH_EVENTS.empty_table(), _letters(records, letters, {partition: generation}), ingested, (origin,)
    )


def event_messages(batch: DecodedBatch, partitions: int) -> Iterator[OutgoingMessage]:
    """One message for each partition of `usage.events`, even without rows, since its ranges count."""
    headers = wire.headers(wire.EVENTS_3, batch.origins)
    to = partitions_of(batch.events["source"], batch.events["event_id"], partitions)
    # NumPy sorts 16-bit numbers by counting, without comparisons.
    order = np.argsort(to.astype(np.uint16), kind="stable")
    rows = pc.take(batch.events, pa.array(order), boundscheck=False).combine_chunks()
    bounds = np.searchsorted(to[order], np.arange(partitions + 1))
    for partition in range(partitions):
        start, end = int(bounds[partition]), int(bounds[partition + 1])
        yield OutgoingMessage(partition, wire.encoded(rows.slice(start, end - start)), headers)


def dead_letter_message(batch: DecodedBatch) -> OutgoingMessage:
    """The message of `usage.dead`: all refusals of a batch, mostly none, and the ranges that were read."""
    return OutgoingMessage(0, wire.encoded(batch.refused), wire.headers(wire.DEAD_2, batch.origins, batch.ingested))


class _DecodedGroup(NamedTuple):
    events: pa.Table
    refused: pa.Table
    entries: I64  # per record of the group
    framed: Lines  # of all records of the group
    at: I64  # the position of each entry's line in `framed`, events first


class ReplayedRecords(NamedTuple):
    """Records that were decoded again: entries as in DecodedBatch, and the line of each."""

    events: pa.Table
    refused: pa.Table
    framed: Lines
    at: I64  # the position of each entry's line in `framed`, events first


def decode_again(
    records: Records, source_decoder: SourceDecoder, generation: str, format_name: str, source: str
) -> ReplayedRecords | None:
    """Decode records of one partition in a given format, whatever their headers say; None if there are no lines.

    Coordinates, derived ids and limits are those that the first decoding would give.
    """
    named = [("format", format_name.encode()), ("source", source.encode())]
    headers = [
        given
        if given is UNREADABLE_HEADERS
        else [*(h for h in given or [] if h[0] not in {"format", "source"}), *named]
        for given in records.headers
    ]
    groups, _ = grouped(records._replace(headers=headers), ("", ""))
    if not groups:
        return None
    (group,) = groups.values()
    decoded = _decode_group(records, group, source_decoder, {int(records.partitions[0]): generation})
    return ReplayedRecords(decoded.events, decoded.refused, decoded.framed, decoded.at)


def _decode_group(
    records: Records, group: RecordGroup, source_decoder: SourceDecoder, generations: Mapping[int, str]
) -> _DecodedGroup:
    given = (records.values[row] or b"" for row in group.rows)
    values = [value if value.endswith(b"\n") else value + b"\n" for value in given]
    text = b"".join(values)
    framed = split_lines(text, 0)
    # A UTF-16 or UTF-32 record is one refused line: its bytes would be split wrongly. UTF-8 text has no such marks.
    if framed.unreadable.num_rows and any(mark in text for mark in WIDE_BOMS):
        values = [WIDE_BOMS[0] + b"\n" if value.startswith(WIDE_BOMS) else value for value in values]
        text = b"".join(values)
        framed = split_lines(text, 0)
    ends = np.cumsum(np.fromiter(map(len, values), np.int64, len(values)))
    starts = np.append(0, ends[:-1])
    rows = np.asarray(group.rows)
    of_line = rows[_records_at(framed.lines["position"].to_numpy(), ends)]
    received = records.received_us[of_line]
    limits = pa.table(
        [
            framed.lines["position"],
            pa.array(received - source_decoder.max_age_us),
            pa.array(received + source_decoder.max_future_us),
            _keys(records, of_line) if source_decoder.key_is_partner else pa.nulls(len(of_line), pa.string()),
        ],
        schema=LIMITS,
    )
    if group.files:  # a file has no time of receipt
        limits = limits.filter(pa.array(~np.isin(of_line, list(group.files))))
    decoded = source_decoder.decoder.decode(framed, DERIVED, limits)
    position = np.concatenate([table["position"].to_numpy() for table in decoded])
    item = np.concatenate([table["item"].to_numpy() for table in decoded])
    record = np.concatenate([_records_at(table["position"].to_numpy(), ends) for table in decoded])
    place = _EntryPlaces(rows[record], _ranks(record, position, item), position - starts[record], item)
    split = decoded.events.num_rows
    named = group.files | group.requests
    return _DecodedGroup(
        _located(decoded.events, place.part(slice(split)), records, named, generations),
        _located(decoded.refused, place.part(slice(split, None)), records, named, generations),
        np.bincount(record, minlength=len(values)),
        framed,
        position,
    )


def _records_at(position: I64, ends: I64) -> I64:
    """The record of each position. Both are sorted, and there are few records for many positions."""
    return np.repeat(np.arange(len(ends)), np.diff(np.searchsorted(position, ends), prepend=0))


def _keys(records: Records, of_line: I64) -> pa.Array:
    """The key of each line's record, as text."""
    keys = records.keys or [None] * len(records.values)
    # A key that is too long to be a partner id stays too long when it is cut.
    return pa.array(
        [None if key is None else header_text(key[: NAME_CHARACTERS_MAX + 1]) for key in keys], pa.string()
    ).take(pa.array(of_line))


def _ranks(record: I64, position: I64, item: I64) -> I64:
    """The rank of each entry in its record, from 0."""
    alone = (np.diff(position) > 0).all()  # the usual case: one entry per line, none refused
    order = np.arange(len(position)) if alone else np.lexsort((item, position))
    sorted_record = record[order]
    begins = np.flatnonzero(np.diff(sorted_record, prepend=-1)) if len(order) else order
    lengths = np.diff(np.append(begins, len(order)))
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order)) - np.repeat(begins, lengths)
    return rank


def _located(
    rows: pa.Table,
    place: _EntryPlaces,
    records: Records,
    files: Mapping[int, tuple[str, int]],
    generations: Mapping[int, str],
) -> pa.Table:
    """`rows` with the coordinates of their records (generation, position = offset, item = rank) and final ids."""
    numbers = np.array(list(generations))
    codes = np.searchsorted(numbers, records.partitions[place.row]).astype(np.int32)
    generation = pa.DictionaryArray.from_arrays(pa.array(codes), pa.array(list(generations.values()), pa.string()))
    offset = records.offsets[place.row]
    columns = {
        "event_id": _with_ids(rows["event_id"], place, offset, generation.cast(pa.string()), files),
        "generation": generation,
        "position": pa.array(offset),
        "item": pa.array(place.rank.astype(np.int32)),
    }
    for name, column in columns.items():
        field = rows.schema.field(name)
        rows = rows.set_column(rows.schema.get_field_index(name), field, column.cast(field.type))
    return rows


def _with_ids(
    ids: pa.ChunkedArray, place: _EntryPlaces, offset: I64, generation: pa.Array, files: Mapping[int, tuple[str, int]]
) -> pa.ChunkedArray:
    """Derived ids: from the file position if the record has one, else from partition, offset and rank in the record."""
    mask = pc.starts_with(ids, f"@{DERIVED}:").combine_chunks().fill_null(False)  # noqa: FBT003
    derived = np.flatnonzero(mask.to_numpy(zero_copy_only=False))
    if not len(derived):
        return ids
    row, number = place.row[derived], place.rank[derived]
    begins = np.flatnonzero(np.diff(row, prepend=-1))  # the first entry of each record
    rows = row[begins].tolist()
    partitions = generation.take(pa.array(derived[begins])).to_pylist()
    places = zip(rows, partitions, offset[derived[begins]].tolist(), strict=True)
    heads = pa.array([f"@{files[r][0]}:" if r in files else f"@{name}:{at}:" for r, name, at in places])
    record = np.repeat(np.arange(len(begins)), np.diff(begins, append=len(row)))
    item = np.zeros(len(row), np.int64)
    if files:
        of_file = np.array([r in files for r in rows])[record]
        base = np.array([files[r][1] if r in files else 0 for r in rows])[record]
        number = np.where(of_file, base + place.byte[derived], number)
        item = np.where(of_file, place.item[derived], 0)
    given = pc.binary_join_element_wise(heads.take(pa.array(record)), pa.array(number).cast(pa.string()), "")
    if item.any():
        behind = pc.binary_join_element_wise(given, pa.array(item).cast(pa.string()), ":")
        given = pc.if_else(pa.array(item > 0), behind, given)
    return pa.chunked_array([pc.replace_with_mask(ids.combine_chunks(), mask, given)])


def _letters(
    records: Records, letters: Sequence[tuple[int, Reason, str, str]], generations: Mapping[int, str]
) -> pa.Table:
    """Records that are refused as a whole. Their bytes are not kept: without a format nothing in them can be masked."""
    rows = [
        {
            "outcome": "refused",
            "reason": reason,
            "detail": f"{detail}; {len(records.values[row] or b'')} bytes",
            "source": source,
            "generation": generations[int(records.partitions[row])],
            "position": int(records.offsets[row]),
            "item": 0,
        }
        for row, reason, detail, source in letters
    ]
    return pa.Table.from_pylist(rows, DEAD.schema)


def _runs(records: Records, sources: npt.NDArray[np.object_], entries: I64, generations: Mapping[int, str]) -> pa.Table:
    """Ranges of consecutive records with the same source and number of entries, one row each."""
    order = np.lexsort((records.offsets, records.partitions))
    partition, offset, count, source = records.partitions[order], records.offsets[order], entries[order], sources[order]
    same = (np.diff(partition) == 0) & (np.diff(offset) == 1) & (np.diff(count) == 0) & (source[1:] == source[:-1])
    begins = np.flatnonzero(np.append([True], ~same)) if len(order) else order
    ends = np.append(begins[1:], len(order)) - 1
    columns = {
        "source": source[begins].tolist(),
        "generation": [generations[int(p)] for p in partition[begins]],
        "from_offset": offset[begins],
        "to_offset": offset[ends] + 1,
        "records": ends - begins + 1,
        "entries": count[begins],
    }
    return pa.table([pa.array(columns[f.name], f.type) for f in INGESTED.schema], schema=INGESTED.schema)
