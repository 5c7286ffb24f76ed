"""The figures of docs/pricing.md, priced by the functions that price invoices."""

import json
import re
from collections import Counter
from decimal import Decimal
from pathlib import Path

import pytest

from billing.__main__ import main
from billing.catalog import loading
from billing.pricing import cases
from billing.pricing.case_steps import STEPS
from billing.pricing.charge import OfMonth, charge
from schemas.catalog.prices.price import Share
from schemas.catalog.prices.registry import MODELS
from schemas.catalog.prices.tiers import Tier
from schemas.catalog.rates import LineTerms, Rate
from schemas.money import MINOR_UNITS, plain
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
    made = charge(rate.price, Decimal(quantity), terms=rate.terms, places=MINOR_UNITS["EUR"])
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
    page = text_of("docs/pricing.md").partition("### Parameters of a case")[2].partition("Other models try")[0]
    for names, where, *_ in rows(page)[2:]:
        for model in MODELS if where == "all" else [w.strip(" `") for w in where.split(",")]:
            listed[model] |= {name.strip(" `") for name in names.split(",")}
    assert listed == {model: set(params) for model, params in cases.PARAMETERS.items()}


def test_every_step_is_listed_with_its_parameters() -> None:
    """As for the models of rate cards."""
    page = text_of("docs/pricing.md").partition("Other models try")[2].partition("Of the 405")[0]
    listed = {model.strip("`"): frozenset(re.findall(r"`([^`]+)`", names)) for model, names, *_ in rows(page)[2:]}
    assert listed == {name: step.parameters for name, step in STEPS.items()}


def test_the_page_says_how_many_cases_are_answered() -> None:
    """Nobody believes a number that no test counts."""
    found = [json.loads(line) for line in (ROOT / "tests/billing/pricing_cases.jsonl").read_text().splitlines()]
    refused = Counter(case["model"] for case in found if "unsupported" in cases.answer(case))
    sentence = text_of("docs/pricing.md").partition("Of the 405")[2].replace("\n", " ")
    assert f"{len(found) - sum(refused.values())} are answered" in sentence
    assert dict(re.findall(r"`(\w+)` \((\d+)\)", sentence)) == {model: str(count) for model, count in refused.items()}


def test_the_terms_of_a_rate_are_listed_and_their_example_is_what_is_charged(tmp_path: Path) -> None:
    """Finance reads what a discount, a maximum and a minimum do from this table."""
    assert set(names_in_first_column(section("docs/pricing.md", "Terms of a rate"))) == set(LineTerms._fields)
    (tmp_path / "card.yaml").write_text(block("docs/pricing.md", "terms-of-rates"))
    (tmp_path / "meters.yaml").write_text(
        (ROOT / "examples/catalog/prices.yaml").read_text().partition("rate_cards:")[0]
    )
    requests, egress = loading.load(tmp_path).rate_card("negotiated").versions[0].rates
    made = charge(requests.price, Decimal(1129483), terms=requests.terms, places=2)
    assert [plain(part.amount) for part in made.parts] == ["360.5", "-36.05", "-15"]
    assert (made.amount, made.billed_quantity) == (Decimal("309.45"), Decimal(1030))
    least = charge(egress.price, Decimal("6.142538934"), terms=egress.terms, places=2)
    assert [plain(part.amount) for part in least.parts] == ["0.73710467208", "49.26289532792"]
    half = OfMonth(Decimal(0), Decimal(0), is_first=True, is_last=True, share=Share(15, 30), span=Share(15, 30))
    short = egress.model_copy(update={"prorated": True})
    assert charge(short.price, Decimal(0), terms=short.terms, places=2, of_month=half).amount == 25
    shown = section("docs/pricing.md", "Terms of a rate")
    assert all(number in shown for number in ("360.50", "-36.05", "309.45", "0.73710467208", "49.26289532792"))


def test_the_fields_of_a_tier_are_listed() -> None:
    """A tier is refused for a field that it does not know."""
    assert set(names_in_first_column(section("docs/pricing.md", "Models").partition("### Tiers")[2])) == set(
        Tier.model_fields
    )
