"""Where the lake and the catalog lie: by option or by variable, always a folder of this machine, and the same for
every command.
"""

from pathlib import Path

import pytest
from cyclopts import App

from tests.tollbook.fixtures import AFTER_OCTOBER, Here, requests
from tests.tollbook.test_help import COMMANDS, ids

# What a command needs besides, whatever it is.
OTHERS = {
    "--bootstrap-servers": "127.0.0.1:1",
    "--catalog": "catalog",
    "--days": "90",
    "--format": "kong",
    "--lake": "lake",
    "--period": "2026-10",
    "--principal": "arn:aws:iam::1:role/x",
    "--producers": "producers.yaml",
    "--reason": "launch",
    "--source": "edge",
}
ADDRESSES = ["s3://bucket/lake", "s3:/bucket/lake", "gs://b", "abfss://c@a.dfs.core.windows.net/x", "file:///srv/lake"]
# Where --catalog changes what a command does, so that a variable, set for other commands, must not give it.
CHOSEN = {("demo",), ("invoice", "issue")}


def options(found: App) -> dict[str, object]:
    """Every option, and positional, of a command that can be given, by its first name."""
    return {a.names[0] if a.names else a.name: a for a in found.assemble_argument_collection() if a.parse}


def those_with(option: str) -> list[tuple[str, ...]]:
    return [place for place, found in COMMANDS.items() if option in options(found)]


def call(place: tuple[str, ...], **given: str) -> list[str]:
    """The words of a command with all that it needs. `given`: values of options, by their names without dashes."""
    words = list(place)
    for name, argument in options(COMMANDS[place]).items():
        option = name.removeprefix("--")
        if name.startswith("--") and (option in given or argument.required):  # type: ignore[attr-defined]
            words += [name, given.get(option, OTHERS.get(name, ""))]
        elif not name.startswith("--") and argument.required:  # type: ignore[attr-defined]
            words.append("x")
    return words


def contents(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize("place", those_with("--lake"), ids=ids(those_with("--lake")))
def test_an_address_is_no_lake_and_makes_no_folder(
    here: Here, monkeypatch: pytest.MonkeyPatch, place: tuple[str, ...], address: str
) -> None:
    """`run --lake s3://bucket/lake` once metered a month into a folder `s3:` of the current one, and reported
    success.
    """
    monkeypatch.chdir(here.folder)
    here.log("x", *requests(3))
    before = contents(here.folder)
    ended = here.tollbook(*call(place, lake=address))
    assert ended.code == 2
    (message,) = ended.complaints
    assert f"{address.partition(':')[0]}:// is not supported yet; name a folder of this machine" in message
    assert contents(here.folder) == before


@pytest.mark.sampled(keep=1)
@pytest.mark.parametrize("option", ["--lake", "--catalog", "--folder"])
def test_no_command_takes_an_address_or_nothing_for_any_of_its_folders(
    here: Here, monkeypatch: pytest.MonkeyPatch, option: str
) -> None:
    """An empty word comes from a variable that is not set, and would stand for the current folder."""
    monkeypatch.chdir(here.folder)
    before = contents(here.folder)
    assert those_with(option)
    for place in those_with(option):
        for value, message in (("s3://b/x", "not supported yet"), ("", "it is empty"), (" ", "it is empty")):
            ended = here.tollbook(*call(place, **{option.removeprefix("--"): value}))
            assert (ended.code, len(ended.complaints)) == (2, 1), place
            assert option in ended.err
            assert message in ended.err
    assert contents(here.folder) == before


@pytest.mark.parametrize(("option", "variable"), [("--lake", "TOLLBOOK_LAKE"), ("--catalog", "TOLLBOOK_CATALOG")])
def test_every_command_reads_the_variable(option: str, variable: str) -> None:
    """All but those that a variable would make do something else."""
    reading = {p for p in those_with(option) if options(COMMANDS[p])[option].parameter.env_var == (variable,)}  # type: ignore[attr-defined]
    assert set(those_with(option)) - reading == ({*CHOSEN} if option == "--catalog" else set())
    assert len(reading) > 8


def test_a_month_without_a_path_in_any_command(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    """From logs to proved invoices; an option wins over its variable, and an address in a variable is one as well."""
    here.log("a.log", *requests(5), b"no JSON at all\n")
    monkeypatch.chdir(here.folder)
    monkeypatch.setenv("TOLLBOOK_LAKE", "lake")
    monkeypatch.setenv("TOLLBOOK_CATALOG", "catalog")
    for words in (
        ["catalog", "check"],
        ["run", "--format", "kong", "--source", "edge", "a.log"],
        ["usage", "acme", "--period", "2026-10"],
        ["outside", "acme", "--period", "2026-10"],
        ["dead", "list"],
        ["dead", "redrive", "--format", "kong", "--source", "edge", "--dry-run"],
        ["retention", "--days", "90", "--dry-run"],
        ["verify"],
        ["invoice", "rate", "--period", "2026-10"],
    ):
        ended = here.tollbook(*words)
        assert (ended.code, ended.err) == (0, ""), words
    issue = ["invoice", "issue", "--period", "2026-10", "--now", AFTER_OCTOBER]
    assert "is not closed" in here.tollbook(*issue).complaints[0], "a variable must not close a month"
    assert here.tollbook("invoice", "close", "--period", "2026-10", "--now", AFTER_OCTOBER).code == 0
    assert here.tollbook(*issue).code == 0
    assert here.tollbook("invoice", "show", "S-2026-000001").code == 0
    assert here.tollbook("invoice", "verify").code == 0
    assert "elsewhere" in here.tollbook("verify", "--lake", "elsewhere").complaints[0]
    monkeypatch.setenv("TOLLBOOK_LAKE", "s3://bucket/lake")
    assert "TOLLBOOK_LAKE: s3:// is not supported yet" in here.tollbook("verify").complaints[0]
    monkeypatch.setenv("TOLLBOOK_LAKE", "")
    assert "TOLLBOOK_LAKE: it is empty" in here.tollbook("verify").complaints[0]


@pytest.mark.slow
def test_a_demonstration_keeps_the_catalog_it_is_given(here: Here) -> None:
    """It empties its folder: a catalog in there would be gone before it is read again."""
    assert here.tollbook("demo", "--requests", 1000, "--folder", here.folder / "demo").code == 0
    mine = here.folder / "demo" / "catalog"
    ended = here.tollbook("demo", "--requests", 1000, "--folder", here.folder / "demo", "--catalog", mine)
    assert ended.code == 2
    assert "copy it elsewhere" in ended.complaints[0]
    assert list(mine.glob("*.yaml"))
