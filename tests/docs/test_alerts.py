"""The page on alerts: its examples are what the product sends, and fit the published schema."""

import json
import re
from datetime import datetime
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from aggregate.alerts.messages import event
from schemas.alerts import Alert, Kind, State, Statement

ROOT = Path(__file__).parents[2]
SCHEMA = json.loads((ROOT / "schemas" / "alert.schema.json").read_text())
EXAMPLES = [json.loads(text) for text in re.findall(r"```json\n(.*?)```", (ROOT / "docs" / "alerts.md").read_text(), re.DOTALL)]  # fmt: skip


def statement(data: dict[str, Any], own: str) -> Statement:
    """The statement that an example shows."""
    at, ends_at = (None if data[name] is None else datetime.fromisoformat(data[name]) for name in ("at", "ends_at"))
    alert = Alert(Kind(data["kind"]), data["subject"], data["key"], at, data["evidence"], data["partner"], ends_at)
    return Statement(own, data["number"], State(data["state"]), alert, data["alert_id"], data["events_version"])


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda e: e["type"])
def test_an_example_is_what_is_sent_and_fits_the_schema(example: dict[str, Any]) -> None:
    """Whoever builds a receiver begins with the examples."""
    jsonschema.Draft202012Validator(SCHEMA, format_checker=jsonschema.FormatChecker()).validate(example)
    shown = statement(example["data"], example["id"])
    assert event(shown) == example
    assert shown.alert.alert_id == shown.alert_id
    own = {shown.alert_id, f"{shown.alert_id}-{shown.number}"}
    assert example["id"] in own


def test_the_schema_knows_every_kind_and_refuses_what_is_none() -> None:
    """A kind that is not in the schema would be refused by receivers that check."""
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["$defs"]["data"]["properties"]["kind"]["enum"] == [kind.value for kind in Kind]
    assert SCHEMA["$defs"]["data"]["properties"]["state"]["enum"] == [state.value for state in State]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**EXAMPLES[0], "data": {}}, SCHEMA)


def test_the_page_names_every_kind_that_has_a_detector() -> None:
    """A kind without a line on the page is a message that nobody can look up."""
    from tollbook.alerting.detectors import DETECTORS  # loads billing, which the examples do not need

    page = (ROOT / "docs" / "alerts.md").read_text()
    for detector in DETECTORS:
        assert f"| `{detector.kind}` |" in page, f"docs/alerts.md has no row for {detector.kind}"
