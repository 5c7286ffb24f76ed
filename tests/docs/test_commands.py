"""Commands in the documentation exist, with the options they are shown with."""

import re
import shlex
from pathlib import Path

import pytest
from cyclopts import CycloptsError

from ingest.decode import formats
from tests.docs.pages import PAGES, ROOT, blocks, prose
from tollbook.cli.app import app

MODULES = {("ingest", "parse"), ("billing", "rate-cases")}
_INLINE = re.compile(r"`(tollbook [^`]+)`")


def shown(page: Path) -> list[str]:
    return [
        line[2:]
        for b in blocks(page)
        if b.language == "console"
        for line in b.text.splitlines()
        if line.startswith("$ ")
    ]


COMMANDS = [
    pytest.param(line, id=f"{page.relative_to(ROOT)}: {line}") for page in PAGES for line in dict.fromkeys(shown(page))
]
MENTIONED = [
    pytest.param(line, id=f"{page.relative_to(ROOT)}: {line}")
    for page in PAGES
    for line in dict.fromkeys(_INLINE.findall(prose(page)))
]


def parsed(words: list[str]) -> object:
    command, _, _ = app.parse_args(words, exit_on_error=False, print_error=False)
    return command


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_that_is_shown_can_be_run(line: str) -> None:
    """A reader copies it. Every word must be one that the command knows, and nothing that it needs may be missing."""
    program, *words = shlex.split(line)
    if program == "tollbook":
        assert callable(parsed(words))
    elif program == "make":
        targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert set(words) <= set(targets)
    elif program == "python":
        assert words[0] == "-m"
        assert (words[1], words[2]) in MODULES
    else:
        assert program in {"cp", "curl", "pip", "sed", "ssh-keygen"}  # run, or not, by tests/docs/test_blocks.py


@pytest.mark.parametrize("line", MENTIONED)
def test_a_command_in_the_text_has_a_name_that_exists(line: str) -> None:
    """In running text a command may be short of its options, but not have another name or other options than shown."""
    words = [w for w in shlex.split(line)[1:] if w not in {"…", "FILE…", "NAME"}]
    options = [w for w in words if w.startswith("--") and (w,) not in NAMES]
    path: tuple[str, ...] = ()
    for word in words[: words.index(options[0])] if options else words:
        if path and not any(name[: len(path)] == path for name in NAMES if len(name) > len(path)):
            break  # a command, not a group: what follows is for it
        path = (*path, word)
        assert path in NAMES, f"no command {' '.join(path)}"
    assert set(options) <= NAMES.get(path, set()) | {"--help"}


def names() -> dict[tuple[str, ...], set[str]]:
    """Every command, and group of commands, with its options."""
    found: dict[tuple[str, ...], set[str]] = {}

    def walk(group: object, path: tuple[str, ...]) -> None:
        for name in group:  # type: ignore[attr-defined]
            if name.startswith("-"):
                continue
            sub = group[name]  # type: ignore[index]
            arguments = sub.assemble_argument_collection() if sub.default_command else []
            found[*path, name] = {option for argument in arguments for option in argument.names}
            walk(sub, (*path, name))

    walk(app, ())
    found["--install-completion",] = {"--shell", "--output"}
    return found


NAMES = names()


def test_wrong_commands_would_be_noticed() -> None:
    """These tests rest on the parser refusing what is not there."""
    with pytest.raises(CycloptsError):
        parsed(["run", "--catalog", "c", "--lake", "l", "--format", "kong", "--sources", "s", "x.log"])
    with pytest.raises(CycloptsError):
        parsed(["usage", "northwind", "--catalog", "c", "--lake", "l"])
    assert len(COMMANDS) > 20
    assert ("invoice", "close") in NAMES
    assert "--period" in NAMES["invoice", "close"]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_formats_that_are_named_exist(page: Path) -> None:
    """`--format` takes any word; one that is no format would only be noticed by the reader."""
    used = {m for line in shown(page) for m in re.findall(r"--format (\S+)", line)}
    assert used <= {*formats.names(), "acme"}
