"""What holds for every price model of the registry, also for one that is added: each test walks the registry itself."""

import ast
import inspect
import json
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from billing.pricing.charge import OfMonth, charge
from schemas.catalog.json_schema import catalog_schema
from schemas.catalog.prices.price import Portion, Price, Share
from schemas.catalog.prices.registry import MODELS, PriceModel
from schemas.catalog.rates import LineTerms
from schemas.texts.wording import ENGLISH
from tests.docs.pages import rows, section

ROOT = Path(__file__).parents[2]
D = Decimal
READ: TypeAdapter[Price] = TypeAdapter(PriceModel)
QUANTITIES = [D(0), D("0.5"), D(1), D(7), D(100), D("100.001"), D(10**6)]


def samples() -> dict[str, list[Price]]:
    """The prices of the cases that a rate card can hold, by model: those whose last tier is open."""
    found: dict[str, list[Price]] = {name: [] for name in MODELS}
    for case in map(json.loads, (Path(__file__).parent / "pricing_cases.jsonl").read_text().splitlines()):
        if case["model"] in MODELS:
            fields = MODELS[case["model"]].model_fields.keys() & case["params"].keys()
            try:
                price = READ.validate_python({"model": case["model"], **{f: case["params"][f] for f in fields}})
            except ValidationError:
                continue
            found[case["model"]].append(price)
    return found


SAMPLES = samples()
EACH = pytest.mark.parametrize("model", MODELS)


@EACH
def test_a_model_is_whole(model: str) -> None:
    """It prices and explains by itself, and is registered by the name that a catalog writes."""
    kind = MODELS[model]
    assert not inspect.isabstract(kind)
    assert get_args(kind.model_fields["model"].annotation) == (model,)


@EACH
def test_a_model_has_cases(model: str) -> None:
    """Worked examples of other systems, or ours: tests/billing/pricing_cases.jsonl."""
    assert SAMPLES[model], f"add cases of {model} to tests/billing/pricing_cases.jsonl"


@EACH
def test_a_model_explains_every_part_it_asks_for(model: str) -> None:
    """A reader of the invoice learns why; "per unit" stands where a price is one, and nowhere else."""
    for price in SAMPLES[model]:
        parts = [part for quantity in QUANTITIES for part in price.parts(Portion.month(quantity))]
        for part in parts:
            explanation = price.explanation(part, Share(1, 2), ENGLISH)
            assert explanation.strip()
            assert (explanation == "per unit") == (model == "per_unit")
            assert part.quantity
        labels = [(part.label, part.counts) for part in parts]
        assert len(set(labels)) == len({label for label, _ in labels}), "a label counts one thing"


@EACH
@given(st.data())
def test_the_lines_of_a_month_sum_to_the_month(model: str, data: st.DataObject) -> None:
    """However a month is cut into lines: nothing is asked twice, and nothing is left out."""
    price = data.draw(st.sampled_from(SAMPLES[model]))
    free = data.draw(st.decimals(0, 200, places=1))
    total = data.draw(st.decimals(0, 10**4, places=2))
    cuts = [D(0), *sorted(data.draw(st.lists(st.decimals(0, total, places=2), max_size=3))), total]
    lines = list(pairwise(cuts))
    share = Share(1, 1) if price.needs_meter else Share(1, len(lines))
    made = [
        charge(
            price,
            end - start,
            terms=LineTerms(free_units=free),
            places=None,
            of_month=OfMonth(start, total, is_first=n == 1, is_last=n == len(lines), share=share),
        )
        for n, (start, end) in enumerate(lines, 1)
    ]
    whole = charge(price, total, terms=LineTerms(free_units=free), places=None)
    difference = sum((Fraction(line.exact) for line in made), Fraction(0)) - Fraction(whole.exact)
    assert abs(difference) <= (
        0 if price.needs_meter else Fraction(len(lines), 10**12)
    )  # a share of a fee is cut there
    assert sum(line.billed_quantity for line in made) == whole.billed_quantity


@EACH
def test_a_model_is_reckoned_a_second_time(model: str) -> None:
    """Histories draw it, so that tests/reckoning computes its bills by code that shares nothing with ours."""
    assert f'"{model}"' in (ROOT / "tests/reckoning/histories.py").read_text()


@EACH
def test_a_model_is_in_the_published_schema(model: str) -> None:
    """An editor completes its fields and says what they mean."""
    definitions = catalog_schema()["$defs"]
    name = MODELS[model].__name__
    assert definitions["Rate"]["properties"]["price"]["discriminator"]["mapping"][model] == f"#/$defs/{name}"
    assert definitions[name]["properties"].keys() == MODELS[model].model_fields.keys()
    assert all(field["description"] for field in definitions[name]["properties"].values())


@EACH
def test_a_model_is_on_the_page_of_prices(model: str) -> None:
    """With what it charges and with its fields, but those that all tiers share."""
    (row,) = [r for r in rows(section("docs/pricing.md", "Models")) if r[0] == f"`{model}`"]
    _, charges, fields = row
    assert charges
    named = {field.strip(" `") for field in fields.split(",")}
    assert named == MODELS[model].model_fields.keys() - {"model", "first_tier_flat_at_zero"}


def test_nobody_but_the_registry_names_a_model() -> None:
    """A module that asks for one model forgets the next. Frozen rules know those of their time."""
    known = {f"schemas.catalog.prices.{name}" for name in ("price", "registry", "tiers")}
    for folder in ("schemas", "lake", "ingest", "aggregate", "billing", "tollbook"):
        for file in (ROOT / folder).rglob("*.py"):
            if file.parent in {ROOT / "schemas/catalog/prices", ROOT / "billing/invoicing/rules1"}:
                continue
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("schemas.catalog.prices."):
                    assert node.module in known, f"{file.relative_to(ROOT)}:{node.lineno}"
