"""The tables of texts: the same keys and places in every language, none missing, none unused."""

import json
import re
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import get_args

import pytest

from schemas.catalog.meters.meter import Meter
from schemas.texts.wording import ENGLISH, LANGUAGES, Wording, wording

ROOT = Path(__file__).parents[2]
TEMPLATE = ROOT / "billing/invoicing/render/invoice.typ"
# What the template looks up by a value of the document: the kind of a document, and the field that a meter counts.
BY_VALUE = {"invoice", "credit_note", "adjustment", "requests"}
_PLACE = re.compile(r"\{(\w+)\}")


def code() -> str:
    """The sources that may use a text, without rules 1, which has its own."""
    sources = [
        p
        for package in ("schemas", "billing", "tollbook")
        for p in (ROOT / package).rglob("*.py")
        if "rules1" not in p.parts
    ]
    return "\n".join(path.read_text(encoding="utf-8") for path in [*sources, TEMPLATE])


def test_every_language_has_the_same_keys_with_the_same_places() -> None:
    """A place that one language lacks would leave out an amount in it alone."""
    for language in LANGUAGES:
        table = wording(language).table
        assert list(table) == list(ENGLISH.table), "the same keys, in the same order"
        for key, text in table.items():
            assert text.strip() or key == "thousands", key
            assert sorted(_PLACE.findall(text)) == sorted(_PLACE.findall(ENGLISH.table[key])), key


def test_no_key_stands_twice() -> None:
    """JSON would keep the last one without a word."""
    for language in LANGUAGES:
        text = (ROOT / f"schemas/texts/{language}.json").read_text(encoding="utf-8")
        pairs = json.loads(text, object_pairs_hook=list)
        assert len(pairs) == len(dict(pairs)), language


def test_no_text_is_unused() -> None:
    """What nobody says is deleted from the tables."""
    fields = {name for part in get_args(Meter.model_fields["field"].annotation) for name in get_args(part)}
    known = BY_VALUE | fields
    found = code()
    unused = [
        key for key in ENGLISH.table if key not in known and f'"{key}"' not in found and f"texts.{key}" not in found
    ]
    assert unused == []
    assert known <= ENGLISH.table.keys()


def test_no_text_is_missing() -> None:
    """A text that is asked for and not there would stop an issue."""
    asked = set(re.findall(r"""\bsay\(\s*["'](\w+)["']""", code())) | set(
        re.findall(r"texts\.(\w+)", TEMPLATE.read_text())
    )
    assert len(asked) > 60
    assert asked - ENGLISH.table.keys() - {"at"} == set()


@pytest.mark.parametrize(
    ("language", "number", "day"),
    [
        ("en", "-1\u202f234\u202f567.5", "5\u00a0November\u00a02026"),
        ("de", "-1.234.567,5", "5.\u00a0November\u00a02026"),
    ],
)
def test_numbers_and_days_have_the_form_of_the_language(language: str, number: str, day: str) -> None:
    """And a value in a text has it as well."""
    say: Wording = wording(language)  # type: ignore[arg-type]
    assert say.number(Decimal("-1234567.50")) == number
    assert say.day(date(2026, 11, 5)) == day
    assert say("discount_percent", percent=Decimal("2.5")).split()[-2] == ("2,5" if language == "de" else "2.5")
    assert say("amount_due", day=date(2026, 11, 5)).endswith(day)


def test_a_default_of_the_catalog_is_translated_and_what_a_person_wrote_is_not() -> None:
    """Catalogs are in the language of their authors."""
    assert wording("de").unless_given("Prepaid credit") == "Prepaid-Guthaben"
    assert wording("de").unless_given("Prepaid credits of March") == "Prepaid credits of March"
    assert wording("en").unless_given("Discount") == "Discount"


def test_a_value_is_never_looked_into() -> None:
    """A reference of a partner may have braces."""
    assert ENGLISH("your_reference", reference="{order} {reference}") == "Your reference: {order} {reference}"
    with pytest.raises(KeyError):
        ENGLISH("your_reference")
