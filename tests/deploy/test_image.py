"""The image: what it is made of, and its steps carried out in a folder.

No engine is needed; what that leaves open: docs/kafka.md.
"""

import os
import re
import subprocess
import tomllib
from importlib.metadata import requires
from pathlib import Path

import pytest

from tests.deploy.dockerfile import ROOT, Step, carry_out, context, steps, words

STEPS = steps((ROOT / "Dockerfile").read_text())
LOCK = ROOT / "deploy" / "requirements.lock"
_PIN = re.compile(
    r"^([A-Za-z0-9._-]+)==([^ \\]+)(?: ; ([^\\]+?))? \\$\n((?: {4}--hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", re.MULTILINE
)


def pins(lock: Path) -> dict[tuple[str, str, str], frozenset[str]]:
    """Name, version and condition of each package, with its hashes."""
    return {
        (name, version, marker.strip()): frozenset(re.findall(r"sha256:(\w+)", hashes))
        for name, version, marker, hashes in _PIN.findall(lock.read_text())
    }


def test_the_image_holds_what_the_tests_ran_with_and_nothing_of_the_tests() -> None:
    """A second lock is a second truth, unless it is a part of the first."""
    image, tested = pins(LOCK), pins(ROOT / "requirements.lock")
    versions = {(name, version): hashes for (name, version, _), hashes in tested.items()}
    assert len(image) > 40
    assert {pin[:2] for pin in image} <= set(versions)
    assert all(hashes == versions[name, version] for (name, version, _), hashes in image.items())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = {
        re.match(r"[\w.-]+", line)[0].lower()
        for extra in ("fonts", "kafka", "http")
        for line in (*project["dependencies"], *project["optional-dependencies"][extra])
        if ";" not in line and not line.startswith("tollbook")
    }  # type: ignore[index]
    named = {name for name, *_ in image}
    assert needed <= named
    assert not named & {"pytest", "mypy", "ruff", "hypothesis", "altair", "ipykernel"}
    missing = {
        re.match(r"[\w.-]+", line)[0].lower().replace("_", "-")
        for name in needed
        for line in requires(name) or []
        if ";" not in line
    } - named  # type: ignore[index]
    assert missing == set()


@pytest.mark.integration
def test_every_package_is_copied_into_the_image() -> None:
    """A package that the build does not see makes an image whose first command fails on an import."""
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    copied = {step.text.partition(" ")[0] for step in STEPS if step.name == "COPY"}
    seen = {name.partition("/")[0] for name in context()}
    for package in build["packages"]:
        assert package in copied, f"Dockerfile copies no {package}"
        assert package in seen, f".dockerignore keeps {package} out"


def test_the_image_runs_as_nobody_in_particular() -> None:
    """A worker that is broken into owns the lake's folder and no more; what it is made of belongs to root."""
    assert list(words(STEPS, "USER")) == ["10001:10001"]
    owned = [step.text for step in STEPS if "chown" in step.text]
    assert owned == ["mkdir /lake && chown 10001:10001 /lake"]
    assert not any(step.name == "ADD" for step in STEPS)


def test_everything_that_is_fetched_is_hashed_and_nothing_is_compiled() -> None:
    """`pip install` without hashes takes what the index has today."""
    fetching = [step.text for step in STEPS if step.text.startswith("pip ")]
    assert len(fetching) == 2
    assert "--require-hashes" in fetching[0]
    assert "--only-binary :all:" in fetching[0]
    assert "--no-deps --no-build-isolation ." in fetching[1]
    bases = {step.text.split()[0] for step in STEPS if step.name == "FROM"}
    assert bases == {"python:3.11-slim-bookworm"}


@pytest.mark.integration
def test_the_build_is_given_the_packages_and_no_more() -> None:
    """What is sent to the builder may end in the image: no tests, no lake, no catalog, no history."""
    files = context()
    tops = {name.partition("/")[0] for name in files}
    assert tops == {
        "schemas",
        "kernels",
        "lake",
        "ingest",
        "aggregate",
        "billing",
        "tollbook",
        "examples",
        "deploy",
        "pyproject.toml",
        "README.md",
        "LICENSE",
    }
    assert [name for name in files if name.startswith("deploy/")] == ["deploy/requirements.lock"]


@pytest.mark.integration
def test_a_copy_of_what_is_not_there_is_noticed(tmp_path: Path) -> None:
    """The folder stands for Docker here; it must be as strict."""
    with pytest.raises(FileNotFoundError, match="nothing of that name"):
        carry_out([Step(1, "COPY", "schemes /src/schemes")], tmp_path, files=context())
    with pytest.raises(subprocess.CalledProcessError):
        carry_out([Step(1, "RUN", "false | true; test -e /src/none")], tmp_path, files=[])


@pytest.mark.integration
@pytest.mark.skipif(
    os.environ.get("TOLLBOOK_IMAGE_STEPS", "0") in {"", "0"},
    reason="fetches and unpacks 50 packages; TOLLBOOK_IMAGE_STEPS=1 runs it",
)
def test_the_steps_make_an_environment_in_which_tollbook_works(tmp_path: Path) -> None:
    """The command answers, with its SQL, its fonts and Kafka's client, from what the steps installed alone."""
    carry_out(STEPS, tmp_path, files=context())
    env = {"PATH": f"{tmp_path}/opt/tollbook/bin"}

    def tollbook(*given: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["tollbook", *given], cwd=tmp_path / "lake", env=env, capture_output=True, text=True, check=False
        )

    helped = tollbook("--help")
    assert helped.returncode == 0
    assert all(name in helped.stdout for name in ("topics", "ingest", "land", "invoice"))
    assert "kong" in tollbook("formats").stdout
    away = tollbook("topics", "check", "--bootstrap-servers", "127.0.0.1:1")
    assert away.returncode == 75, away.stderr
    installed = tmp_path / "opt" / "tollbook" / "lib" / "python3.11" / "site-packages"
    assert list((installed / "billing" / "render" / "fonts").iterdir())
    size = sum(
        path.stat().st_size for path in (tmp_path / "opt").rglob("*") if path.is_file() and not path.is_symlink()
    )
    assert size < 950_000_000, (
        size
    )  # of which 190 MB are the compiler that templates need (docs/decisions/016-template-cache.md)
    print(f"{size / 1e6:,.0f} MB")
