"""The jars of the Kafka server: fetched by Maven once, kept in the user's cache under the hash of `pom.xml`."""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).parent
POM = HERE / "pom.xml"
JAVA_MIN = 17
MAVEN_LIMIT_S = 600  # 54 MB; ten seconds where the network is quick


class Unavailable(Exception):
    """This way to a broker is closed here; the message says why."""


def java() -> str:
    """The Java that runs the server, 17 or newer: of JAVA_HOME, else of PATH."""
    home = os.environ.get("JAVA_HOME")
    command = shutil.which("java", path=str(Path(home, "bin")) if home else None)
    if command is None:
        raise Unavailable(f"no java in {'JAVA_HOME' if home else 'PATH'}")
    answer = subprocess.run([command, "-version"], capture_output=True, text=True, timeout=60, check=False).stderr
    version = re.search(r'version "(\d+)', answer)
    if version is None or int(version[1]) < JAVA_MIN:
        raise Unavailable(f"{command} is Java {version[1] if version else 'unknown'}, needed is {JAVA_MIN} or newer")
    return command


def jars() -> Path:
    """The folder of jars.

    Many processes may ask at once: one fetches, the others wait; a half-filled folder is never seen.
    """
    xdg = Path(os.environ.get("XDG_CACHE_HOME", ""))
    cache = (xdg if xdg.is_absolute() else Path.home() / ".cache") / "tollbook" / "kafka"
    folder = cache / hashlib.sha256(POM.read_bytes()).hexdigest()[:16]
    if folder.is_dir():
        return folder
    maven = shutil.which("mvn")
    if maven is None:
        raise Unavailable("no mvn in PATH, and Kafka's jars are not in the cache yet")
    with alone(cache):
        if not folder.is_dir():
            _fetch(maven, cache, folder)
    return folder


@contextmanager
def alone(cache: Path) -> Iterator[None]:
    """One process at a time; the others wait. Raises Unavailable where nothing can be written."""
    try:
        cache.mkdir(parents=True, exist_ok=True)
        lock = (cache / "lock").open("w")
    except OSError as exc:
        raise Unavailable(f"{exc.filename}: {exc.strerror}") from exc
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("another process prepares Kafka, waiting …", file=sys.stderr, flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _fetch(maven: str, cache: Path, folder: Path) -> None:
    print("fetching Kafka's jars (once) …", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory(dir=cache) as temporary:
        goal = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={temporary}/jars"]
        try:
            done = subprocess.run(
                [maven, "-q", "-B", "-f", str(POM), *goal],
                capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=MAVEN_LIMIT_S, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise Unavailable(f"mvn did not fetch Kafka's jars within {MAVEN_LIMIT_S} s") from None
        if done.returncode:
            lines = (done.stdout + done.stderr).strip().splitlines() or ["no message"]
            raise Unavailable(f"mvn could not fetch Kafka's jars: {lines[0]}")
        Path(temporary, "jars").rename(folder)
