"""What ends a command: the exit code a scheduler acts on, and the one line a person reads."""

import errno
import os
import signal

import duckdb
import pytest

from billing.catalog.loading import CatalogError, CatalogProblem
from billing.invoicing.closing import Refused
from billing.periods import BadPeriod
from ingest.decode.formats import UnknownFormat
from lake.errors import Damaged, Fenced, LakeError
from tollbook.cli.errors import EXIT_CODES, WrongUse, guarded
from tollbook.local_run.active import Busy
from tollbook.local_run.run import NoFiles

# As deltalake words a full disk, colours included.
FULL = "Generic LocalFileSystem error\n  \x1b[31m↳\x1b[0m Unable to copy data\n  \x1b[31m↳\x1b[0m No space left on device (os error 28)"
GOES_ON = ", then repeat the command: it continues where it stopped"
PROBLEMS = [
    CatalogProblem("a.yaml", 3, "x", "is wrong; fix it"),
    CatalogProblem("b.yaml", 1, "", "is wrong, too; fix it"),
]


@pytest.mark.parametrize(
    ("raised", "code", "lines"),
    [
        pytest.param(CatalogError(PROBLEMS), 2, ["a.yaml:3: x: is wrong; fix it", "b.yaml:1: is wrong, too; fix it"], id="catalog"),
        pytest.param(Refused(["one", "two"]), 1, ["one", "two"], id="business rule"),
        pytest.param(UnknownFormat("which"), 2, ["which"], id="format"),
        pytest.param(NoFiles("none"), 2, ["none"], id="files"),
        pytest.param(BadPeriod("when"), 2, ["when"], id="period"),
        pytest.param(WrongUse("how"), 2, ["how"], id="use"),
        pytest.param(LakeError("no lake; make one"), 2, ["no lake; make one"], id="lake"),
        pytest.param(Damaged("a.parquet is damaged; restore it"), 1, ["a.parquet is damaged; restore it"], id="damage"),
        pytest.param(
            LakeError(f"the commit could not be written ({FULL}); free the disk"), 75,
            ["the commit could not be written (Generic LocalFileSystem error Unable to copy data No space left on device (os error 28)); free the disk"],
            id="disk full under a commit",
        ),
        pytest.param(LakeError("cannot be read ([Errno 2] No such file); restore it"), 2, ["cannot be read ([Errno 2] No such file); restore it"], id="lost file"),
        pytest.param(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/a"), 75, [f"/a: No space left on device; free or repair it{GOES_ON}"], id="disk full"),
        pytest.param(OSError(f"Error writing. Detail: [errno {errno.ENOSPC}] no space"), 75,
            [f"disk: No space left on device; free or repair it{GOES_ON}"], id="disk full, in pyarrow's words"),
        pytest.param(
            PermissionError(errno.EACCES, os.strerror(errno.EACCES), "/a"), 2,
            [f"/a: Permission denied; check the path and its permissions{GOES_ON}"], id="permission"),
        pytest.param(
            duckdb.IOException("IO Error: No files found"), 2,
            ["the lake cannot be read: IO Error: No files found; restore the lake from a backup"], id="lost data"),
        pytest.param(duckdb.IOException("IO Error: No space left on device"), 75,
            ["the lake cannot be read: IO Error: No space left on device; free some space, then repeat the command"], id="no space to sort in"),
        pytest.param(Busy("busy"), 75, ["busy"], id="busy"),
        pytest.param(Fenced("v1"), 75, ["another process wrote to the lake at the same time; nothing was lost, so repeat the command (v1)"], id="fenced"),
    ],
)  # fmt: skip
def test_every_end_has_its_code_and_its_line(
    raised: Exception, code: int, lines: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """2: change the command. 1: look into the books. 75: repeat. A scheduler must never have to read the text to
    know.
    """

    def command() -> int:
        raise raised

    assert guarded(command) == code
    assert capsys.readouterr().err.splitlines() == [f"error: {line}" for line in lines]


def test_a_call_that_a_signal_cut_short_is_no_bug(capsys: pytest.CaptureFixture[str]) -> None:
    """Libraries answer Ctrl-C in the middle of a call with errors of their own; it was Ctrl-C all the same."""

    def command() -> int:
        try:
            signal.raise_signal(signal.SIGTERM)
        except KeyboardInterrupt:
            raise RuntimeError("query interrupted") from None
        return 0

    assert guarded(command) == 75
    assert capsys.readouterr().err.startswith("error: interrupted; ")


def test_signals_are_given_back() -> None:
    """The command borrows them; a program that calls it keeps its own."""
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    assert guarded(lambda: 0) == 0
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


def test_exit_codes_are_those_that_help_lists() -> None:
    """What is documented is what is used."""
    assert sorted(EXIT_CODES) == [0, 1, 2, 3, 70, 75, 141]
