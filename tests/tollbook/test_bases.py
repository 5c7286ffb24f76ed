"""`tollbook invoice show` says from what each amount was computed that is not usage at a rate."""

import pytest

from schemas.texts.wording import Language
from tollbook.cli.invoices.bases import basis


@pytest.mark.parametrize(
    ("extra", "text"),
    [
        ({"percent": "10", "base": "1234.50"}, "10 % of 1,234.50"),
        ({"base": "25.00"}, "off 25.00"),
        ({"percent": "10", "base_before_limits": "200.00"}, "10 % of 200.00, before the limits of the rate"),
        ({"base_before_limits": "200.00"}, "off 200.00, before the limits of the rate"),
        ({"fee": "support", "month": "2026-10", "monthly": "310"}, "310.00 a month"),
        ({"limit": "500.00"}, "limit 500.00"),
        ({"committed": "12000.00", "counted": "9.50", "overage_factor": "1"}, "committed 12,000.00, billed 9.50"),
        ({"committed": "10.00", "counted": "9.50", "overage_factor": "0.9"}, "committed 10.00, billed 9.50, above it \N{MULTIPLICATION SIGN} 0.9"),
        ({"balance_before": "9.00", "balance_after": "0.00"}, "balance 9.00 before, 0.00 after"),
        (
            {"number": "N-1", "reason": "late usage", "quantity_before": "12", "quantity_now": "19"},
            "invoice N-1, late usage: 19 instead of 12",
        ),
        ({"number": "N-1", "reason": "late usage"}, "invoice N-1, late usage"),
        ({"number": "", "reason": "late usage"}, ""),
    ],
)  # fmt: skip
def test_an_amount_says_what_it_rests_on(extra: dict[str, str], text: str) -> None:
    """Whoever asks why a discount or a true-up has this amount finds it here."""
    assert basis(extra, "EUR", "en") == text


@pytest.mark.parametrize(("language", "text"), [("en", "limit 8,600"), ("de", "Grenze 8,600")])
def test_it_has_the_language_of_the_document_and_the_decimals_of_the_currency(language: Language, text: str) -> None:
    """Yen have none."""
    assert basis({"limit": "8600"}, "JPY", language) == text
