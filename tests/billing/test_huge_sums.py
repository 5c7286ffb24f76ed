"""Sizes just below the limit of anomalies: a month of them does not fit into 64 bits, and is billed to the byte."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from aggregate.verify import prove
from billing.invoicing import closing, issuing, rules1
from billing.usage.warehouse import Span, Warehouse
from lake.lake import Lake
from schemas.tables import ROLLUPS
from tests.billing.catalogs import book
from tests.billing.lakes import NOW, books, land, requests

pytestmark = pytest.mark.integration

COUNT, SIZE = 10_300, 10**15 - 1
HASH_OF_64_BITS = "487865aa1a2b79eb7681cfea5e766d739adb3af810e266f1d73f1c6f51b4dae1"


@pytest.fixture(scope="module")
def huge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = requests(COUNT, "2026-10-10T12:00Z", response_bytes=SIZE, request_bytes=SIZE, latency_us=SIZE)
    return land(tmp_path_factory.mktemp("huge") / "lake", rows)


def test_a_sum_that_no_column_holds_is_several_rollups_of_one_key(huge: Path) -> None:
    """Nothing wraps and nothing is lost: the rows of the key sum up to all of it."""
    (file,) = Lake(huge).files(ROLLUPS)
    rows = pq.read_table(file).to_pylist()
    assert len({row["window_start"] for row in rows}) == 1
    for name, expected in (
        ("requests", COUNT),
        *((n, COUNT * SIZE) for n in ("request_bytes", "response_bytes", "latency_us")),
    ):
        assert sum(row[name] for row in rows) == expected
        assert all(0 <= row[name] <= 2**62 for row in rows)
    assert prove(Lake(huge)).problems == []


def test_the_month_is_closed_issued_and_verified(huge: Path) -> None:
    """Every step that sums: proof, close, hash of usage, invoice, verification, late usage."""
    made = closing.close(Lake(huge), book(), "2026-10", "north", prove=books(huge), now=NOW)
    assert closing.close(Lake(huge), book(), "2026-10", "north", prove=books(huge), now=NOW).close_id == made.close_id
    report = issuing.issue(Lake(huge), made, now=NOW)
    (invoice,) = [each for each in report.invoices if each.partner_id == "acme"]
    used = [line["usage"]["sum"] for line in invoice.document["lines"] if line["meter"] == "egress"]
    assert used == [str(COUNT * SIZE)]
    assert [problem for found in issuing.verify(Lake(huge)) for problem in found.problems] == []
    assert issuing.late_usage(Lake(huge)) == []


def test_what_is_shown_of_it_are_whole_numbers(huge: Path) -> None:
    """Requests and bytes are printed as integers, and as JSON they are numbers."""
    start, end = closing.month("2026-10", "UTC")
    (row,) = Warehouse(Lake(huge)).used([Span("acme", "", start, end)])
    assert (row["requests"], row["response_bytes"]) == (COUNT, COUNT * SIZE)
    assert all(type(row[name]) is int for name in ("requests", "response_bytes"))


def test_the_hash_of_usage_that_fits_into_64_bits_is_the_one_it_was(october: Path) -> None:
    """Computed by the version that summed in 64 bits: closes that were made then are verified against it."""
    start, end = closing.month("2026-10", "Europe/Berlin")
    assert rules1.usage_sha256(Warehouse(Lake(october)), "acme", start, end) == HASH_OF_64_BITS
