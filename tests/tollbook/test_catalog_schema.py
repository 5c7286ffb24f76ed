"""The published schema of the catalog: what editors complete and check by is what the code takes."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from pydantic import BaseModel

from schemas.catalog import credentials, records, sources
from schemas.catalog.fields import CatalogRecord
from schemas.catalog.json_schema import DESCRIPTIONS, catalog_schema
from schemas.catalog.meters import meter
from schemas.catalog.prices import registry as prices
from schemas.catalog.prices.tiers import Tier
from tests.tollbook.fixtures import CATALOG, ROOT, Here

FILE = ROOT / "schemas" / "catalog.schema.json"
EXAMPLES = sorted((ROOT / "examples" / "catalog").glob("*.yaml"))
MODELS = {
    model.__name__: model
    for module in (records, meter, sources, credentials)
    for model in (*vars(module).values(), Tier, *prices.MODELS.values())
    if isinstance(model, type) and issubclass(model, CatalogRecord)
}


class Loader(yaml.SafeLoader):
    """YAML as editors read it: dates are text."""


Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def problems(text: str) -> list[str]:
    """What an editor would underline."""
    validator = jsonschema.Draft202012Validator(catalog_schema(), format_checker=jsonschema.FormatChecker())
    return [error.json_path for error in validator.iter_errors(yaml.load(text, Loader))]


def test_the_published_file_is_what_the_code_makes(here: Here) -> None:
    """Made anew by: tollbook catalog schema > schemas/catalog.schema.json"""
    assert here.tollbook("catalog", "schema").out == FILE.read_text()


def test_it_is_a_schema() -> None:
    """Of the dialect it names."""
    jsonschema.Draft202012Validator.check_schema(json.loads(FILE.read_text()))


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda p: p.name)
def test_the_example_is_valid_and_names_the_schema(file: Path) -> None:
    """Whoever opens the example in an editor gets completion, and no false alarm."""
    text = file.read_text()
    assert problems(text) == []
    found = re.search(r"^# yaml-language-server: \$schema=(\S+)$", text, re.MULTILINE)
    assert found
    assert (file.parent / found[1]).resolve() == FILE


def test_the_catalogs_of_the_tests_are_valid() -> None:
    """Another hand's YAML: statuses as numbers, short forms."""
    for text in CATALOG.values():
        assert problems(text) == []
    assert (
        problems("meters: [{id: m, aggregate: count, unit: u, filter: {status: [200, 2xx], exclude_status: [429]}}]")
        == []
    )


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("customers: []", "$"),
        ("partners: {id: acme}", "$.partners"),
        ("plans: [{id: p, rate_card: c, quota: []}]", "$.plans[0]"),
        ("plans: [{id: p, rate_card: c, quotas: [{meter: m, period: YEAR, limit: 1}]}]", "$.plans[0].quotas[0].period"),
        ("rate_cards: [{id: c, currency: DOLLAR, versions: [{valid_from: 2026-01-01, rates: [{price: {model: flat, amount: 1}}]}]}]", "$.rate_cards[0].currency"),
        ("rate_cards: [{id: c, currency: EUR, versions: [{valid_from: January, rates: [{price: {model: flat, amount: 1}}]}]}]", "$.rate_cards[0].versions[0].valid_from"),
        ("rate_cards: [{id: c, currency: EUR, versions: [{valid_from: 2026-01-01, rates: [{price: {model: guess}}]}]}]", "$.rate_cards[0].versions[0].rates[0].price"),
        ("meters: [{id: M!, aggregate: count, unit: u}]", "$.meters[0].id"),
        ("meters: [{id: m, aggregate: count, unit: u, divide_by: 0}]", "$.meters[0].divide_by"),
        ("meters: [{id: m, aggregate: count, unit: u, filter: {status: [9xx]}}]", "$.meters[0].filter.status"),
    ],
)  # fmt: skip
def test_mistakes_are_underlined_where_they_are(text: str, path: str) -> None:
    """A schema that allows everything is no help."""
    assert path in problems(text)


def test_every_field_is_described_and_nothing_else() -> None:
    """What the editor shows beside the cursor; and a field that was renamed leaves no words behind."""
    left = {
        name: {field for field, info in model.model_fields.items() if info.description is None}
        for name, model in MODELS.items()
    }
    assert {name: set(words) for name, words in DESCRIPTIONS.items()} == {
        n: words for n, words in left.items() if words
    }
    for described in descriptions(catalog_schema()):
        assert described["description"].endswith(".")


def descriptions(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for record in (schema, *schema["$defs"].values()):
        assert record["description"]
        yield from record["properties"].values()


def test_what_the_models_refuse_by_form_the_schema_refuses_too() -> None:
    """Required fields and unknown ones, of every record."""
    schema = catalog_schema()
    for name, model in MODELS.items():
        if name in schema["$defs"]:
            required = {field for field, info in model.model_fields.items() if info.is_required()}
            assert set(schema["$defs"][name].get("required", [])) == required
            assert schema["$defs"][name]["additionalProperties"] is False
    assert issubclass(records.Catalog, BaseModel)
