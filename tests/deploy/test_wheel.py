"""`pip wheel . && pip install …`, then the command, in a folder in which there is nothing else."""

import subprocess
import zipfile
from pathlib import Path

import pytest

from tests.deploy.installed import Installed, install, wheel
from tests.tollbook.fixtures import ROOT

pytestmark = pytest.mark.integration

PACKAGES = ("schemas", "kernels", "lake", "ingest", "aggregate", "billing", "tollbook")
KAFKA = ("topics", "load", "ingest", "land", "quota")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def whole(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """With every extra."""
    return install(made, tmp_path_factory.mktemp("whole"))


@pytest.fixture(scope="module")
def plain(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """What `pip install tollbook` without an extra gives, as far as commands look."""
    return install(made, tmp_path_factory.mktemp("plain"), without=("confluent_kafka", "faust", "fastapi"))


def test_the_wheel_holds_every_file_that_the_packages_have_in_the_repository(made: Path) -> None:
    """A statement, a font or a template that is left out is met by the first user, not by a test in the checkout."""
    with zipfile.ZipFile(made) as archive:
        there = set(archive.namelist())
    listed = subprocess.run(
        ["git", "ls-files", *PACKAGES, "examples"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split("\n")
    wanted = {f"tollbook/{name}" if name.startswith("examples/") else name for name in listed if name}
    kinds = {Path(name).suffix for name in wanted}
    assert {".py", ".sql", ".otf", ".typ", ".yaml", ".json"} <= kinds
    assert wanted <= there
    assert not [name for name in there if name.startswith(("tests/", "docs/", "benchmarks/"))]


@pytest.mark.slow
def test_the_demonstration_runs_where_there_is_nothing_else(whole: Installed) -> None:
    """The first thing that is typed. Nothing of the checkout is used: the environment does not know where it is."""
    ended = whole.tollbook("demo", "--requests", 2000)
    assert (ended.code, ended.err) == (0, "")
    assert "unexplained: 0" in ended.out
    assert sorted(path.name for path in whole.folder.iterdir()) == ["demo"]
    documents = list((whole.folder / "demo" / "lake" / "documents").rglob("*.pdf"))
    assert len(documents) == 3
    steps = [line.strip() for line in ended.out.splitlines() if line.startswith("  tollbook ")]
    assert all(str(ROOT) not in step for step in steps)
    (usage,) = [step.split()[1:] for step in steps if " usage " in step]
    assert "demo/catalog" in usage
    again = whole.tollbook(*usage)
    assert (again.code, again.err) == (0, "")


@pytest.mark.sampled(keep=1)
@pytest.mark.parametrize("name", KAFKA)
def test_a_command_of_kafka_without_its_extra_names_it(plain: Installed, name: str) -> None:
    """`unknown command` sends people to look for a typing error."""
    ended = plain.tollbook(name, "--bootstrap-servers", "127.0.0.1:1", "--help-me", "x")
    assert ended.code == 2
    (message,) = ended.complaints
    assert f"`tollbook {name}` needs Tollbook's extra `kafka`: pip install 'tollbook[kafka]'" in message
    assert "not found: confluent_kafka, faust" in message


@pytest.mark.sampled(keep=1)
@pytest.mark.parametrize("words", [["serve", "--catalog", "c"], ["producers", "list", "--producers", "p.yaml"]])
def test_a_command_of_http_without_its_extra_names_it(plain: Installed, words: list[str]) -> None:
    """The extra `http` brings Kafka's along: one thing to install."""
    ended = plain.tollbook(*words)
    assert ended.code == 2
    assert ended.complaints[0].startswith(
        f"`tollbook {words[0]}` needs Tollbook's extra `http`: pip install 'tollbook[http]'"
    )


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(["demo", "--requests", "2000"], id="demo"),
        pytest.param(
            ["dead", "redrive", "--catalog", "demo/catalog", "--lake", "lake", "--format", "kong", "--source", "edge"],
            id="dead redrive",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_an_option_of_an_extra_names_it_and_all_else_works(plain: Installed, words: list[str]) -> None:
    """Where a part of a command needs the extra, the option is named."""
    if words[0] == "dead":
        assert plain.tollbook("demo", "--requests", 2000).code == 0
    ended = plain.tollbook(*words, "--bootstrap-servers", "127.0.0.1:1")
    assert ended.code == 2
    assert "--bootstrap-servers needs Tollbook's extra `kafka`: pip install 'tollbook[kafka]'" in ended.complaints[0]
    helped = plain.tollbook("--help")
    assert (helped.code, helped.err) == (0, "")
    assert all(name in helped.out for name in (*KAFKA, "serve", "producers"))


@pytest.mark.slow
@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_installed_for_a_shell(whole: Installed, tmp_path: Path, shell: str) -> None:
    """Cyclopts writes it; ours are the names. A script that is asked in bash says what may follow."""
    ended = whole.tollbook(
        "--install-completion", "--shell", shell, "--output", tmp_path / "script", HOME=str(tmp_path)
    )
    assert (ended.code, ended.err) == (0, "")
    script = (tmp_path / "script").read_text()
    assert all(name in script for name in ("invoice", "redrive", "--period", *KAFKA, "serve"))
    if shell == "bash":
        ask = f"source {tmp_path}/script; COMP_WORDS=(tollbook invoice ''); COMP_CWORD=2; _tollbook; echo ${{COMPREPLY[@]}}"
        completions = subprocess.run(["bash", "-c", ask], capture_output=True, text=True, check=True).stdout.split()
        assert {"close", "issue", "verify"} <= set(completions)
