"""OpenMeter's own meter definitions, unchanged, as meters of the catalog."""

import json
from pathlib import Path
from typing import Any

import pytest

from billing.catalog import loading, openmeter
from billing.catalog.imports import proposal
from billing.catalog.imports.model import BadDocument
from schemas.catalog.meters.meter import Meter
from tests.billing.catalogs import written
from tests.billing.import_documents import OPENMETER


def imported(tmp_path: Path, text: str) -> tuple[dict[str, Meter], list[str]]:
    """The meters of the catalog after an import of the document, and its notes."""
    folder, file = written(tmp_path / "catalog"), tmp_path / "config.yaml"
    file.write_text(text)
    found = openmeter.propose(folder, file, name="openmeter")
    proposal.write(found)
    return {meter.id: meter for meter in loading.load(folder).meters}, [str(note) for note in found.notes]


def test_each_definition_becomes_a_meter_of_its_id(tmp_path: Path) -> None:
    meters, notes = imported(tmp_path, OPENMETER)

    def made(**fields: Any) -> Meter:
        return Meter.model_validate(fields)

    prompt = {"types": ["prompt"]}
    assert meters["api_requests_total"] == made(
        id="api_requests_total", description="API Requests", aggregate="count", unit="events",
        filter={"types": ["request"]}, group_by={"method": "$.method", "route": "$.route"},
    )  # fmt: skip
    assert meters["tokens_total"] == made(
        id="tokens_total", description="AI Token Usage", aggregate="sum", quantity="tokens", unit="tokens",
        filter=prompt, value_property="$.tokens", group_by={"model": "$.model", "type": "$.type"},
    )  # fmt: skip
    total = {"quantity": "usage.total", "unit": "usage.total", "filter": prompt, "value_property": "$.usage.total"}
    assert meters["largest"] == made(id="largest", aggregate="max", **total)
    assert meters["smallest"] == made(id="smallest", aggregate="min", **total)
    assert meters["newest"].aggregate == "latest"
    assert meters["users"] == made(
        id="users", aggregate="unique", attribute="user", unit="user", filter=prompt, value_property="$.user"
    )
    assert {"average", "first_item"}.isdisjoint(meters)
    assert notes == [
        "average: aggregation: the catalog has no AVG; the meter was not imported; write one for it by hand",
        "first_item: valueProperty: it is not a path of names, such as $.tokens; the meter was not imported; write one for it by hand",
    ]


def test_a_second_import_adds_what_is_new_and_changes_nothing(tmp_path: Path) -> None:
    """What a person has added to a meter stays, and another definition is told."""
    imported(tmp_path, OPENMETER)
    file = tmp_path / "catalog" / "imported-openmeter.yaml"
    file.write_text(file.read_text().replace("unit: tokens", "unit: thousand tokens\n    divide_by: 1000", 1))
    again = OPENMETER.replace("slug: average\n    eventType: prompt\n    aggregation: AVG", "slug: average\n    eventType: prompt\n    aggregation: SUM")  # fmt: skip
    meters, notes = imported(tmp_path, again.replace("aggregation: LATEST", "aggregation: SUM"))
    assert meters["tokens_total"].divide_by == 1000
    assert meters["average"].aggregate == "sum"
    assert meters["newest"].aggregate == "latest"
    assert notes[0] == "newest: the catalog has another meter of this id; the catalog stays unchanged"
    (tmp_path / "config.yaml").write_text(again)
    assert openmeter.propose(tmp_path / "catalog", tmp_path / "config.yaml", name="openmeter").is_nothing


def test_the_answer_of_the_api_is_read_as_well(tmp_path: Path) -> None:
    meter = {
        "id": "01G65Z755AFWAKHE12NY0CQ9FH", "slug": "tokens_total", "name": "Tokens", "aggregation": "SUM",
        "eventType": "prompt", "valueProperty": "$.tokens", "groupBy": {"model": "$.model"}, "eventFrom": "2023-01-01T01:01:01.001Z",
        "metadata": {"externalId": "x"}, "createdAt": "2023-01-01T01:01:01.001Z", "updatedAt": "2023-01-01T01:01:01.001Z",
    }  # fmt: skip
    for n, document in enumerate((meter, {"items": [meter], "totalCount": 1})):
        folder = tmp_path / str(n)
        folder.mkdir()
        meters, notes = imported(folder, json.dumps(document))
        assert meters["tokens_total"].description == "Tokens"
        assert notes == [
            "tokens_total: eventFrom: the catalog has no such setting; the meter counts without it",
        ]


def test_a_document_without_meters_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadDocument, match="has no meters; pass OpenMeter's configuration"):
        imported(tmp_path, "ingest: {}\n")
