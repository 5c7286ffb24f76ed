"""Refused entries of the records of `gateway.access`, read again: by their own text where that tells all, else by the record."""

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from aggregate.landing.redrive import Redrive, Wanted
from ingest.kafka.records import Records, SourceDecoder
from ingest.replay.lines import entry_keys
from ingest.replay.records import from_records, from_text
from schemas.log import AccessPartition
from tollbook.redrive.turn import DECODE_LINES, Turn, at_positions, entries_by_position

# The records at some offsets of a partition, as far as they are still there; None: its topic is gone, or another by now.
Recall = Callable[[AccessPartition, Sequence[int]], Iterator[Records] | None]

_AGAIN = "send their lines again"


class RecordReader:
    """Reads the letters of one partition of `gateway.access` after the other."""

    def __init__(
        self,
        worker: Redrive,
        turn: Turn,
        wanted: Wanted,
        reading: SourceDecoder,
        format_name: str,
        recall: Recall | None,
    ) -> None:
        """Without `recall` only those are read that need no record."""
        self._worker = worker
        self._turn = turn
        self._wanted = wanted
        self._reading = reading
        self._format_name = format_name
        self._recall = recall

    def read(self, place: AccessPartition) -> None:
        """Read the letters of one partition again."""
        letters = self._known(self._worker.letters(self._wanted, place.generation), place)
        parts = [letters.slice(start, DECODE_LINES) for start in range(0, letters.num_rows, DECODE_LINES)]
        if parts:
            self._read_records(pa.concat_tables(self._untold(part) for part in parts), place)

    def _untold(self, letters: pa.Table) -> pa.Table:
        """Take the letters whose text tells all; the others."""
        told = from_text(letters, self._reading)
        self._turn.take(letters, told.events, told.refused)
        taken = np.isin(entry_keys(letters), np.concatenate([entry_keys(told.events), entry_keys(told.refused)]))
        return letters.filter(pa.array(~taken))

    def _known(self, letters: pa.Table, place: AccessPartition) -> pa.Table:
        """Letters without those of whole records that could not be read at all."""
        nameless = pc.is_null(letters["raw_sha256"])
        why = f"{place.file}: nothing was kept of these records by which they could be known; {_AGAIN}"
        self._turn.leave(letters.filter(nameless), why)
        return letters.filter(pc.invert(nameless))

    def _read_records(self, letters: pa.Table, place: AccessPartition) -> None:
        """Read letters again that need their records."""
        if not letters.num_rows:
            return
        if self._recall is None:
            self._turn.leave(
                letters, f"{place.file}: they need their records; name the brokers with --bootstrap-servers"
            )
            return
        offsets = pc.unique(letters["position"])
        records = self._recall(place, offsets.to_pylist())
        if records is None:
            self._turn.leave(letters, f"{place.file}: the topic they came by was deleted, or made again; {_AGAIN}")
            return
        found = [np.array([], np.int64)]
        for batch in self._batches(records):
            self._compare(at_positions(letters, pa.array(batch.offsets)), batch, place)
            found.append(batch.offsets)
        gone = pa.array(np.setdiff1d(offsets.to_numpy(), np.concatenate(found)))
        why = f"{place.file}: the topic keeps their records no more (its retention has ended); {_AGAIN}"
        self._turn.leave(at_positions(letters, gone), why)

    def _batches(self, records: Iterable[Records]) -> Iterator[Records]:
        """As they come; one at a time where a line says how those behind it in its record are read."""
        for batch in records:
            step = len(batch.values) if self._reading.decoder.layout_prefix is None else 1
            for start in range(0, len(batch.values), step):
                yield batch.part(slice(start, start + step))

    def _compare(self, letters: pa.Table, batch: Records, place: AccessPartition) -> None:
        """Take the entries of some records that are still what they were."""
        named = (self._format_name, self._wanted.source)
        entries = from_records(letters, batch, self._reading, place.generation, named)
        letters = self._turn.without(
            letters, entries.changed, f"{place.file}: the records that stand there now are others; {_AGAIN}"
        )
        offsets = pc.unique(letters["position"])
        before = self._worker.entries_in(self._wanted.source, place.generation, offsets)
        now = entries_by_position(entries.events, entries.refused)
        recut = [offset for offset in offsets.to_pylist() if now.get(offset, 0) != before.get(offset)]
        letters = self._turn.without(
            letters,
            pa.array(recut, pa.int64()),
            f"{place.file}: the format cuts their records into other entries than before; it must not",
        )
        self._turn.take(letters, entries.events, entries.refused)
