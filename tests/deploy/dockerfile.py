"""The steps of the Dockerfile, carried out in a plain folder: COPY and RUN of all stages, with `/` being that folder.

Both stages share the folder: what the second copies from the first lies at the same place there, as it must, because
the environment's scripts name their interpreter by its path.
"""

import fnmatch
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent.parent
_PLACE = re.compile(r"(?<= )/(?:opt/tollbook|src|lake|tmp)\b")  # every absolute path of the file


class Step(NamedTuple):
    """One instruction of a stage."""

    stage: int
    name: str
    text: str


def steps(text: str) -> list[Step]:
    """The instructions in order; continued lines are joined, comments left out."""
    lines = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#")).replace("\\\n", " ")
    found, stage = [], 0
    for line in filter(str.strip, lines.splitlines()):
        name, _, rest = line.partition(" ")
        stage += name == "FROM"
        found.append(Step(stage, name, rest.strip()))
    return found


def context() -> list[str]:
    """The files that a build would be given: what git knows or would add, without what .dockerignore leaves out."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    kept = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    return [
        name
        for name in listed
        if any(name == path or name.startswith(f"{path}/") for path in kept)
        and not fnmatch.fnmatch(name, "*__pycache__*")
        and (ROOT / name).is_file()
    ]


def carry_out(todo: list[Step], root: Path, *, files: list[str]) -> None:
    """Do what the steps say below `root`.

    Raises CalledProcessError when a RUN fails, and what says so when a COPY finds nothing.
    """
    folder = "/"
    for step in todo:
        match step.name:
            case "WORKDIR":
                folder = step.text
                _at(root, folder).mkdir(parents=True, exist_ok=True)
            case "RUN":
                _run(_rooted(step.text, root), _at(root, folder))
            case "COPY":
                _copy(shlex.split(step.text), root, folder, files)
            case _:
                assert step.name in {"FROM", "ENV", "USER", "EXPOSE", "HEALTHCHECK", "ENTRYPOINT"}, step


def _copy(words: list[str], root: Path, folder: str, files: list[str]) -> None:
    options = [word for word in words if word.startswith("--")]
    *sources, target = [word for word in words if not word.startswith("--")]
    if "--from=build" in options:
        assert sources == [target]
        assert _at(root, target).exists()
        return
    for source in sources:
        inside = [name for name in files if name == source or name.startswith(f"{source}/")]
        if not inside:
            raise FileNotFoundError(f"COPY {source}: nothing of that name is in the build's files")
        for name in inside:
            # A file goes into a folder; of a folder the content goes.
            below = Path(name).name if name == source else str(Path(name).relative_to(source))
            place = _at(root, os.path.join(folder, target)) / below  # noqa: PTH118  # an absolute target replaces
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, place)


def _run(command: str, folder: Path) -> None:
    own = "" if os.geteuid() == 0 else "chown() { :; }; "
    env = {
        "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
        "HOME": os.environ.get("HOME", "/tmp"),
        "LANG": "C.UTF-8",
    }
    proxies = {k: v for k, v in os.environ.items() if k.lower().endswith("_proxy") or k.startswith(("PIP_", "SSL_"))}
    subprocess.run(
        ["/bin/sh", "-euc", own + command], cwd=folder, env=env | proxies, check=True, capture_output=True, text=True
    )


def _rooted(command: str, root: Path) -> str:
    return _PLACE.sub(lambda m: f"{root}{m[0]}", command)


def _at(root: Path, path: str) -> Path:
    return Path(f"{root}/{path}")


def words(todo: list[Step], name: str) -> Iterator[str]:
    """The texts of the last stage's instructions of a kind."""
    last = max(step.stage for step in todo)
    yield from (step.text for step in todo if step.name == name and step.stage == last)
