"""Kong's configuration: consumers, keys as ids, limits of consumers and groups; hostile YAML is one clear line."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing.catalog.imports import deck
from billing.catalog.imports.model import BadDocument, ImportModel
from billing.catalog.imports.reading import YAML_BYTES_MAX
from tests.billing.import_documents import DECK, KEYS, VALUES, places, spoiled, written
from tests.long import amount

HEAD = '_format_version: "3.0"\n'


def read(folder: Path, text: str, tag: str = "tollbook_partner") -> ImportModel:
    return deck.read(written(folder, text, "kong.yaml"), tag=tag)


def noted(found: ImportModel) -> set[tuple[str, str]]:
    return {(n.address, n.attribute) for n in found.notes}


def test_consumers_keys_and_limits_are_read(tmp_path: Path) -> None:
    """Both ids by which Kong's log may name a caller, each with its partner and plan; keys only as what must not be
    shown.
    """
    found = read(tmp_path, DECK)
    assert [(c.kind, c.id, c.partner, c.plan) for c in found.credentials] == [
        ("consumer", "7d4c1f0e-52b1-4a55-9f2e-0c6a1b9e4d21", "northwind", "consumer group wholesale"),
        ("api_key", "0f1e2d3c-0001-4000-8000-000000000001", "northwind", "consumer group wholesale"),
        ("consumer", "9a8b7c6d-52b1-4a55-9f2e-0c6a1b9e4d22", "globex", "consumer globex"),
        ("api_key", None, "globex", "consumer globex"),
        ("consumer", "00000000-52b1-4a55-9f2e-0c6a1b9e4d23", None, None),
    ]
    assert [(p.name, p.quotas, p.rate_per_s) for p in found.plans] == [
        ("wholesale", {"DAY": Decimal(60_000)}, Decimal(100)),
        ("globex", {"DAY": Decimal(50_000)}, Decimal(5)),
    ]
    assert found.secrets == set(KEYS)
    assert found.others == {"upstreams": 1}


def test_what_a_catalog_cannot_say_is_named(tmp_path: Path) -> None:
    """A limit an hour, a limit of a service, a key without its id: each with its place, and no key among them."""
    found = read(tmp_path, DECK)
    assert noted(found) == {
        ("consumer globex", "rate-limiting.hour"),
        ("consumer globex: keyauth_credentials[0]", "id"),
        ("service orders", "rate-limiting"),
    }
    assert all(n.why and n.remedy for n in found.notes)
    assert not any(key in str(n) for n in found.notes for key in KEYS)


# Parts of a configuration, and the (address, attribute) that is named for each.
SHAPES: dict[str, tuple[str, set[tuple[str, str]]]] = {
    "no ids": ("consumers: [{username: a}]", {("consumer a", "id")}),
    "a window of five minutes": (
        "consumers: [{username: a, id: i, plugins: [{name: rate-limiting-advanced, config: {limit: [9], window_size: [300]}}]}]",
        {("consumer a", "rate-limiting-advanced.window of 300 s")},
    ),
    "a day that slides": (
        "consumers: [{username: a, id: i, plugins: [{name: rate-limiting-advanced, config: {limit: [9], window_size: [86400]}}]}]",
        {("consumer a", "rate-limiting-advanced.window_type")},
    ),
    "limits without windows": (
        "consumers: [{username: a, id: i, plugins: [{name: rate-limiting-advanced, config: {limit: [9, 10], window_size: [86400]}}]}]",
        {("consumer a", "rate-limiting-advanced.window_size")},
    ),
    "a limit that is none": (
        "consumers: [{username: a, id: i, plugins: [{name: rate-limiting, config: {day: many}}]}]", {("consumer a", "rate-limiting.day")},
    ),
    "a plugin that is off": (
        "consumers: [{username: a, id: i, plugins: [{name: rate-limiting, enabled: false, config: {day: 5}}]}]", {("consumer a", "rate-limiting")},
    ),
    "a consumer on one route": (
        "plugins: [{name: rate-limiting, consumer: a, route: r, config: {day: 5}}]\nconsumers: [{username: a, id: i}]", {("consumer a", "rate-limiting")},
    ),
    "by address": (
        "consumers: [{username: a, id: i, plugins: [{name: rate-limiting, config: {day: 5, limit_by: ip}}]}]", {("consumer a", "rate-limiting.limit_by")},
    ),
    "everybody's": ("plugins: [{name: rate-limiting, config: {day: 5}}]", {("plugins", "rate-limiting")}),
    "another kind of credential": ("consumers: [{username: a, id: i, jwt_secrets: [{key: k, secret: s}]}]", {("consumer a", "jwt_secrets")}),
    "two groups with limits": (
        """consumers: [{username: a, id: i, groups: [{name: g}, {name: h}]}]
consumer_groups: [{name: g, plugins: &p [{name: rate-limiting, config: {day: 5}}]}, {name: h, plugins: *p}]""",
        {("consumer a", "groups"), ("consumer group g", ""), ("consumer group h", "")},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SHAPES)
def test_each_thing_that_is_not_supported_is_named_once(tmp_path: Path, name: str) -> None:
    """There is no other note, so that people read the list."""
    text, expected = SHAPES[name]
    found = read(tmp_path, HEAD + text)
    assert noted(found) == expected
    assert len(found.notes) == len(expected)


def test_limits_and_keys_at_the_top_of_the_file_belong_to_their_consumers(tmp_path: Path) -> None:
    """As Kong without a database writes it. YAML's merge keys and aliases are in use in such files."""
    text = """
    x: &month {name: rate-limiting, config: {month: 1000000}}
    consumers: [{username: a, id: i, tags: [tollbook_partner:acme]}]
    keyauth_credentials: [{consumer: {id: i}, id: k, key: 123456789}, {consumer: other, id: l, key: x}]
    plugins: [{<<: *month, consumer: a}]
    """
    found = read(tmp_path, HEAD + "\n".join(line[4:] for line in text.splitlines()))
    assert [(c.kind, c.id, c.partner) for c in found.credentials] == [
        ("consumer", "i", "acme"),
        ("api_key", "k", "acme"),
    ]
    assert [p.quotas for p in found.plans] == [{"MONTH": Decimal(1_000_000)}]
    assert "123456789" in found.secrets


def laughs() -> str:
    """Nine levels of nine aliases: a few hundred bytes that stand for 387 million values."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)]
    return HEAD + "\n".join(lines)


# Files that are no configuration, and what the one line says.
BROKEN: dict[str, tuple[str, str]] = {
    "no version": ("consumers: []", "has no supported _format_version"),
    "a version of tomorrow": ('_format_version: "9.0"', "has no supported _format_version"),
    "a list": ("- a", "is not a mapping"),
    "nothing": ("", "is not a mapping"),
    "no YAML": (f"consumers: [\n{KEYS[0]}: *{KEYS[0]}", "invalid YAML from this line on|the alias has no anchor"),
    "a tab": (f"consumers:\n\t- {KEYS[0]}", r"kong\.yaml:2: invalid YAML"),
    "a key that looks like an alias": (f"consumers: [{{key: *{KEYS[0]}}}]", r"kong\.yaml:1: the alias has no anchor"),
    "aliases of aliases": (laughs(), "aliases expand to more than"),
    "a part that contains itself": ("a: &a [*a]", "the alias has no anchor"),
    "a hundred thousand brackets": ("[" * 100_000, "nested deeper than"),
    "a hundred thousand levels": ("{a: " * 100_000, "nested deeper than"),
    "a field twice": ('_format_version: "3.0"\n_format_version: "3.0"', "the mapping has the same field twice"),
    "a field that is a list": ("? [a]\n: b", "a field name is not text"),
    "two documents": (f"{HEAD}---\n{HEAD}", "several documents"),
    "too large": ("#" * (YAML_BYTES_MAX + 1), "is larger than 8 MiB"),
    "a control character": (f"a: {KEYS[0]}\x07", "is not valid YAML"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_one_clear_line_without_any_key(tmp_path: Path, name: str) -> None:
    """The parser's own messages quote what they stumbled over; that may be a key."""
    text, says = BROKEN[name]
    with pytest.raises(BadDocument, match=says) as refused:
        read(tmp_path, text)
    assert "\n" not in str(refused.value)
    assert not any(key in str(refused.value) for key in KEYS)


WHOLE = yaml.load(DECK, Loader=yaml.BaseLoader)  # scalars as text, our own
PLACES = places(WHOLE)[1:]


@pytest.mark.integration
@settings(max_examples=amount(50, 300, 2000), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(PLACES), VALUES)
def test_reading_is_total(tmp_path: Path, place: tuple[str | int, ...], value: Any) -> None:
    """Any value at any place is read, or the result is BadDocument. No message contains a key."""
    message = ""
    try:
        message = " ".join(map(str, read(tmp_path, yaml.safe_dump(spoiled(WHOLE, place, value))).notes))
    except BadDocument as refused:
        message = str(refused)
    assert not any(key in message for key in KEYS)
