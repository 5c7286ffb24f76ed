"""Tollbook as a user has it: a wheel, in an environment of its own, with no checkout within reach."""

import os
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from tests.tollbook.fixtures import ROOT, Ended

_OURS = ("tollbook", "_tollbook", "_editable_impl_tollbook")  # the checkout's own link into the tests' environment


class Installed(NamedTuple):
    """An environment with Tollbook in it, and a folder to work in."""

    environment: Path
    folder: Path

    def tollbook(self, *words: object, **variables: str) -> Ended:
        """The command, started as a person does. Of the variables of the tests' own process it has none but these."""
        done = subprocess.run(
            [self.environment / "bin" / "tollbook", *map(str, words)],
            cwd=self.folder, env={"PATH": "/usr/bin:/bin", **variables}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        return Ended(done.returncode, done.stdout, done.stderr)

    @property
    def packages(self) -> Path:
        return next(self.environment.glob("lib/python3*/site-packages"))


def wheel(folder: Path) -> Path:
    """The wheel of this checkout, as `pip wheel .` makes it; the index is not asked."""
    words = ["wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", folder, ROOT]
    _pip(*words, folder=folder)
    (made,) = folder.glob("tollbook-*.whl")
    return made


def install(made: Path, folder: Path, *, without: Collection[str] = ()) -> Installed:
    """Install a wheel into a new environment, whose other packages are those of the tests, but for what is left out.

    `without`: modules, by their first names. The packages are linked, so that no index is needed.
    """
    environment, work = folder / "environment", folder / "work"
    venv.create(environment, with_pip=False, symlinks=True)
    work.mkdir()
    there = Installed(environment, work)
    for package in Path(sysconfig.get_path("purelib")).iterdir():
        if not package.name.startswith(_OURS) and package.name.partition(".")[0] not in without:
            (there.packages / package.name).symlink_to(package)
    _pip("--python", environment / "bin" / "python", "install", "--quiet", "--no-deps", "--no-index", made, folder=work)
    return there


def _pip(*words: object, folder: Path) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *map(str, words)]
    done = subprocess.run(command, cwd=folder, env={**os.environ}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
