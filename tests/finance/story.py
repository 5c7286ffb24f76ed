"""The console blocks of docs/finance.md: run in a clean folder, in order, each at the instant that it names."""

import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.docs.pages import ROOT, block
from tests.finance import logs
from tests.tollbook.fixtures import command

PAGE = ROOT / "docs" / "finance.md"
BLOCK = re.compile(r"(<!-- run by tests/finance/test_story.py at (\S+) -->\n```console\n)(.*?)(^```$)", re.S | re.M)
_TYPED = re.compile(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", re.MULTILINE)
_TIMED = {
    "run",
    "close",
    "issue",
    "propose",
    "approve",
    "send",
    "credit",
    "void",
    "rebill",
    "adjust",
    "import",
    "statement",
    "open",
}
WRITES = "TOLLBOOK_WRITE_FINANCE"  # set by `python -m tests.finance`


class Shown(NamedTuple):
    """A command of the page: the instant at which it runs, what is typed, and what it prints."""

    at: str
    typed: str
    printed: str


def shown(page: str) -> Iterator[Shown]:
    """All commands of the page, in order."""
    for _, at, text, _ in BLOCK.findall(page):
        for typed, printed in _TYPED.findall(text):
            yield Shown(at, typed, printed)


def written(page: str, outputs: Iterator[str]) -> str:
    """The page with other outputs."""

    def anew(found: "re.Match[str]") -> str:
        typed = (f"$ {typed}\n{next(outputs)}" for typed, _ in _TYPED.findall(found[3]))
        return found[1] + "".join(typed) + found[4]

    return BLOCK.sub(anew, page)


def begin(folder: Path) -> None:
    """The clean folder of the reader: the logs, the bank's file and the catalog, whose keys do not exist yet."""
    for name in logs.LOGS:
        (folder / name).write_bytes(logs.content(name))
    (folder / "bank.csv").write_text(block("docs/finance.md", "bank"))
    (folder / "catalog").mkdir()
    (folder / "catalog" / "catalog.yaml").write_text(block("docs/finance.md", "catalog"))


def run(step: Shown, capsys: pytest.CaptureFixture[str]) -> str:
    """What a command prints, problems behind results, and the exit code in a last line if it is not 0."""
    words = shlex.split(step.typed)
    if words[0] != "tollbook":
        shell = subprocess.run(
            step.typed,
            shell=True,
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "HOME": str(Path.cwd())},
        )
        return shell.stdout
    if _TIMED & set(words[1:3]):
        words += ["--now", step.at]
    ended = command(capsys, *words[1:])
    code = f"(exit code {ended.code})\n" if ended.code else ""
    return ended.out + ended.err + code


def settled(text: str) -> list[str]:
    """The lines of an output, without what differs from run to run: ids and hashes, which hold the keys."""
    text = re.sub(r"\b[0-9a-f]{64}\b|\b[0-9a-f]{24}\b|\b[0-9a-f]{16}\b", "ID", text)
    text = text.replace(f"{Path.cwd()}/", "")
    return [each.rstrip() for each in text.splitlines()]
