"""Other systems' worked prices, in one notation, through the functions that price invoices."""

import json
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from billing.pricing import cases
from billing.pricing.case_steps import STEPS
from billing.pricing.cases import BadCase
from billing.pricing.charge import PricingError
from schemas.catalog.prices.registry import MODELS

pytestmark = pytest.mark.integration

FILE = Path(__file__).parent / "pricing_cases.jsonl"
CASES = [json.loads(line) for line in FILE.read_text().splitlines()]
OURS = {*MODELS, *STEPS}
RULE = {"mode": "half_up", "places": "2", "when": "line"}


def per_unit(**changes: Any) -> dict[str, Any]:
    case = {
        "id": "c",
        "model": "per_unit",
        "params": {"unit_price": "0.5", "rounding": RULE},
        "input": {"quantity": "3"},
    }
    return case | changes


def rate_cases(file: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "billing", "rate-cases", file]
    return subprocess.run(command, input=given, capture_output=True, check=False)


@pytest.mark.parametrize("case", [pytest.param(c, id=c["id"]) for c in CASES if c["model"] in OURS])
def test_the_case_agrees(case: dict[str, Any]) -> None:
    """Every number, and where the case tells them the lines: same labels, same order, same values."""
    got, expected = cases.answer(case), case["expected"]
    assert got["id"] == case["id"]
    numbers = expected.keys() - {"lines"}
    assert {name: Decimal(got[name]) for name in numbers} == {name: Decimal(expected[name]) for name in numbers}
    if "lines" in expected:
        labels = ["label"] if "label" in expected["lines"][0] else []
        assert len(got["lines"]) == len(expected["lines"])
        for ours, theirs in zip(got["lines"], expected["lines"], strict=True):
            assert Decimal(ours["amount"]) == Decimal(theirs["amount"])
            assert [ours[label] for label in labels] == [theirs[label] for label in labels]


@pytest.mark.parametrize("model", sorted({c["model"] for c in CASES} - OURS))
def test_a_model_that_invoices_do_not_know_is_reported_as_unsupported(model: str) -> None:
    """Never an answer that was guessed."""
    for case in CASES:
        if case["model"] == model:
            assert cases.answer(case) == {"id": case["id"], "unsupported": model}


def test_nothing_of_the_file_is_left_out() -> None:
    """A parametrised test over an empty list passes, too."""
    assert len(CASES) == len({c["id"] for c in CASES}) == 405
    assert sum(c["model"] in OURS for c in CASES) == 392


@pytest.mark.parametrize(
    "params",
    [
        pytest.param({"minimum": "5"}, id="a parameter of another model"),
        pytest.param({"negative_policy": "negate"}, id="a choice that is not ours"),
        pytest.param({"rounding": {**RULE, "mode": "half_down"}}, id="another rounding"),
        pytest.param(
            {"unit_conversion": {"op": "divide", "factor": "2", "round": "half_even"}}, id="another conversion"
        ),
    ],
)
def test_a_parameter_that_would_be_ignored_makes_the_case_unsupported(params: dict[str, Any]) -> None:
    """A price computed without it would look right."""
    case = per_unit()
    assert cases.answer(case | {"params": case["params"] | params}) == {"id": "c", "unsupported": "per_unit"}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        pytest.param({"input": {}}, "'quantity' is missing", id="no quantity"),
        pytest.param({"params": {"rounding": RULE}}, "'unit_price' is missing", id="no price"),
        pytest.param({"input": {"quantity": "three"}}, "cannot be read", id="a quantity that is no number"),
        pytest.param({"input": {"quantity": "NaN"}}, "no finite number", id="not a number"),
        pytest.param({"input": {"quantity": "Infinity"}}, "no finite number", id="without end"),
        pytest.param({"params": ["x"]}, "cannot be read", id="params that are no object"),
        pytest.param(
            {"model": "volume", "params": {"tiers": [{"up_to": "x"}], "rounding": RULE}}, "tiers.up_to", id="a bad tier"
        ),
    ],
)
def test_a_case_that_cannot_be_read_says_which_field(changes: dict[str, Any], says: str) -> None:
    """One line a person can act on."""
    with pytest.raises(BadCase, match=says) as refused:
        cases.answer(per_unit(**changes))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("when", "amount"),
    [pytest.param("line", "0.01", id="their sum"), pytest.param("tier_line", "0", id="each")],
)
def test_two_tiers_are_rounded_together_or_each(when: str, amount: str) -> None:
    """Twice 0.004: nothing when each is rounded, a cent when their sum is. An invoice rounds the sum."""
    tiers = [{"up_to": "1", "unit_price": "0.004"}, {"up_to": None, "unit_price": "0.004"}]
    params = {"tiers": tiers, "rounding": {**RULE, "when": when}}
    assert cases.answer(per_unit(model="graduated", params=params, input={"quantity": "2"}))["amount"] == amount


@pytest.mark.parametrize("model", ["graduated", "volume"])
def test_a_quantity_beyond_a_closed_last_tier_is_refused(model: str) -> None:
    """A rate card's last tier is open; that of another system must not bill the rest at nothing."""
    params = {"tiers": [{"up_to": "5", "unit_price": "1"}], "rounding": RULE}
    assert cases.answer(per_unit(model=model, params=params, input={"quantity": "5"}))["amount"] == "5"
    with pytest.raises(PricingError, match="beyond the last tier, which ends at 5; leave the last tier open"):
        cases.answer(per_unit(model=model, params=params, input={"quantity": "5.001"}))


@pytest.mark.parametrize(
    ("model", "price", "says"),
    [
        pytest.param("per_unit", {"unit_price": "NaN"}, "unit_price: Input should be a finite number", id="no number"),
        pytest.param("package", {"package_size": "0", "package_price": "1"}, "package_size: .* greater than 0", id="packages of nothing"),
        pytest.param("volume", {"tiers": [{"up_to": "5"}, {"up_to": "5"}, {"up_to": None}]}, "tiers: .* increase from tier to tier", id="tiers out of order"),
        pytest.param("volume", {"tiers": []}, "not enough values", id="no tier"),
    ],
)  # fmt: skip
def test_a_price_that_no_rate_card_can_hold_is_refused(model: str, price: dict[str, Any], says: str) -> None:
    """The answer would be one that no invoice gives."""
    with pytest.raises(BadCase, match=says):
        cases.answer(per_unit(model=model, params={**price, "rounding": RULE}))


def test_the_command_answers_every_case_of_the_file_in_order() -> None:
    """One JSON object a case, from a file and from standard input."""
    done = rate_cases(str(FILE))
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, done.stderr
    assert answers == [cases.answer(case) for case in CASES]
    assert rate_cases("-", FILE.read_bytes()).stdout == done.stdout


@pytest.mark.sampled(keep=2)
@pytest.mark.parametrize(
    "line",
    [
        pytest.param(b'{"id": "cut', id="cut off"),
        pytest.param(b"[1, 2]", id="no object"),
        pytest.param(b"\xff\xfe", id="no UTF-8"),
        pytest.param(b"[" * 100_000, id="nested without end"),
        pytest.param(json.dumps(per_unit(input={"quantity": "-1"})).encode(), id="a negative quantity"),
        pytest.param(json.dumps(per_unit(input={"quantity": "1e70"})).encode(), id="more digits than any invoice has"),
    ],
)
def test_a_broken_line_ends_the_command_and_is_named(line: bytes) -> None:
    """Exit code 2, one line on standard error; what came before was answered. Blank lines are no cases."""
    good = json.dumps(per_unit()).encode()
    done = rate_cases("-", b"\n".join([good, b"", line, good]))
    assert done.returncode == 2
    assert [json.loads(answer)["amount"] for answer in done.stdout.splitlines()] == ["1.5"]
    assert done.stderr.startswith(b"error: line 3: ")
    assert done.stderr.count(b"\n") == 1


def test_a_missing_file_is_named() -> None:
    """Exit code 2, no traceback."""
    done = rate_cases("nowhere.jsonl")
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.startswith(b"error: nowhere.jsonl: No such file")


def test_numbers_that_are_no_strings_are_read_exactly_all_the_same() -> None:
    """0.1 in JSON is one tenth here, not the double next to it."""
    case = per_unit(params={"unit_price": 0.1, "rounding": {"mode": "none"}})
    done = rate_cases("-", json.dumps(case).encode())
    assert json.loads(done.stdout)["amount"] == "0.3"
