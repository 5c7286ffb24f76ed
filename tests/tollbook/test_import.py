"""`tollbook catalog import`: the diff, the question, the exit codes; what is not expressed; no key anywhere."""

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from billing.catalog.imports.reading import JSON_BYTES_MAX
from tests.billing.import_documents import (
    DECK,
    KEYS,
    POLICY,
    ROLE,
    SECRET,
    USAGE_PLAN,
    api_key,
    changed,
    linked,
    plan,
    resource,
    role,
    role_policy,
    usage_plan,
    written,
)
from tests.tollbook.fixtures import PARTNERS, ROOT, Ended, Here

GOLDEN = ROOT / "tests" / "golden"
TWO = PARTNERS + "  - {id: globex, name: Globex, legal_entity: seller, time_zone: America/New_York}\n"
# Comments as people leave them; a partner without credentials, one in brackets.
COMMENTED = """\
# Who pays. Ask sales before you change a name.
partners:
  - id: northwind
    name: Northwind Traders Ltd   # since 2024
    legal_entity: seller
    time_zone: Europe/London
    plans:
      - {plan: small, valid_from: 2026-01-01, valid_to: 2026-11-01}  # the pilot
    credentials:
      - {kind: consumer, id: c-nw}   # Kong, until the move
      # next: the key of the new gateway

  - {id: globex, name: Globex, legal_entity: seller, time_zone: America/New_York}
"""
NEW = ["--rate-card", "card", "--valid-from", "2026-11-01"]


@pytest.fixture
def catalog(here: Here, monkeypatch: pytest.MonkeyPatch) -> Here:
    (here.catalog / "partners.yaml").write_text(COMMENTED)
    monkeypatch.chdir(here.folder)
    return here


def terraform(here: Here, document: Any, *words: object) -> Ended:
    written(here.folder, document)
    return here.tollbook("catalog", "import", "terraform", "plan.json", "--catalog", "catalog", *words)


def deck(here: Here, *words: object) -> Ended:
    written(here.folder, DECK, "kong.yaml")
    return here.tollbook("catalog", "import", "deck", "kong.yaml", "--catalog", "catalog", *words)


def iam(here: Here, document: Any, *words: object) -> Ended:
    written(here.folder, document, "policy.json")
    return here.tollbook(
        "catalog", "import", "iam", "policy.json", "--catalog", "catalog", "--principal", ROLE, "--partner", "globex", *words
    )  # fmt: skip


def files(here: Here) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in here.catalog.iterdir()}


# One document with everything: a usage plan and its key, a role with a policy, and what a catalog cannot say of them.
EVERYTHING = plan(
    api_key(), usage_plan(api_stages=[{"api_id": "a1b2c3", "stage": "prod", "throttle": []}]), linked(), role(),
    role_policy(
        {**POLICY, "Statement": [*POLICY["Statement"], {"Effect": "Allow", "NotAction": "iam:*", "Resource": "*"}]}
    ),
    resource("aws_s3_bucket_policy.exports", {"policy": "{}"}), resource("aws_subnet.a", {}), resource("aws_subnet.b", {}),
)  # fmt: skip
GOLDENS = {
    "import-terraform": lambda here: terraform(here, EVERYTHING, *NEW, "--dry-run"),
    "import-iam": lambda here: iam(here, POLICY, "--valid-from", "2026-11-01", "--dry-run"),
    "import-deck": lambda here: deck(here, *NEW, "--ignore", "health-*", "--dry-run"),
}


@pytest.mark.parametrize("name", GOLDENS)
def test_the_screen_is_the_one_that_was_looked_at(catalog: Here, name: str) -> None:
    """The diff and what is not expressed, as a person reads them before saying yes."""
    ended = GOLDENS[name](catalog)
    assert (ended.code, ended.err) == (0, "")
    assert ended.out == (GOLDEN / f"{name}.txt").read_text()


def test_the_usage_plan_of_issue_5_is_in_the_catalog_and_the_catalog_is_in_order(catalog: Here) -> None:
    """1,000,000 a MONTH, rate 100, burst 50, one key; nothing is left out; a second run has nothing to do."""
    ended = terraform(catalog, USAGE_PLAN, *NEW, "--yes")
    assert (ended.code, ended.err) == (0, "")
    assert "Not expressed" not in ended.out
    assert catalog.tollbook("catalog", "check", "catalog").code == 0
    made = (catalog.catalog / "imported-terraform.yaml").read_text()
    assert made.partition("plans:\n")[2] == (
        "  # aws_api_gateway_usage_plan.wholesale\n"
        "  - id: wholesale\n    rate_card: card\n    quotas:\n"
        "      - {meter: requests, period: MONTH, limit: 1000000}\n"
        "    throttle: {rate_per_s: 100, burst: 50}\n"
    )
    before = files(catalog)
    again = terraform(catalog, USAGE_PLAN, *NEW, "--yes")
    assert (again.code, again.out, again.err) == (0, "Nothing to change.\n", "")
    assert files(catalog) == before


def test_the_policy_of_issue_5_is_in_the_catalog_as_it_was_agreed(catalog: Here) -> None:
    """Two actions on a bucket and its objects from one network, one function from anywhere. Twice is once."""
    ended = iam(catalog, POLICY, "--yes")
    assert (ended.code, ended.err) == (0, "")
    assert "Not expressed" not in ended.out
    assert catalog.tollbook("catalog", "check", "catalog").code == 0
    text = (catalog.catalog / "partners.yaml").read_text()
    assert (
        "actions: [s3:GetObject, s3:ListBucket], resources: " in text.replace("\n", " ")
        or "networks: [203.0.113.0/24]" in text
    )
    assert iam(catalog, POLICY, "--yes").out == "Nothing to change.\n"


def test_without_a_yes_nothing_is_written(catalog: Here) -> None:
    """A scheduler that forgot --yes is told so; --dry-run is a look, and no refusal."""
    before = files(catalog)
    refused = terraform(catalog, USAGE_PLAN, *NEW)
    assert (refused.code, refused.complaints) == (
        1,
        ["nothing was written; add --yes to write, or --dry-run to only show the changes"],
    )
    assert "+++ catalog/partners.yaml" in refused.out
    look = terraform(catalog, USAGE_PLAN, *NEW, "--dry-run")
    assert (look.code, look.err, look.out) == (0, "", refused.out)
    assert files(catalog) == before


@pytest.mark.sampled(keep=2)
@pytest.mark.parametrize(("answer", "code"), [(b"y\n", 0), (b"yes\n", 0), (b"n\n", 1), (b"\n", 1), (b"\x04", 1)])
def test_a_person_at_a_terminal_is_asked_and_shown_colours(catalog: Here, answer: bytes, code: int) -> None:
    """Added lines are green, and only a yes writes."""
    written(catalog.folder, USAGE_PLAN)
    words = ["catalog", "import", "terraform", "plan.json", "--catalog", "catalog", *NEW]
    ours, theirs = pty.openpty()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color", "COLUMNS": "200"}
    environment.pop("NO_COLOR", None)
    with subprocess.Popen(
        [sys.executable, "-m", "tollbook", *words], cwd=catalog.folder, stdin=theirs, stdout=theirs, stderr=theirs, env=environment
    ) as process:  # fmt: skip
        os.close(theirs)
        shown = b""
        while b"[y/N]" not in shown:
            shown += os.read(ours, 4096)
        os.write(ours, answer)
        assert process.wait(30) == code
    os.close(ours)
    assert re.search(rb"\x1b\[32m\+ +- \{kind: api_key, id: q7w8e9r0t1", shown)
    assert re.search(rb"\x1b\[31m|\x1b\[36m@@", shown)
    assert (catalog.catalog / "imported-terraform.yaml").exists() == (code == 0)


def test_all_problems_are_reported_at_once(catalog: Here) -> None:
    """Two keys without a partner, a plan without prices: one run tells it all, each with the option that says it."""
    document = plan(
        api_key(tags={}),
        usage_plan(),
        linked(),
        api_key("aws_api_gateway_api_key.other", "zz1", tags={"tollbook_partner": "nobody"}),
    )
    ended = terraform(catalog, document)
    assert (ended.code, ended.out) == (2, "")
    assert [c.split(" ")[0] for c in ended.complaints] == [
        "aws_api_gateway_api_key.northwind",
        "aws_api_gateway_api_key.other",
    ]
    tagged = terraform(catalog, USAGE_PLAN)
    assert tagged.code == 2
    assert [re.findall(r"pass (--[a-z-]+)", c) for c in tagged.complaints] == [["--rate-card"], ["--valid-from"]]


def test_partners_are_told_by_option_or_file(catalog: Here) -> None:
    """Where the gateway has no tags."""
    document = plan(
        api_key(tags={}), usage_plan(), linked(), api_key("aws_api_gateway_api_key.internal", "zz1", tags={})
    )
    option = terraform(
        catalog, document, *NEW, "--partner", "*.northwind=northwind", "--ignore", "*.internal", "--dry-run"
    )
    assert option.code == 0
    assert "Ignored by your rules: aws_api_gateway_api_key.internal." in option.out
    (catalog.folder / "partners-of.yaml").write_text("q7w8e9r0t1: northwind   # by id\n'*internal': null\n")
    assert terraform(catalog, document, *NEW, "--partners", "partners-of.yaml", "--dry-run") == option


# Wrong use: words, and what the one line says.
WRONG: dict[str, tuple[list[object], str]] = {
    "no such file": (["terraform", "missing.json"], r"missing\.json: No such file"),
    "a folder": (["terraform", "."], r"Is a directory"),
    "not JSON": (["terraform", "catalog/partners.yaml"], r"is not valid JSON .*; pass the output of `terraform show -json`"),
    "a policy for a plan": (["terraform", "policy.json"], r"has no format_version"),
    "a plan for a policy": (["iam", "plan.json", "--principal", ROLE, "--partner", "globex"], r"is not an IAM policy"),
    "JSON that is no policy": (["iam", "list.json", "--principal", ROLE, "--partner", "globex"], r"list\.json is not a JSON object"),
    "no ARN": (["iam", "policy.json", "--principal", "export", "--partner", "globex"], r"--principal 'export' is not an ARN"),
    "a partner who is not there": (["iam", "policy.json", "--principal", ROLE, "--partner", "nobody"], r"partner 'nobody', which is not in the catalog"),
    "JSON for YAML": (["deck", "list.json"], r"is not a mapping"),
    "no format": (["deck", "catalog/partners.yaml"], r"has no supported _format_version"),
    "a rule without a partner": (["terraform", "plan.json", "--partner", "x"], r"--partner 'x' does not have the form PATTERN=ID"),
    "a plan's rule without a plan": (["terraform", "plan.json", "--plan", "x="], r"--plan 'x=' does not have the form PATTERN=ID"),
    "rules that are none": (["terraform", "plan.json", "--partners", "list.json"], r"is not a mapping; pass a mapping of patterns"),
    "a rule of a list": (["terraform", "plan.json", "--partners", "rules.yaml"], r"a needs the id of one partner"),
    "a day that is none": (["terraform", "plan.json", "--valid-from", "soon"], r"--valid-from.*\"soon\".* See `tollbook catalog import terraform --help`"),
    "a name that leads away": (["terraform", "plan.json", "--name", "../x", *NEW], r"--name '\.\./x' is not valid"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_wrong_use_is_one_clear_line(catalog: Here, name: str) -> None:
    """What is wrong, and what to give instead; exit code 2; nothing is touched."""
    written(catalog.folder, USAGE_PLAN)
    written(catalog.folder, POLICY, "policy.json")
    written(catalog.folder, "[]", "list.json")
    written(catalog.folder, "a: [b]", "rules.yaml")
    words, says = WRONG[name]
    before = files(catalog)
    ended = catalog.tollbook("catalog", "import", *words, "--catalog", "catalog", "--yes")
    assert (ended.code, ended.out) == (2, "")
    (line,) = ended.complaints
    assert re.search(says, line), line
    assert files(catalog) == before


def test_a_catalog_that_is_not_there_or_a_file_is_refused(catalog: Here) -> None:
    """An import has a file of its own, which needs a folder."""
    written(catalog.folder, USAGE_PLAN)
    for place, says in (("nowhere", "not a folder"), ("catalog/partners.yaml", "not a folder")):
        ended = catalog.tollbook("catalog", "import", "terraform", "plan.json", "--catalog", place, *NEW, "--yes")
        assert (ended.code, len(ended.complaints)) == (2, 1)
        assert says in ended.complaints[0]


def test_a_document_of_a_hundred_megabytes_is_not_read(catalog: Here) -> None:
    """A hole of that size: what would fill the memory is refused after the first bytes too many."""
    file = catalog.folder / "plan.json"
    with file.open("wb") as opened:
        opened.truncate(100 << 20)
    ended = catalog.tollbook("catalog", "import", "terraform", "plan.json", "--catalog", "catalog")
    assert (ended.code, ended.out) == (2, "")
    assert ended.complaints == [
        f"plan.json is larger than {JSON_BYTES_MAX >> 20} MiB; pass the output of `terraform show -json` for a plan or a state"
    ]


def test_a_document_may_come_through_a_pipe(catalog: Here) -> None:
    """A state need not lie on a disk: it holds every secret."""
    words = ["catalog", "import", "terraform", "/dev/stdin", "--catalog", "catalog", *NEW, "--yes"]
    ended = subprocess.run(
        [sys.executable, "-m", "tollbook", *words], cwd=catalog.folder, input=json.dumps(USAGE_PLAN), text=True, capture_output=True,
        check=False, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert (ended.returncode, ended.stderr) == (0, "")
    assert (catalog.catalog / "imported-terraform.yaml").exists()


def test_no_key_of_a_document_is_ever_shown_or_written(catalog: Here) -> None:
    """Not in a diff, a message, JSON or a file; neither where all goes well nor where it does not."""
    calls = [
        terraform(catalog, EVERYTHING, *NEW, "--dry-run", "--json"), terraform(catalog, changed(EVERYTHING, format_version="7"), *NEW),
        terraform(catalog, plan(api_key(tags={}))), deck(catalog), deck(catalog, *NEW, "--ignore", "health-*", "--json", "--dry-run"),
        terraform(catalog, EVERYTHING, *NEW, "--yes"), deck(catalog, *NEW, "--ignore", "*", "--yes"),
    ]  # fmt: skip
    assert {e.code for e in calls} == {0, 2}
    shown = "".join(e.out + e.err for e in calls) + b"".join(files(catalog).values()).decode()
    assert "q7w8e9r0t1" in shown
    assert not [key for key in (SECRET, *KEYS) if key in shown]


def test_a_name_from_a_document_cannot_paint_the_terminal(catalog: Here) -> None:
    """An address may hold any character that a for_each key holds."""
    document = plan(api_key('aws_api_gateway_api_key.k["\x1b[2J\nplans: []"]'), usage_plan(), linked())
    ended = terraform(catalog, document, *NEW, "--yes")
    assert ended.code == 0
    assert "\x1b" not in ended.out + (catalog.catalog / "partners.yaml").read_text()
    assert catalog.tollbook("catalog", "check", "catalog").code == 0


def test_json_tells_a_program_all_of_it(catalog: Here) -> None:
    """What changed, what is not expressed, what was written."""
    look = terraform(catalog, EVERYTHING, *NEW, "--dry-run", "--json").json
    assert (look["changed"], look["written"]) == (True, False)
    assert [Path(f).name for f in look["files"]] == [
        "imported-terraform.yaml",
        "partners.yaml",
        "imported-terraform.json",
    ]
    assert {n["address"] for n in look["not_expressed"]} == {
        "aws_api_gateway_usage_plan.wholesale", "aws_iam_role_policy.export", "aws_s3_bucket_policy.exports",
    }  # fmt: skip
    assert look["others"] == {"aws_subnet": 2}
    assert terraform(catalog, EVERYTHING, *NEW, "--json").code == 1
    assert terraform(catalog, EVERYTHING, *NEW, "--yes", "--json").json["written"] is True
    again = terraform(catalog, EVERYTHING, *NEW, "--yes", "--json").json
    assert (again["changed"], again["written"], again["files"]) == (False, False, [])
    json.dumps(again)
