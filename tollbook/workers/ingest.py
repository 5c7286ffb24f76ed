"""The process of `tollbook ingest`: from `gateway.access` to `usage.events` and `usage.dead`."""

import logging
from collections.abc import Callable

import pyarrow as pa
import pyarrow.compute as pc

from ingest.attribution import catalog_rules
from ingest.kafka.records import SourceDecoder
from ingest.kafka.worker import Worker
from schemas.catalog.records import Catalog
from schemas.halts import Halt, Halted
from tollbook.workers import loop, metrics

_READINGS_MAX = 64


def readings(catalog: Catalog) -> Callable[[str, str], SourceDecoder]:
    """The decoder of records of a format and source, cached."""
    owners = catalog_rules.attribution(catalog)
    known: dict[tuple[str, str], SourceDecoder] = {}

    def reading(format_name: str, source: str) -> SourceDecoder:
        key = (format_name, source)
        if key not in known:
            if len(known) >= _READINGS_MAX:
                known.pop(next(iter(known)))
            known[key] = catalog_rules.source_decoder(catalog, owners, format_name, source)
        return known[key]

    return reading


def pause_logger(log: logging.Logger) -> Callable[[Halted], None]:
    """A function that logs a paused partition."""
    return lambda paused: log.error(str(paused), extra={"fields": {"reason": paused.reason}})


def run(worker: Worker, log: logging.Logger, options: loop.WorkerOptions) -> int:
    """Run until SIGTERM. Returns the exit code."""
    pa.set_cpu_count(1)

    def step() -> None:
        done = worker.step(0.1)
        metrics.HALTED.labels(Halt.FORM).set(len(worker.paused))
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

    return loop.left(
        loop.run(log, options, step, end=end, wrong=lambda: [str(paused) for paused in worker.paused.values()])
    )
