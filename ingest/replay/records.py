"""Refused entries of Kafka records, decoded again from the dead letter, or from the record in the topic.

Coordinates, ids and limits are those that the first decoding would give with the current catalog. Nothing is guessed:
if the text of a dead letter does not determine them, the record is needed.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ingest.decode.framing import LINES, UNREADABLE, Lines
from ingest.kafka.record_groups import Records
from ingest.kafka.records import DERIVED, ReplayedRecords, SourceDecoder, decode_again
from ingest.replay.lines import entry_keys, sha256
from schemas.reasons import Reason
from schemas.tables import DEAD, FRESH_EVENTS

# An entry refused for one of these was in time: time limits are checked before attribution. The lake does not keep the
# time of receipt.
_IN_TIME = (
    Reason.BAD_PARTNER,
    Reason.UNKNOWN_PARTNER,
    Reason.TAG_NOT_ALLOWED,
    Reason.UNKNOWN_CREDENTIAL,
    Reason.CREDENTIAL_NOT_VALID,
    Reason.UNVERIFIED_USER,
    Reason.NO_PARTNER,
    Reason.PARTNER_MISMATCH,
)


class Entries(NamedTuple):
    """Entries with coordinates, as FRESH_EVENTS and DEAD; `changed`: offsets that have another record now."""

    events: pa.Table
    refused: pa.Table
    changed: pa.Array


NONE = Entries(FRESH_EVENTS.empty_table(), DEAD.schema.empty_table(), pa.array([], pa.int64()))


def from_text(letters: pa.Table, how: SourceDecoder) -> Entries:
    """The entries of dead letters (aggregate/sql/letters.sql) whose own text is enough. The others are left out."""
    mine = letters.filter(_is_enough(letters, how)).combine_chunks()
    if not mine.num_rows:
        return NONE
    text = pc.binary_join_element_wise(mine["raw"].cast(pa.string()), "\n", "")
    lines = pa.table([pa.array(np.arange(mine.num_rows)), text], schema=LINES)
    decoded = how.decoder.decode(Lines(lines, UNREADABLE.empty_table()), DERIVED)
    # The letter of each row. A letter is one entry: text that gives several is left out.
    events_of, refused_of = (rows["position"].to_numpy() for rows in decoded)
    alone = np.bincount(np.concatenate([events_of, refused_of]), minlength=mine.num_rows) == 1
    sure = alone[events_of] & _is_same(decoded.events, mine.take(pa.array(events_of)))
    return Entries(
        _placed(decoded.events.filter(pa.array(sure)), mine.take(pa.array(events_of[sure]))),
        _placed(
            decoded.refused.filter(pa.array(alone[refused_of])), mine.take(pa.array(refused_of[alone[refused_of]]))
        ),
        NONE.changed,
    )


def from_records(
    letters: pa.Table, records: Records, how: SourceDecoder, generation: str, named: tuple[str, str]
) -> Entries:
    """All entries of one partition's records, decoded as `named` (format, source).

    `letters`: the entries to find, in order.
    """
    again = decode_again(records, how, generation, *named)
    if again is None:
        return NONE._replace(changed=pa.array(records.offsets))
    now = np.concatenate([rows["position"].to_numpy() for rows in (again.events, again.refused)])
    changed = np.union1d(_other(letters, again), np.setdiff1d(records.offsets, now))
    return Entries(again.events, again.refused, pa.array(changed))


def _is_enough(letters: pa.Table, how: SourceDecoder) -> pa.ChunkedArray:
    """Letters whose text may be enough. Keys that name partners, and column headers, are only in the record."""
    possible = not how.key_is_partner and how.decoder.layout_prefix is None
    reasons = pa.array(_IN_TIME if possible else (), pa.string())
    return pc.and_(letters["is_whole"], pc.is_in(letters["reason"], value_set=reasons))


def _is_same(events: pa.Table, letters: pa.Table) -> npt.NDArray[np.bool_]:
    """Whether a letter determines the id of its event, and the event has the time that was judged."""
    has_id = pc.or_(pc.invert(_is_derived(events["event_id"])), pc.starts_with(letters["event_id"], "@"))
    in_time = pc.equal(events["occurred_at"], letters["occurred_at"])
    return np.asarray(pc.and_(has_id, in_time).fill_null(False).to_numpy(), bool)  # noqa: FBT003  # a value


def _is_derived(ids: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.starts_with(ids, f"@{DERIVED}:")


def _placed(rows: pa.Table, letters: pa.Table) -> pa.Table:
    """`rows` with the coordinates of their letters, and with the letters' ids where ids are derived."""
    columns = {
        "event_id": pc.if_else(_is_derived(rows["event_id"]), letters["event_id"], rows["event_id"]),
        "generation": letters["generation"],
        "position": letters["position"],
        "item": letters["item"],
    }
    for name, column in columns.items():
        field = rows.schema.field(name)
        rows = rows.set_column(rows.schema.get_field_index(name), field, column.cast(field.type))
    return rows


def _other(letters: pa.Table, again: ReplayedRecords) -> npt.NDArray[np.int64]:
    """The offsets of letters whose record has another line now."""
    sought = entry_keys(letters)
    now = np.concatenate([entry_keys(again.events), entry_keys(again.refused)])
    found = np.isin(now, sought)
    of_letter, at = np.searchsorted(sought, now[found]), again.at[found]
    known = _hashes(again.framed, at)
    expected = letters["raw_sha256"].take(pa.array(of_letter)).to_pylist()
    is_other = [sha not in known[position] for sha, position in zip(expected, at.tolist(), strict=True)]
    offsets: npt.NDArray[np.int64] = letters["position"].to_numpy()[of_letter[is_other]]
    return offsets


def _hashes(framed: Lines, at: npt.NDArray[np.int64]) -> dict[int, set[str]]:
    """For the lines at some positions, the hashes that letters may have."""
    lines = framed.lines.filter(pc.is_in(framed.lines["position"], value_set=pa.array(at)))
    known = dict(zip(lines["position"].to_pylist(), sha256(lines["line"]), strict=True))
    bad = framed.unreadable
    return known | {p: {sha} for p, sha in zip(bad["position"].to_pylist(), bad["raw_sha256"].to_pylist(), strict=True)}
