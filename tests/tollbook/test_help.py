"""Help: every command has it, with an example that works as it is written; JSON wherever it is offered."""

import inspect
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from cyclopts import App

from tests.billing.import_documents import OPENMETER, POLICY, written
from tests.tollbook.fixtures import ROOT, Here, process, requests
from tests.tollbook.fixtures import ended as end_of
from tollbook.cli.app import app
from tollbook.cli.errors import EXIT_CODES


def commands(found: App, place: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], App]]:
    """Every command and group below `found`, by its words, without --help and --version."""
    yield place, found
    for name in found:
        if not name.startswith("-"):
            yield from commands(found[name], (*place, name))


ALL = dict(commands(app))
COMMANDS = {place: found for place, found in ALL.items() if found.default_command is not None}
WITH_JSON = [
    place for place, found in COMMANDS.items() if "json" in inspect.signature(found.default_command).parameters
]


def ids(places: object) -> list[str]:
    return [" ".join(("tollbook", *place)) for place in places]  # type: ignore[attr-defined]


def example(text: str) -> list[str]:
    """The words of the example in a help text, which may be wrapped."""
    found = re.search(r"Example: (tollbook .*?)(?:\n\n|\n╭|\Z)", text, re.DOTALL)
    assert found, f"no example in:\n{text}"
    return shlex.split(" ".join(found[1].split()))


@pytest.mark.parametrize("place", ALL, ids=ids(ALL))
def test_every_command_has_help_with_an_example_that_can_be_typed(here: Here, place: tuple[str, ...]) -> None:
    """An example with an option that was renamed teaches what is not there. Only parsed: it writes nothing."""
    shown = here.tollbook(*place, "--help")
    assert shown.code == 0
    assert shown.err == ""
    assert shown.out.startswith(" ".join(("Usage: tollbook", *place)))
    name, *words = example(shown.out)
    assert name == "tollbook"
    assert tuple(words[: len(place)]) == place
    command, _, _ = app.parse_args(words, exit_on_error=False, print_error=False)
    assert command in [found.default_command for found in COMMANDS.values()]


@pytest.mark.parametrize("place", COMMANDS, ids=ids(COMMANDS))
def test_every_option_says_what_it_is_for(place: tuple[str, ...]) -> None:
    """An option without a word of help is known to its author alone."""
    for argument in COMMANDS[place].assemble_argument_collection(parse_docstring=True):
        if argument.parse and argument.show:
            assert argument.parameter.help, argument.name


@pytest.mark.parametrize("place", [p for p in ALL if p not in COMMANDS], ids=lambda p: " ".join(("tollbook", *p)))
def test_a_group_without_a_command_shows_its_help(here: Here, place: tuple[str, ...]) -> None:
    """`tollbook` alone is what a newcomer types first."""
    assert here.tollbook(*place) == here.tollbook(*place, "--help")


def test_the_exit_codes_stand_in_the_help_of_the_command_and_nowhere_else(here: Here) -> None:
    """Whoever writes the scheduler's entry finds them in one place."""
    shown = here.tollbook("--help").out
    listed = {
        int(code): meaning
        for code, meaning in re.findall(r"^ {2,4}(\d+)  (.+)$", shown.partition("Exit codes:")[2], re.MULTILINE)
    }
    assert listed == EXIT_CODES, "a meaning that is wrapped"
    assert "Exit codes:" not in here.tollbook("run", "--help").out


def test_the_version_is_that_of_the_distribution(here: Here) -> None:
    """What a bug report names."""
    assert re.fullmatch(r"\d+\.\d+\.\d+\n", here.tollbook("--version").out)


def test_python_m_tollbook_is_the_command(here: Here) -> None:
    """Both ways to start it are one."""
    assert end_of(process(["formats", "--json"], folder=here.folder)) == here.tollbook("formats", "--json")


# How to call each command that offers JSON; CATALOG and LAKE stand for the options. Kafka's have tests of their own.
CALLS: dict[tuple[str, ...], list[str]] = {
    ("run",): ["CATALOG", "LAKE", "--format", "kong", "--source", "edge", "more.log"],
    ("usage",): ["acme", "CATALOG", "LAKE", "--period", "2026-10"],
    ("outside",): ["acme", "CATALOG", "LAKE", "--period", "2026-10"],
    ("neighbours",): ["CATALOG", "LAKE"],
    ("verify",): ["LAKE"],
    ("settle",): ["LAKE"],
    ("lake", "stats"): ["LAKE"],
    ("lake", "compact"): ["LAKE"],
    ("lake", "upgrade"): ["LAKE", "--without-backup"],
    ("formats",): [],
    ("formats", "detect"): ["a.log"],
    ("dead", "list"): ["LAKE"],
    ("dead", "show"): ["LETTER", "LAKE"],
    ("dead", "redrive"): ["CATALOG", "LAKE", "--format", "kong", "--source", "edge"],
    ("alerts", "list"): ["LAKE"],
    ("alerts", "show"): ["ALERT", "LAKE"],
    ("retention",): ["LAKE", "--days", "90", "--now", "2026-11-05"],
    ("catalog", "check"): ["catalog"],
    ("catalog", "import", "terraform"): ["plan.json", "CATALOG", "--dry-run"],
    ("catalog", "import", "deck"): ["kong.yaml", "CATALOG", "--dry-run"],
    ("catalog", "import", "openmeter"): ["config.yaml", "CATALOG", "--dry-run"],
    ("catalog", "import", "iam"): [
        "policy.json",
        "CATALOG",
        "--principal",
        "arn:aws:iam::1:role/x",
        "--partner",
        "acme",
        "--dry-run",
    ],
    ("quota", "grant"): ["acme", "requests", "5", "CATALOG", "LAKE", "--until", "2126-10-08", "--reason", "launch"],
    ("quota", "grants"): ["LAKE"],
    ("quota", "state"): ["CATALOG", "LAKE"],
    ("producers", "list"): ["--producers", "producers.yaml"],
    ("invoice", "rate"): ["CATALOG", "LAKE", "--period", "2026-10"],
    ("invoice", "accruals"): ["CATALOG", "LAKE", "--at", "2026-10-31"],
    ("invoice", "preview"): ["CATALOG", "LAKE", "--now", "2026-10-20"],
    ("catalog", "diff"): ["catalog", "catalog", "LAKE", "--period", "2026-10"],
    ("invoice", "close"): ["CATALOG", "LAKE", "--period", "2026-10", "--now", "2026-11-05"],
    ("invoice", "issue"): ["LAKE", "--period", "2026-10", "--now", "2026-11-05"],
    ("invoice", "list"): ["LAKE", "--period", "2026-10", "--partner", "acme"],
    ("invoice", "send"): ["S-2026-000001", "LAKE", "--now", "2026-11-05"],
    ("invoice", "open"): ["LAKE", "--on", "2026-11-05"],
    ("invoice", "show"): ["S-2026-000001", "LAKE"],
    ("invoice", "verify"): ["LAKE"],
    ("invoice", "unbilled"): ["LAKE"],
    ("invoice", "reprice"): ["CATALOG", "LAKE", "--period", "2026-10"],
    ("invoice", "adjust"): ["LAKE", "--period", "2026-10", "--now", "2026-11-05"],
    ("credits", "statement"): ["acme", "CATALOG", "LAKE", "--now", "2026-11-05"],
    ("payments", "import"): ["paid.csv", "LAKE", "--now", "2026-11-05"],
    ("invoice", "credit"): ["S-2026-000001", "LAKE", "--amount", "1", "--reason", "outage", "--now", "2026-11-05"],
    ("invoice", "rebill"): ["S-2026-000001", "CATALOG", "LAKE", "--reason", "wrong price", "--now", "2026-11-05"],
    ("invoice", "void"): ["S-2026-000002", "LAKE", "--reason", "wrong company", "--now", "2026-11-05"],
}
PAID = "transaction_id,date,amount,currency,number\nt1,2026-11-04,10.00,EUR,S-2026-000001\n"
# They send to others: test_alerts_command.py and test_aws.py have them before a receiver.
SENDING = {("alerts", "test"), ("alerts", "replay"), ("aws", "enforce")}
# They need the keys of people: test_approving.py has them.
SIGNING = {("invoice", "propose"), ("invoice", "approve")}
WITHOUT_KAFKA = [
    p
    for p in WITH_JSON
    if "kafka" not in inspect.signature(COMMANDS[p].default_command).parameters and p not in SENDING | SIGNING
]


def test_json_is_json_wherever_it_is_offered(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    """One month from logs to invoices, each step read by a program: one JSON value on standard output, and nothing
    else.
    """
    monkeypatch.chdir(here.folder)
    here.log("a.log", *requests(5), b"no JSON at all\n")
    here.log("more.log", *requests(60, step_ms=7_000, start_ms=1_790_900_000_000))
    written(here.folder, {"format_version": "1.0"})
    written(here.folder, POLICY, "policy.json")
    written(here.folder, '_format_version: "3.0"', "kong.yaml")
    written(here.folder, OPENMETER, "config.yaml")
    assert here.run("a.log").code == 0
    written(here.folder, PAID, "paid.csv")
    (here.folder / "producers.yaml").write_text((ROOT / "examples" / "producers.yaml").read_text())
    assert set(CALLS) == set(WITHOUT_KAFKA)
    options = {"CATALOG": ["--catalog", "catalog"], "LAKE": ["--lake", "lake"]}
    given = {}
    for place, call in CALLS.items():
        ended = here.tollbook(*place, *(word for part in call for word in options.get(part, [part])), "--json")
        assert (ended.code, ended.err) == (0, ""), place
        given[place] = json.loads(ended.out)
        if place == ("dead", "list"):
            options["LETTER"] = [given[place]["entries"][0]["letter"]]
        if place == ("alerts", "list"):
            options["ALERT"] = [given[place][0]["alert_id"]]
    assert given["run",]["counted"] == 60
    assert [a["threshold_percent"] for a in given["run",]["alerts"]] == ["50"]
    assert given["usage",]["by_day_and_route"][0]["quantity"] == "5"
    assert given["usage",]["sums"][0]["quantity"] == "65"
    assert given["outside",] == []
    assert [p["partner_id"] for p in given["neighbours",]["partners"]] == ["acme"]
    assert given["verify",]["ok"] is True
    assert [(a["kind"], a["state"], a["number"]) for a in given["alerts", "list"]] == [("quota", "fired", 1)]
    assert given["alerts", "show"] == given["alerts", "list"]
    assert given["dead", "list"]["by_reason"][0]["reason"] == "NOT_JSON"
    assert given["dead", "list"]["entries"][0]["file"] == "a.log"
    assert given["dead", "show"]["raw"] == "no JSON at all"
    assert given["dead", "redrive"]["outcomes"] == [{"reason": "NOT_JSON", "became": "NOT_JSON", "entries": 1}]
    assert given["catalog", "import", "iam"]["changed"] is True
    assert given["invoice", "issue"]["invoices"][0]["total"] == "16.25"
    assert [i["total"] for i in given["invoice", "list"]] == ["16.25"]
    assert given["invoice", "preview"]["partners"][0]["so_far"]["total"] == "16.25"
    assert given["catalog", "diff"]["differences"] == given["invoice", "reprice"]["differences"] == []
    assert (given["catalog", "diff"]["bills"], given["invoice", "reprice"]["bills"]) == (1, 1)
    assert given["invoice", "unbilled"] == {"unbilled": []}
    assert given["invoice", "credit"]["document"]["total"] == "-1.00"
    assert given["credits", "statement"] == {"partner_id": "acme", "credits": [], "bookings": [], "balances": []}
    (paid,) = given["payments", "import"]["paid"]
    assert (given["payments", "import"]["new"], paid["open"], paid["note"]) == (["t1"], "6.25", "partly paid")
    assert given["invoice", "void"]["document"]["total"] == "-16.25"
    assert given["invoice", "show"]["number"] == "S-2026-000001"
    assert all(Path(file).is_file() for file in given["invoice", "issue"]["invoices"][0]["files"])


@pytest.mark.slow
def test_what_is_on_disk_for_want_of_memory_goes_with_the_command(tmp_path: Path) -> None:
    """The process ends without taking down what it loaded: a database would leave its folder behind."""
    code = (
        "import os, sys\nfrom lake import duck\nfrom tollbook.__main__ import command\ncon = duck.connect()\n"
        "con.execute(\"SET temp_directory = 'spilled'; SET memory_limit = '20MB'\")\n"
        "con.execute('CREATE TABLE wide AS SELECT md5(n::VARCHAR) AS text FROM range(2_000_000) AS t(n)')\n"
        "print(os.listdir('spilled') != [])\ndel con\nsys.argv = ['tollbook', '--version']\ncommand()"
    )
    done = end_of(process([], folder=tmp_path, code=("-c", code)))
    assert (done.code, done.out.splitlines()[0]) == (0, "True")
    assert list(tmp_path.iterdir()) == []
