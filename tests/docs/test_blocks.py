"""Every console block of the documentation is run as it stands there, or says why not."""

import inspect
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from billing.__main__ import main as billing
from ingest.__main__ import main as ingest
from tests.billing.import_documents import DECK, OPENMETER, POLICY, USAGE_PLAN, written
from tests.docs.pages import PAGES, ROOT, block
from tests.tollbook.fixtures import AFTER_OCTOBER, Ended
from tollbook.__main__ import main as tollbook
from tollbook.cli.app import app

_BLOCK = re.compile(r"(?:^<!-- (?P<mark>[^\n]*) -->\n)?^```console\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_RUN_BY = re.compile(r"run by (tests/[\w/]+\.py)\b")
_NAME = re.compile(r"^[0-9a-f]{12}\b", re.MULTILINE)
_LOGS, _LETTER = "/var/log/kong", "5a0c41d2e8f7"  # what stands for the reader's own: a folder, and the name of a letter


class Shown(NamedTuple):
    """A console block: what stands before it, and its lines."""

    mark: str | None
    lines: list[str]


def shown(page: Path) -> list[Shown]:
    return [Shown(m["mark"], m["text"].splitlines()) for m in _BLOCK.finditer(page.read_text())]


WITH_BLOCKS = [page for page in PAGES if shown(page)]
RUN = [page for page in WITH_BLOCKS if any(b.mark is None for b in shown(page))]


def names(pages: list[Path]) -> list[str]:
    return [str(page.relative_to(ROOT)) for page in pages]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a reader of any page has: the demonstration, a catalog, logs, and the documents that are imported."""
    root = tmp_path_factory.mktemp("world")
    with pytest.raises(SystemExit, match=r"^0$"):
        tollbook(["demo", "--requests", "3000", "--folder", str(root / "demo")])
    shutil.copytree(ROOT / "examples", root / "examples")
    logs = root / "var" / "log" / "kong"
    logs.mkdir(parents=True)
    shutil.copy(root / "demo" / "logs" / "kong" / "access.log", logs / "access.log")
    lines = (logs / "access.log").read_bytes().splitlines(keepends=True)
    (root / "access.log").write_bytes(b"".join(lines[:300]))
    (logs / "error.log").write_bytes(b"no JSON at all\n")
    written(root, USAGE_PLAN)
    written(root, POLICY, "policy.json")
    written(root, OPENMETER, "config.yaml")
    nobodys = (
        "  - username: health-check\n    id: 00000000-52b1-4a55-9f2e-0c6a1b9e4d23\n"  # one has to say what it is first
    )
    assert nobodys in DECK
    written(root, DECK.replace(nobodys, ""), "kong.yaml")
    prices = Path(shutil.copytree(root / "examples" / "catalog", root / "new-catalog")) / "prices.yaml"
    edited = prices.read_text().replace("amount: 490.00", "amount: 450.00").replace("0.0009}", "0.0010}")
    assert edited.count("450.00") == edited.count("0.0010}") == 1
    prices.write_text(edited)
    (root / "cases.jsonl").write_text(block("docs/pricing.md", "cases"))
    (root / "producers.yaml").write_text(block("docs/http.md", "producers"))
    return root


@pytest.fixture
def folder(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A world of the page's own, in which it is read."""
    there = Path(shutil.copytree(world, tmp_path / "world"))
    monkeypatch.chdir(there)
    return there


def words(line: str, folder: Path) -> list[str]:
    """A line as it is typed, with the reader's own paths and names, and the time of the reader's clock: after
    October.
    """
    given = shlex.split(line.replace(_LOGS, str(folder / "var" / "log" / "kong")).replace(_LETTER, letter(folder)))
    if given[0] == "tollbook":
        command, _, _ = app.parse_args(given[1:], exit_on_error=False, print_error=False)
        if "now" in inspect.signature(command).parameters:
            given += ["--now", AFTER_OCTOBER]
        if given[1:3] == ["catalog", "import"] and "--dry-run" not in given:
            given.append("--yes")  # what a person says at the prompt
    return given


def letter(folder: Path) -> str:
    """The name of a refused entry of the lake that the page has filled."""
    found = _NAME.search(LETTERS.get(folder, ""))
    return found[0] if found else _LETTER


LETTERS: dict[Path, str] = {}  # the last list of refused entries that was not empty, by folder


def typed(line: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> Ended:
    """Type a line."""
    program, *given = words(line, folder)
    capsys.readouterr()
    code: object = 0
    if program == "tollbook":
        with pytest.raises(SystemExit) as ended:
            tollbook(given)
        code = ended.value.code
    elif program == "python":
        assert given[0] == "-m"
        code = {"ingest": ingest, "billing": billing}[given[1]](given[2:])
    else:
        assert (program, given[0]) == ("cp", "-r"), f"nobody runs {program}: mark the block"
        shutil.copytree(given[1], given[2])
    done = Ended(int(str(code)), *capsys.readouterr())
    if given[:2] == ["dead", "list"] and _NAME.search(done.out):
        LETTERS[folder] = done.out
    return done


def steps(lines: list[str]) -> Iterator[tuple[str, list[str]]]:
    """The commands of a block, each with what is printed below it, if that is shown."""
    for line in lines:
        if line.startswith("$ "):
            step: tuple[str, list[str]] = (line[2:], [])
            yield step
        else:
            step[1].append(line)


def looks_like(printed: str, expected: list[str]) -> bool:
    """Whether what is shown is what is printed; `…` stands for anything within a line, columns may be wider."""
    patterns = [r".*".join(map(re.escape, " ".join(line.split()).split("…"))) for line in expected if line.strip()]
    found = [" ".join(line.split()) for line in printed.splitlines() if line.strip()]
    return len(found) == len(patterns) and all(map(re.fullmatch, patterns, found))


@pytest.mark.integration
@pytest.mark.sampled(keep=1)
@pytest.mark.parametrize("page", RUN, ids=names(RUN))
def test_what_is_shown_works_from_the_top_of_a_page_to_its_end(
    folder: Path, page: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A reader copies one line after another; the first that fails is the last that is read."""
    if page.name != "README.md":  # there it is a step of the page
        shutil.copytree(folder / "demo" / "catalog", folder / "catalog")
    if page.name in {"operations.md", "http.md", "lake.md"}:
        first = f"tollbook run --catalog catalog --lake my-lake --format kong --source edge-1 {_LOGS}/"
        assert typed(first, folder, capsys).code == 0
        assert typed("tollbook dead list --lake my-lake", folder, capsys).code == 0
    for each in shown(page):
        if each.mark is None:
            for line, expected in list(steps(each.lines)):
                done = typed(line, folder, capsys)
                assert (done.code, done.err) == (0, ""), line
                assert not expected or looks_like(done.out, expected), f"{line} printed\n{done.out}"


@pytest.mark.parametrize("page", WITH_BLOCKS, ids=names(WITH_BLOCKS))
def test_a_block_that_is_not_run_says_why(page: Path) -> None:
    """By a comment before it: what is missing for it, or which test runs it."""
    for each in shown(page):
        if each.mark is not None:
            by = _RUN_BY.match(each.mark)
            assert by or re.match(r"not run: \S+ \S+", each.mark), each.mark
            named = [by[1]] if by else re.findall(r"tests/[\w/]+\.py", each.mark)
            assert all((ROOT / name).is_file() for name in named), each.mark


def test_no_block_escapes() -> None:
    """Every block of the pages is seen here, also one that is indented or has a name."""
    for page in PAGES:
        assert len(re.findall(r"^\s*```\s*console", page.read_text(), re.MULTILINE)) == len(shown(page)), page
    assert sum(mark is None for page in PAGES for mark, _ in shown(page)) >= 18
