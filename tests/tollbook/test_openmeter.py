"""From OpenMeter's configuration and events, both unchanged, to an invoice."""

import json

import pytest

from tests.billing.import_documents import OPENMETER, written
from tests.docs.pages import ROOT
from tests.ingest.test_quantities import event
from tests.tollbook.fixtures import AFTER_OCTOBER, Here

pytestmark = pytest.mark.integration

RATE = "          - {meter: requests, price: {model: per_unit, unit_price: 0.25}}\n"
TOKENS = "          - {meter: tokens_total, price: {model: per_unit, unit_price: 0.002}}\n"


def test_three_events_of_a_hundred_tokens_are_three_hundred_tokens_on_the_invoice(here: Here) -> None:
    """The meter is imported, gets a price, and counts: 300 tokens at 0.002 are 0.60, beside 3 requests at 0.25."""
    written(here.folder, OPENMETER, "config.yaml")
    ended = here.tollbook(
        "catalog", "import", "openmeter", here.folder / "config.yaml", "--catalog", here.catalog, "--yes"
    )
    assert ended.code == 0
    assert "average: aggregation: the catalog has no AVG" in " ".join(ended.out.split())
    made = here.catalog / "imported-openmeter.yaml"
    text = made.read_text()
    for meter in ("api_requests_total", "largest", "smallest", "newest", "users"):
        assert f"  - id: {meter}\n" in text
        text = text.replace(f"  - id: {meter}\n", f"  - id: {meter}\n    billable: false\n")
    made.write_text(text)
    (prices,) = (file for file in here.catalog.glob("*.yaml") if RATE in file.read_text())
    prices.write_text(prices.read_text().replace(RATE, RATE + TOKENS))
    lines = [json.dumps(event(n, subject="c-acme", data={"tokens": 100})).encode() + b"\n" for n in range(3)]
    run = here.tollbook(
        "run", "--catalog", here.catalog, "--lake", here.lake, "--format", "cloudevents", "--source", "edge", here.log("a.log", *lines), "--json"
    )  # fmt: skip
    assert run.json["counted"] == 3
    given = ["--lake", here.lake, "--period", "2026-10", "--legal-entity", "seller", "--now", AFTER_OCTOBER]
    assert here.tollbook("invoice", "close", "--catalog", here.catalog, *given).code == 0
    issued = here.tollbook("invoice", "issue", *given)
    assert issued.code == 0, issued.err
    (row,) = (row for row in here.table("invoices") if row["partner_id"] == "acme")
    document = json.loads(row["document"])
    assert [(x["meter"], x["quantity"], x["amount"]) for x in document["lines"]] == [
        ("requests", "3", "0.75"),
        ("tokens_total", "300", "0.60"),
    ]
    assert document["total"] == "1.35"
    assert here.tollbook("invoice", "verify", "--lake", here.lake).code == 0
    used = here.tollbook("usage", "--catalog", here.catalog, "--lake", here.lake, "--period", "2026-10")
    table = "\n".join(line.rstrip() for line in used.out.rstrip().splitlines())
    assert table in (ROOT / "docs" / "quantities.md").read_text()
