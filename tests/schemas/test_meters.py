"""Meters over quantities: which combinations the catalog takes, and what it says about the others."""

from typing import Any

import pytest
from pydantic import ValidationError

from schemas.catalog import checks
from schemas.catalog.meters.meter import Meter
from schemas.catalog.records import Catalog
from tests.billing.catalogs import document

TOKENS: dict[str, Any] = {"id": "tokens", "aggregate": "sum", "quantity": "tokens", "unit": "tokens"}
PROMPTS = {"filter": {"types": ["prompt"]}}


def with_meters(*meters: dict[str, Any], quota: str | None = None) -> list[str]:
    """The problems of a catalog with these meters more, and perhaps a quota on one of them."""
    made = document()
    made["meters"] = [*made["meters"], *(meter | {"billable": "false"} for meter in meters)]
    if quota is not None:
        made["plans"][0]["quotas"] = [{"meter": quota, "period": "MONTH", "limit": "5"}]
    return [problem.message for problem in checks.problems(Catalog.model_validate(made))]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"aggregate": "sum"}, "needs a `field` or a `quantity`"),
        ({"aggregate": "sum", "quantity": "q", "field": "latency_us"}, "only one of them"),
        ({"aggregate": "count", "quantity": "q"}, "remove `field`, `quantity` and `attribute`"),
        ({"aggregate": "max"}, "`max` needs a `quantity` alone"),
        ({"aggregate": "latest", "field": "latency_us"}, "`latest` needs a `quantity` alone"),
        ({"aggregate": "unique", "quantity": "q"}, "`unique` needs an `attribute` alone"),
        ({"aggregate": "sum", "quantity": "q", "value_property": "$.q"}, "list the types in `filter.types`"),
        ({"aggregate": "count", "group_by": {"model": "$.model"}}, "list the types in `filter.types`"),
        ({"aggregate": "count", "value_property": "$.q", **PROMPTS}, "add `quantity`, or `attribute` for `unique`"),
        ({"aggregate": "max", "quantity": "q", "itemize_by": "customer"}, "do not add up"),
        ({"aggregate": "unique", "attribute": "user", "itemize_by": "customer"}, "do not add up"),
    ],
)
def test_a_meter_that_cannot_be_meant_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Meter.model_validate({"id": "m", "unit": "u", **fields})


@pytest.mark.parametrize("path", ["tokens", "$", "$.a..b", "$.a[0]", "$['a']", "$." + ".".join("abcdefghi")])
def test_a_property_is_a_path_of_names(path: str) -> None:
    with pytest.raises(ValidationError, match="value_property"):
        Meter.model_validate({**TOKENS, **PROMPTS, "value_property": path})


def test_what_only_single_events_know_makes_a_meter_measured() -> None:
    """The others are summed from rollups, as before there were quantities."""
    ordinary = Meter.model_validate({"id": "m", "aggregate": "sum", "field": "response_bytes", "unit": "bytes"})
    assert not ordinary.is_measured
    for measured in (
        TOKENS,
        {"id": "m", "aggregate": "count", "unit": "events", **PROMPTS},
        {"id": "m", "aggregate": "count", "unit": "events", "filter": {"attributes": {"model": ["large"]}}},
        {"id": "m", "aggregate": "count", "unit": "events", "itemize_by": "customer"},
        {"id": "m", "aggregate": "unique", "attribute": "user", "unit": "users"},
    ):
        assert Meter.model_validate(measured).is_measured, measured


def test_the_canonical_text_has_no_order_of_attributes() -> None:
    """Otherwise two equal catalogs would make two closes."""
    one = {"group_by": {"a": "$.a", "b": "$.b"}, "filter": {"types": ["t"], "attributes": {"a": ["1"], "b": ["2"]}}}
    two = {"group_by": {"b": "$.b", "a": "$.a"}, "filter": {"types": ["t"], "attributes": {"b": ["2"], "a": ["1"]}}}
    texts = {Meter.model_validate(TOKENS | fields).model_dump_json(exclude_defaults=True) for fields in (one, two)}
    assert len(texts) == 1


def test_a_name_has_one_path_in_the_events_of_a_type() -> None:
    """Ingest keeps one value under a name."""
    first = {**TOKENS, **PROMPTS, "value_property": "$.tokens", "group_by": {"model": "$.model"}}
    same = first | {"id": "again", "aggregate": "max"}
    other_type = first | {"id": "other", "filter": {"types": ["image"]}, "value_property": "$.pixels"}
    assert with_meters(first, same, other_type) == []
    (problem,) = with_meters(first, same | {"value_property": "$.usage.tokens"})
    assert problem == (
        "quantity 'tokens' of 'prompt' is read from $.tokens for meter tokens and from $.usage.tokens here; "
        "give one of the two another name"
    )
    (problem,) = with_meters(first, same | {"group_by": {"model": "$.engine"}})
    assert problem.startswith("attribute 'model' of 'prompt' is read from $.model")


def test_a_quota_needs_a_running_sum() -> None:
    (problem,) = with_meters(TOKENS | {"aggregate": "max"}, quota="tokens")
    assert "is the `max` of a period, which does not add up" in problem
