"""`tollbook ingest` as a process: `gateway.access` to `usage.events` and `usage.dead`."""

import logging
from collections.abc import Callable
from datetime import timedelta

import pyarrow as pa
import pyarrow.compute as pc

from ingest.decode import Decoder
from ingest.records import Reading
from ingest.worker import Worker
from schemas.catalog import Catalog, Source
from tollbook import metrics, worker_loop
from tollbook.attribution import attribution, source_rules

# What design and operators agree on where a source says nothing: how old, and how far ahead, a request may be on receipt.
MAX_AGE_DAYS, MAX_FUTURE_MINUTES = 35, 5
_READINGS_MAX = 64
_US = timedelta(microseconds=1)


def readings(catalog: Catalog) -> Callable[[str, str], Reading]:
    """How records of a format and source are read, made once each. The limits are those of the source, or the defaults."""
    owners = attribution(catalog)
    known: dict[tuple[str, str], Reading] = {}

    def reading(format_name: str, source: str) -> Reading:
        key = (format_name, source)
        if key not in known:
            if len(known) >= _READINGS_MAX:
                known.pop(next(iter(known)))
            decoder = Decoder(format_name, source_rules(catalog, source, None), owners)
            said = _source(catalog, source)
            known[key] = Reading(decoder, *limits_us(catalog, source), said.key_is_partner)
        return known[key]

    return reading


def limits_us(catalog: Catalog, source: str) -> tuple[int, int]:
    """How old, and how far ahead, a request of a source may be on receipt."""
    said = _source(catalog, source)
    age = timedelta(days=said.max_age_days or MAX_AGE_DAYS)
    ahead = timedelta(minutes=MAX_FUTURE_MINUTES if said.max_future_minutes is None else said.max_future_minutes)
    return age // _US, ahead // _US


def _source(catalog: Catalog, source: str) -> Source:
    return next((s for s in catalog.sources if s.id == source), Source(id=source))


def run(worker: Worker, log: logging.Logger, options: worker_loop.Options) -> int:
    """Until SIGTERM; the exit code."""
    pa.set_cpu_count(1)

    def step() -> None:
        done = worker.step(0.1)
        if done is None:
            return
        metrics.RECORDS.inc(done.records)
        metrics.INGESTED.inc(done.entries)
        for row in pc.value_counts(done.reasons).to_pylist():
            metrics.INGEST_REFUSED.labels(row["values"]).inc(row["counts"])
        refused = len(done.reasons)
        log.info("ingested", extra={"fields": {"records": done.records, "entries": done.entries, "refused": refused}})

    def end() -> None:
        worker.drain(options.drain_s)
        worker.close()

    return worker_loop.left(worker_loop.run(log, options, step, end=end))
