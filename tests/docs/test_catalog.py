"""docs/catalog.md against the catalog's own records."""

from pathlib import Path

import pytest
from pydantic import BaseModel

from billing.catalog import loading
from schemas.catalog.approval import Approval, Principal
from schemas.catalog.credentials import Credential, Grant
from schemas.catalog.meters.meter import Filter, Meter
from schemas.catalog.rates import Rate
from schemas.catalog.records import (
    Budget,
    Catalog,
    LegalEntity,
    Partner,
    Plan,
    PlanAssignment,
    Quota,
    RateCard,
    RateCardVersion,
    Throttle,
)
from schemas.catalog.sources import Fields, Own, RouteName, Source
from schemas.catalog.terms import PurchaseOrder
from tests.docs.pages import PAGES, ROOT, blocks, rows, section

PAGE = "docs/catalog.md"
# The tables of each section, in order.
TABLES: dict[str, list[type[BaseModel]]] = {
    "legal_entities": [LegalEntity, Approval, Principal],
    "sources": [Source, Fields, RouteName, Own],
    "meters": [Meter, Filter],
    "rate_cards": [RateCard, RateCardVersion, Rate],
    "plans": [Plan, Quota, Throttle],
    "partners": [Partner, PlanAssignment, PurchaseOrder, Budget, Credential, Grant],
}


def tables(text: str) -> list[dict[str, bool]]:
    """Field → whether it is shown in bold, for each table that begins with `field`."""
    found: list[dict[str, bool]] = []
    for first, *_ in rows(text):
        if first == "field" or first.startswith("field of"):
            found.append({})
        elif found and "`" in first:
            found[-1] |= {name.strip("`* "): first.startswith("**") for name in first.split(",")}
    return found


def test_the_page_has_all_sections() -> None:
    """A section without a page is one that nobody uses."""
    assert list(TABLES) == list(Catalog.model_fields)


@pytest.mark.parametrize("name", TABLES)
def test_every_field_is_described_and_every_described_one_exists(name: str) -> None:
    """With what is required in bold: this is the page from which a catalog is written."""
    assert tables(section(PAGE, name)) == [
        {field: info.is_required() for field, info in model.model_fields.items()} for model in TABLES[name]
    ]


def test_the_examples_together_are_a_catalog(tmp_path: Path) -> None:
    """Each is copied by somebody."""
    (page,) = [p for p in PAGES if p == ROOT / PAGE]
    examples = [b.text for b in blocks(page) if b.language == "yaml"]
    for number, text in enumerate(examples):
        (tmp_path / f"{number}.yaml").write_text(text)
    book = loading.load(tmp_path)
    assert len(examples) == len(TABLES)
    assert all(getattr(book, name) for name in TABLES)
