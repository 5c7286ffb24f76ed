"""Which files a run reads: files, folders and globs, in the given order, each once."""

import os
from pathlib import Path

import pytest

from tollbook.local_run.run import NoFiles, found_files


@pytest.fixture
def logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as log rotation leaves it, with what is no log among it."""
    monkeypatch.chdir(tmp_path)
    for name in ("b.log", "a.log", "a.log.1.gz", "deep/er/c.log", "deep/a.log", ".hidden", "deep/.swp", "odd [1].log"):
        path = tmp_path / "logs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    for age, name in enumerate(("odd [1].log", "deep/er/c.log", "deep/a.log", "b.log", "a.log", "a.log.1.gz")):
        os.utime(tmp_path / "logs" / name, ns=(1, (1_000 - age) * 10**9))
    os.mkfifo(tmp_path / "logs" / "pipe")
    (tmp_path / "logs" / "gone").symlink_to("nowhere")
    (tmp_path / "logs" / "link.log").symlink_to("b.log")
    return tmp_path / "logs"


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        pytest.param(["logs/b.log"], ["logs/b.log"], id="a file"),
        pytest.param(["logs/b.log", "logs/a.log"], ["logs/b.log", "logs/a.log"], id="the given order, not the alphabet's"),
        pytest.param(
            ["logs"],
            ["logs/a.log.1.gz", "logs/a.log", "logs/b.log", "logs/link.log", "logs/deep/a.log", "logs/deep/er/c.log", "logs/odd [1].log"],
            id="a folder: all files below, oldest first, then by name; nothing hidden, no pipe, no dead link",
        ),
        pytest.param(["logs/*.log"], ["logs/a.log", "logs/b.log", "logs/link.log", "logs/odd [1].log"], id="a glob"),
        pytest.param(["logs/**/c*"], ["logs/deep/er/c.log"], id="a glob over folders"),
        pytest.param(["logs/odd [1].log"], ["logs/odd [1].log"], id="a file whose name looks like a glob"),
        pytest.param(["logs/b.log", "logs", "logs/*.log"], ["logs/b.log", "logs/a.log.1.gz", "logs/a.log"], id="each once, where it came first"),
        pytest.param(["./logs/../logs/./b.log", "logs//b.log"], ["logs/../logs/b.log", "logs/b.log"], id="names are not resolved"),
        pytest.param(["logs/pipe"], ["logs/pipe"], id="what was named is tried, whatever it is"),
    ],
)  # fmt: skip
def test_files_come_in_the_given_order_each_once(logs: Path, names: list[str], expected: list[str]) -> None:
    """The first copy of an event is the one that counts, so the order is the user's to give."""
    assert [str(path) for path in found_files(names)][: len(expected)] == expected
    assert len(set(found_files(names))) == len(found_files(names))
    assert logs.is_dir()


def test_an_absolute_glob_is_found_from_anywhere(logs: Path) -> None:
    """A scheduler starts in a folder of its own."""
    assert found_files([f"{logs}/deep/*.log"]) == [logs / "deep" / "a.log"]


@pytest.mark.parametrize(
    "name", ["", "nothing.log", "logs/*.zip", "logs/gone", "logs/deep/.swp/x", "logs/[", "logs/**x"]
)
def test_a_name_without_a_file_is_refused(logs: Path, name: str) -> None:
    """A mistyped path must not look like a log without traffic; an empty name must not be the current folder."""
    with pytest.raises(NoFiles):
        found_files([str(logs / "b.log"), name])
