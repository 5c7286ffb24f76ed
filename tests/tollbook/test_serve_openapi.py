"""The OpenAPI document: it is current, true of every answer, and what can be made of it finds no server error."""

import json
import re
from collections.abc import Iterator
from http import HTTPStatus

import jsonschema
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from ingest.http import api
from ingest.http.responses import _STATUS, Code
from tests.conftest import own_prefix
from tests.long import amount
from tests.tollbook.fixtures import ROOT
from tests.tollbook.serving import EDGE, HttpServer, running_server

FILE = ROOT / "schemas" / "openapi.json"
DOCUMENT = json.loads(FILE.read_text())
OPERATION = schemathesis.openapi.from_dict(DOCUMENT)["/api/v1/events"]["POST"]
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


@pytest.fixture(scope="module")
def shared(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpServer]:
    """One server for all that is made up."""
    with own_prefix(kafka) as prefix, running_server(kafka, prefix, tmp_path_factory.mktemp("serve")) as opened:
        yield opened


def test_the_published_document_is_what_the_server_gives(shared: HttpServer) -> None:
    """Made anew by: python -m ingest.http.api > schemas/openapi.json"""
    assert api.document() == FILE.read_text()
    assert shared.client.get(api.OPENAPI).json() == DOCUMENT


def test_the_document_is_valid_and_complete() -> None:
    """Every status that there is a code for is documented, and every operation says who may call it."""
    assert DOCUMENT["openapi"].startswith("3.1")
    for path in DOCUMENT["paths"].values():
        for operation in path.values():
            assert operation["security"] == [{"bearer": []}]
            for answer in operation["responses"].values():
                for content in answer.get("content", {}).values():
                    jsonschema.Draft202012Validator.check_schema(content["schema"])
    documented = {int(status) for status in DOCUMENT["paths"]["/api/v1/events"]["post"]["responses"]}
    elsewhere = {HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED}
    assert documented == {204, 207} | (set(_STATUS.values()) - elsewhere)
    assert set(_STATUS) == set(Code)


@settings(max_examples=amount(4, 60), derandomize=True, suppress_health_check=list(HealthCheck))
@given(OPERATION.as_strategy(generation_mode=schemathesis.GenerationMode.POSITIVE))
def test_what_the_document_allows_is_answered_as_it_says(shared: HttpServer, case: schemathesis.Case) -> None:
    """Made-up events are mostly nobody's, so most are refused: by a reason, never by a failure."""
    tried(shared, case)


@settings(max_examples=amount(4, 60), derandomize=True, suppress_health_check=list(HealthCheck))
@given(OPERATION.as_strategy(generation_mode=schemathesis.GenerationMode.NEGATIVE))
def test_what_the_document_forbids_is_answered_as_it_says(shared: HttpServer, case: schemathesis.Case) -> None:
    """Wrong types, missing fields, odd headers."""
    tried(shared, case)


def tried(shared: HttpServer, case: schemathesis.Case) -> None:
    answer = case.call(base_url=shared.url, headers={"Authorization": f"Bearer {EDGE.text}"}, timeout=60)
    case.validate_response(answer, checks=CHECKS)
    assert not re.search(r"Traceback|site-packages", answer.text)
