"""Redrive of entries of `gateway.access`: from their stored payload if it is complete, otherwise from the record."""

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from aggregate.landing.redrive import Redrive, Wanted
from ingest.kafka.record_groups import Records
from ingest.kafka.records import SourceDecoder
from ingest.replay.lines import entry_keys
from ingest.replay.records import from_records, from_text
from schemas.log import AccessPartition
from tollbook.redrive.turn import DECODE_LINES, Turn, at_positions, entries_by_position

# The records at the given offsets of a partition that the topic still retains. None: the topic was deleted or
# recreated.
Refetch = Callable[[AccessPartition, Sequence[int]], Iterator[Records] | None]

_AGAIN = "send their lines again"


class RecordReader:
    """Reads the dead letters of one partition of `gateway.access` after the other."""

    def __init__(
        self,
        worker: Redrive,
        turn: Turn,
        wanted: Wanted,
        reading: SourceDecoder,
        format_name: str,
        refetch: Refetch | None,
    ) -> None:
        """Without `refetch`, only dead letters that need no record are read."""
        self._worker = worker
        self._turn = turn
        self._wanted = wanted
        self._reading = reading
        self._format_name = format_name
        self._refetch = refetch

    def read(self, place: AccessPartition) -> None:
        """Read the dead letters of one partition again."""
        letters = self._known(self._worker.letters(self._wanted, place.generation), place)
        parts = [letters.slice(start, DECODE_LINES) for start in range(0, letters.num_rows, DECODE_LINES)]
        if parts:
            self._read_records(pa.concat_tables(self._incomplete(part) for part in parts), place)

    def _incomplete(self, letters: pa.Table) -> pa.Table:
        """Take the dead letters with a complete payload. Returns the others."""
        read = from_text(letters, self._reading)
        self._turn.take(letters, read.events, read.refused)
        taken = np.isin(entry_keys(letters), np.concatenate([entry_keys(read.events), entry_keys(read.refused)]))
        return letters.filter(pa.array(~taken))

    def _known(self, letters: pa.Table, place: AccessPartition) -> pa.Table:
        """The dead letters without those of records that could not be read at all."""
        nameless = pc.is_null(letters["raw_sha256"])
        why = f"{place.file}: no hash of these records was stored, so they cannot be verified; {_AGAIN}"
        self._turn.leave(letters.filter(nameless), why)
        return letters.filter(pc.invert(nameless))

    def _read_records(self, letters: pa.Table, place: AccessPartition) -> None:
        """Read the dead letters that need their records."""
        if not letters.num_rows:
            return
        if self._refetch is None:
            self._turn.leave(
                letters, f"{place.file}: their records are needed; name the brokers with --bootstrap-servers"
            )
            return
        offsets = pc.unique(letters["position"])
        records = self._refetch(place, offsets.to_pylist())
        if records is None:
            self._turn.leave(letters, f"{place.file}: their topic was deleted or recreated; {_AGAIN}")
            return
        found = [np.array([], np.int64)]
        for batch in self._batches(records):
            self._compare(at_positions(letters, pa.array(batch.offsets)), batch, place)
            found.append(batch.offsets)
        gone = pa.array(np.setdiff1d(offsets.to_numpy(), np.concatenate(found)))
        why = f"{place.file}: the topic no longer retains their records; {_AGAIN}"
        self._turn.leave(at_positions(letters, gone), why)

    def _batches(self, records: Iterable[Records]) -> Iterator[Records]:
        """The records in batches, or one by one if the layout of lines depends on earlier lines of the same record."""
        for batch in records:
            step = len(batch.values) if self._reading.decoder.layout_prefix is None else 1
            for start in range(0, len(batch.values), step):
                yield batch.part(slice(start, start + step))

    def _compare(self, letters: pa.Table, batch: Records, place: AccessPartition) -> None:
        """Take the entries of records that have not changed."""
        named = (self._format_name, self._wanted.source)
        entries = from_records(letters, batch, self._reading, place.generation, named)
        letters = self._turn.without(letters, entries.changed, f"{place.file}: these records have changed; {_AGAIN}")
        offsets = pc.unique(letters["position"])
        before = self._worker.entries_in(self._wanted.source, place.generation, offsets)
        now = entries_by_position(entries.events, entries.refused)
        recut = [offset for offset in offsets.to_pylist() if now.get(offset, 0) != before.get(offset)]
        letters = self._turn.without(
            letters,
            pa.array(recut, pa.int64()),
            f"{place.file}: the format now splits their records into different entries; use the format of the first reading",
        )
        self._turn.take(letters, entries.events, entries.refused)
