"""docs/http.md: its tables are those of the program, and its files can be used."""

import json
import re
from http import HTTPStatus

import pytest

from ingest.http.producers import parsed
from ingest.http.responses import _STATUS
from tests.docs.pages import ROOT, block, names_in_first_column, rows, section
from tollbook.cli.app import app

PAGE = "docs/http.md"
KAFKA = {
    "--bootstrap-servers",
    "--prefix",
    "--security",
    "--sasl-mechanism",
    "--sasl-username",
    "--sasl-password-file",
    "--ca-file",
}


def test_every_option_is_explained_and_every_explained_one_exists() -> None:
    """Flag, variable and default; those of Kafka stand on their own page."""
    offered = set()
    for argument in app["serve"].assemble_argument_collection(parse_docstring=True):
        flags = [each for each in argument.names if each.startswith("--") and not each.startswith("--no-")]
        if flags and argument.parse and flags[0] not in KAFKA:
            (variable,) = argument.parameter.env_var or ("",)
            default = argument.field_info.default
            offered.add((flags[0], variable, "" if default in {argument.field_info.empty, None, ""} else str(default)))
    documented = {
        tuple(cell.strip("`") for cell in row[:3]) for row in rows(section(PAGE, "Options")) if row[0].startswith("`--")
    }
    assert documented == offered
    assert all(f"`{flag}`" in section(PAGE, "Options") for flag in KAFKA)


def test_every_status_is_explained() -> None:
    """What a sender does next depends on it."""
    documented = {int(status) for row in rows(section(PAGE, "Answers")) for status in re.findall(r"\b\d{3}\b", row[0])}
    assert documented == {HTTPStatus.NO_CONTENT, HTTPStatus.MULTI_STATUS, *_STATUS.values()}


@pytest.mark.parametrize("name", ["producers", "issuers"])
def test_the_files_of_the_page_can_be_used(name: str) -> None:
    """A person begins with a copy."""
    assert parsed(block(PAGE, name)).producers


def test_the_example_of_the_repository_can_be_used() -> None:
    """Without keys nobody gets in: nothing in it is a secret that everybody knows."""
    found = parsed((ROOT / "examples" / "producers.yaml").read_text())
    assert not [key for producer in found.producers for key in producer.keys]


def test_every_content_type_is_explained() -> None:
    """As the published document has them."""
    document = json.loads((ROOT / "schemas" / "openapi.json").read_text())
    known = set(document["paths"]["/api/v1/events"]["post"]["requestBody"]["content"])
    assert {name for name in names_in_first_column(section(PAGE, "What can be sent")) if "/" in name} == known
