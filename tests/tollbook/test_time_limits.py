"""How old, and how far ahead, a request may be: one rule for files, Kafka and HTTP, and a refusal that says what to
do.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from billing.catalog import loading as catalogs
from ingest.attribution.catalog_rules import attribution, source_decoder, source_rules
from ingest.decode.framing import split_lines
from ingest.decode.pipeline import Decoder
from ingest.http import verdicts
from ingest.kafka import records
from ingest.kafka.record_groups import Records
from schemas.catalog.records import Catalog
from schemas.reasons import REMEDY, Reason
from tests.ingest.fixtures import kong, line
from tests.tollbook.fixtures import T0_MS, write_catalog
from tollbook.workers import http_server

DAY_MS, MINUTE_MS = 86_400_000, 60_000
LIMITED = "sources: [{id: edge, max_age_days: 10, max_future_minutes: 0}]\n"
WayIn = Callable[[Catalog, int], tuple[str, str] | None]


def by_file(book: Catalog, received_ms: int) -> tuple[str, str] | None:
    """`tollbook run --received`: reason and detail of the one line, or None where it is counted."""
    received = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=received_ms)
    decoder = Decoder("kong", source_rules(book, "edge", received), attribution(book))
    refused = decoder.decode(split_lines(log(), 0), "g").refused.to_pylist()
    return (refused[0]["reason"], refused[0]["detail"]) if refused else None


def by_kafka(book: Catalog, received_ms: int) -> tuple[str, str] | None:
    """`tollbook ingest`, by the broker's time of the record."""
    headers = [[("format", b"kong"), ("source", b"edge")]]
    sent = Records([log()], headers, np.zeros(1, np.int64), np.zeros(1, np.int64), np.array([received_ms * 1000]))
    owners = attribution(book)
    refused = records.read(
        sent, lambda f, s: source_decoder(book, owners, f, s), lambda p: f"access/{p}"
    ).refused.to_pylist()
    return (refused[0]["reason"], refused[0]["detail"]) if refused else None


def by_http(book: Catalog, received_ms: int) -> tuple[str, str] | None:
    """`tollbook serve`, by the time of the request."""
    how = http_server.readings(book)("kong", "edge")
    sent = verdicts.RequestLines(log(), received_ms * 1000, has_key=False)
    (found,) = verdicts.judge([sent], how.decoder, how.max_age_us, how.max_future_us)
    return (found.refused[0].code, found.refused[0].message) if found.refused else None


def log() -> bytes:
    return line(kong("a", started_at=T0_MS))


WAYS_IN = pytest.mark.parametrize("way_in", [by_file, by_kafka, by_http], ids=lambda way_in: way_in.__name__)


@pytest.mark.sampled(keep=3)
@WAYS_IN
@pytest.mark.parametrize(
    ("sources", "days", "minutes"), [("", 35, 5), (LIMITED, 10, 0)], ids=["unlisted source", "limits of the source"]
)
def test_a_limit_is_the_same_through_every_way_in_and_named_with_its_remedy(
    tmp_path: Path, way_in: WayIn, sources: str, days: int, minutes: int
) -> None:
    """A refusal at 35 days told an operator neither that there is a limit nor where it is set; files had none at
    all.
    """
    write_catalog(tmp_path, sources=sources) if sources else write_catalog(tmp_path)
    book = catalogs.load(tmp_path)
    assert way_in(book, T0_MS + days * DAY_MS) is None
    assert way_in(book, T0_MS - minutes * MINUTE_MS + 1) is None
    late, ahead = way_in(book, T0_MS + days * DAY_MS + 1), way_in(book, T0_MS - minutes * MINUTE_MS)
    assert late is not None
    assert ahead is not None
    assert (late[0], ahead[0]) == ("TOO_LATE", "IN_FUTURE")
    received = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=T0_MS - minutes * MINUTE_MS)
    assert late[1].startswith("request time 2026-10-01 00:00:00+00, received 2026-1")
    assert late[1].endswith(
        f".001+00: beyond max_age_days: {days} of the source, set in the catalog: raise it there to count the request"
    )
    assert ahead[1] == (
        f"request time 2026-10-01 00:00:00+00, received {received:%Y-%m-%d %H:%M:%S}+00: beyond max_future_minutes: {minutes} of the source, "
        "set in the catalog: correct the clock that wrote it, or raise the limit"
    )
    assert len(late[1]) < verdicts.DETAIL_CHARACTERS_MAX, "or the sender is told half of it"


def test_the_remedies_of_the_screen_name_setting_and_default() -> None:
    """`tollbook dead list` shows these."""
    assert "`max_age_days` (default 35)" in REMEDY[Reason.TOO_LATE]
    assert "`max_future_minutes` (default 5)" in REMEDY[Reason.IN_FUTURE]


def test_files_without_a_time_of_receipt_have_no_limit(tmp_path: Path) -> None:
    """An old month can be read at any time."""
    book = catalogs.load(write_catalog(tmp_path, sources=LIMITED))
    decoder = Decoder("kong", source_rules(book, "edge", None), attribution(book))
    old = line(kong("old", started_at=T0_MS - 3000 * DAY_MS))
    assert decoder.decode(split_lines(old, 0), "g").refused.num_rows == 0
