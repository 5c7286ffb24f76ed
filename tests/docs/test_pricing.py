"""The figures of docs/pricing.md, priced by the functions that price invoices."""

from decimal import Decimal
from pathlib import Path

import pytest

from billing.__main__ import main
from billing.catalog import loading
from billing.pricing import cases
from billing.pricing.charge import charge
from schemas.catalog.prices.registry import MODELS
from schemas.catalog.prices.tiers import Tier
from schemas.catalog.records import Rate
from schemas.money import MINOR_UNITS
from tests.docs.pages import ROOT, block, names_in_first_column, rows, section, text_of


@pytest.fixture(scope="module")
def rates(tmp_path_factory: pytest.TempPathFactory) -> dict[str | None, Rate]:
    """The rate card of the page, with the meters of the example catalog."""
    folder = tmp_path_factory.mktemp("card")
    (folder / "card.yaml").write_text(block("docs/pricing.md", "rate-card"))
    example = (ROOT / "examples/catalog/prices.yaml").read_text()
    (folder / "meters.yaml").write_text(example.partition("rate_cards:")[0])
    card = loading.load(folder).rate_card("wholesale")
    return {rate.meter: rate for rate in card.versions[0].rates}


def test_the_cases_have_the_answers_that_are_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Who tries a price compares with the page."""
    (tmp_path / "cases.jsonl").write_text(block("docs/pricing.md", "cases"))
    assert main(["rate-cases", str(tmp_path / "cases.jsonl")]) == 0
    assert capsys.readouterr().out == block("docs/pricing.md", "answers")


@pytest.mark.parametrize(
    ("meter", "quantity", "exact", "rounded"),
    [
        ("requests", "1129483", "733.26735", "733.27"),
        ("egress", "6.142538934", "0.67710467208", "0.68"),
        ("exports", "46397", "116", "116.00"),
        (None, "1", "490", "490.00"),
    ],
)
def test_the_worked_example_is_what_the_card_charges(
    rates: dict[str | None, Rate], meter: str | None, quantity: str, exact: str, rounded: str
) -> None:
    """Finance checks its understanding of a rate card against this."""
    rate = rates[meter]
    made = charge(rate.price, Decimal(quantity), free_units=rate.free_units, places=MINOR_UNITS["EUR"])
    assert (made.exact, made.amount) == (Decimal(exact), Decimal(rounded))
    shown = section("docs/pricing.md", "On a rate card").replace(",", "")
    assert exact in shown
    assert rounded in shown


def test_the_table_of_tiers_adds_up(rates: dict[str | None, Rate]) -> None:
    """Each row is the part of that tier."""
    rate = rates["requests"]
    made = charge(rate.price, Decimal(1129483), places=2)
    table = [
        [c.replace(",", "") for c in row]
        for row in rows(section("docs/pricing.md", "On a rate card"))
        if row[0].isdigit()
    ]
    shown = [[Decimal(c) for c in row[1:]] for row in table]
    assert shown == [[p.quantity, p.unit_price, p.amount] for p in made.parts]


def test_every_model_and_parameter_is_listed_for_the_models_that_take_it() -> None:
    """A parameter that the page forgets cannot be used; one that it invents is answered with `unsupported`."""
    models = names_in_first_column(section("docs/pricing.md", "Models").partition("### ")[0])
    assert models == list(MODELS)
    listed: dict[str, set[str]] = {model: set() for model in MODELS}
    for name, where, *_ in rows(text_of("docs/pricing.md").partition("### Parameters of a case")[2])[2:]:
        for model in MODELS if where == "all" else [w.strip(" `") for w in where.split(",")]:
            listed[model].add(name.strip("`"))
    assert listed == {model: set(params) for model, params in cases.PARAMETERS.items()}


def test_the_fields_of_a_tier_are_listed() -> None:
    """A tier is refused for a field that it does not know."""
    assert set(names_in_first_column(section("docs/pricing.md", "Models").partition("### Tiers")[2])) == set(
        Tier.model_fields
    )
