"""The order in which a Kafka is found, and the message when there is none.

Each case runs its own pytest in its own environment.
"""

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kafka.broker import free_ports

ROOT = Path(__file__).parent.parent.parent
NOBODY = "127.0.0.1:1"
JAVA_11 = """#!/bin/sh
echo 'openjdk version "11.0.2" 2019-01-15' >&2
"""
JAVA_17 = JAVA_11.replace("11.0.2", "17.0.2")
MAVEN_OFFLINE = """#!/bin/sh
echo '[ERROR] Could not resolve dependencies: repository unreachable'
exit 1
"""


def probe(test: str = "test_a_test_that_needs_kafka", **changes: str) -> tuple[int, str]:
    """Exit code and output of a test that needs Kafka, where nothing is to be had but what `changes` bring."""
    names = {"KAFKA_BOOTSTRAP_SERVERS", "REQUIRE_KAFKA", "JAVA_HOME", "XDG_CACHE_HOME", "PATH", "DOCKER_HOST", "CI"}
    environment = {k: v for k, v in os.environ.items() if k not in names}
    environment |= {"PATH": "/nowhere", "DOCKER_HOST": f"tcp://{NOBODY}", **changes}
    environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # to load them takes as long as all else
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-s", "-p", "no:cacheprovider", f"tests/kafka/probe.py::{test}"],
        env=environment, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def tool(folder: Path, name: str, text: str) -> str:
    """A stand-in for a program that is not ours; the value of PATH that finds it."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text)
    (folder / name).chmod(0o755)
    return f"{folder}:/bin"


def test_a_given_address_comes_first(kafka: str) -> None:
    """Whoever names a cluster gets that one, without Docker, Java or a second's search."""
    code, output = probe(KAFKA_BOOTSTRAP_SERVERS=kafka)
    assert code == 0, output
    assert f"bootstrap={kafka}" in output


def test_a_given_address_that_does_not_answer_fails_and_is_never_passed_over() -> None:
    """Tests that quietly ran on another broker than the one named would prove nothing."""
    code, output = probe(KAFKA_BOOTSTRAP_SERVERS=NOBODY, REQUIRE_KAFKA="0", PATH=os.environ["PATH"])
    assert code == 1
    assert f"KAFKA_BOOTSTRAP_SERVERS={NOBODY} does not answer" in output


@pytest.mark.sampled(keep=1)
@pytest.mark.parametrize("test", ["test_a_test_that_needs_kafka", "test_a_test_that_needs_a_broker_to_kill"])
def test_without_any_kafka_a_test_is_skipped_and_says_why(test: str) -> None:
    """A developer without Java sees what to install; nothing fails."""
    code, output = probe(test)
    assert code == 0, output
    assert "1 skipped" in output
    assert "no java in PATH" in output
    if test == "test_a_test_that_needs_kafka":
        assert "KAFKA_BOOTSTRAP_SERVERS is not set; no Docker engine answers" in output


@pytest.mark.sampled(keep=1)
@pytest.mark.parametrize("test", ["test_a_test_that_needs_kafka", "test_a_test_that_needs_a_broker_to_kill"])
def test_without_any_kafka_a_test_fails_where_one_is_required(test: str) -> None:
    """A green run in CI must mean that the Kafka tests ran."""
    code, output = probe(test, REQUIRE_KAFKA="1")
    assert code == 1
    assert "1 error" in output
    assert "no java in PATH (REQUIRE_KAFKA is set)" in output


def test_docker_is_asked_before_java_and_given_up_when_it_is_silent() -> None:
    """A stuck engine may cost a few seconds, not the run."""
    (port,) = free_ports(1)
    with socket.create_server(("127.0.0.1", port)) as silent_engine:
        code, output = probe(DOCKER_HOST=f"tcp://127.0.0.1:{port}")
        silent_engine.setblocking(False)
        silent_engine.accept()[0].close()  # there was somebody who asked
    assert code == 0, output
    assert re.search(rf"no Docker engine answers \(.*{port}\)+; no java in PATH", output), output


@pytest.mark.slow
def test_java_is_the_last_way_and_needs_no_other(tmp_path: Path) -> None:
    """Java and Maven alone are enough: that is what a plain machine and CI have."""
    changes = {k: os.environ[k] for k in ("PATH", "JAVA_HOME") if k in os.environ}
    code, output = probe(**changes)
    if "skipped" in output:
        pytest.skip(f"no Java here: {output[-300:]}")
    assert code == 0, output
    assert re.search(r"bootstrap=127\.0\.0\.1:\d+", output)


@pytest.mark.sampled(keep=2)
@pytest.mark.parametrize(
    ("java", "maven", "reason"),
    [
        pytest.param(JAVA_11, None, "is Java 11, needed is 17 or newer", id="too old"),
        pytest.param("#!/bin/sh\n", None, "is Java unknown, needed is 17 or newer", id="no Java at all"),
        pytest.param(JAVA_17, None, "no mvn in PATH", id="no Maven"),
        pytest.param(JAVA_17, MAVEN_OFFLINE, "repository unreachable", id="Maven without a network"),
    ],
)
def test_java_or_maven_that_will_not_do_is_named(tmp_path: Path, java: str, maven: str | None, reason: str) -> None:
    """The message says what to fix."""
    path = tool(tmp_path / "bin", "java", java)
    if maven:
        tool(tmp_path / "bin", "mvn", maven)
    code, output = probe(
        PATH=path.removesuffix(":/bin") if maven is None else path, XDG_CACHE_HOME=str(tmp_path / "cache")
    )
    assert code == 0, output
    assert reason in output
    assert not list((tmp_path / "cache").rglob("jars"))


@pytest.mark.slow
def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """A file where the folder should be, as a read-only home would be."""
    tool(tmp_path / "bin", "mvn", MAVEN_OFFLINE)
    (tmp_path / "cache").write_text("")
    code, output = probe(PATH=tool(tmp_path / "bin", "java", JAVA_17), XDG_CACHE_HOME=str(tmp_path / "cache"))
    assert code == 0, output
    assert "Not a directory" in output


def test_many_runs_at_once_fetch_the_jars_once(tmp_path: Path) -> None:
    """Two runs that wrote into one folder would start a broker on half of its jars."""
    gate, calls = tmp_path / "gate", tmp_path / "calls"
    os.mkfifo(gate)
    maven = f"""#!/bin/sh
echo called >> {calls}
for word; do case $word in -DoutputDirectory=*) target=${{word#*=}};; esac; done
mkdir -p "$target"
cat {gate}
echo jar > "$target/kafka.jar"
"""
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path / "cache"), "PATH": tool(tmp_path / "bin", "mvn", maven)}

    def ask() -> subprocess.Popen[str]:
        code = "from tests.kafka.jars import jars; print(jars())"
        command = [sys.executable, "-c", code]
        return subprocess.Popen(
            command, env=environment, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def next_line(run: subprocess.Popen[str]) -> str:
        assert run.stderr is not None
        return run.stderr.readline()

    first = ask()
    assert "fetching" in next_line(first)
    others = [ask(), ask()]
    assert ["waiting" in next_line(run) for run in others] == [True, True]
    gate.write_text("go on")  # until here nobody has a folder, and two wait
    answers = {run.communicate(timeout=30)[0].strip() for run in (first, *others)}
    assert len(answers) == 1
    assert [p.name for p in Path(answers.pop()).iterdir()] == ["kafka.jar"]
    assert calls.read_text() == "called\n"
    assert not list((tmp_path / "cache").rglob("tmp*"))


def test_another_pom_has_jars_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another version of Kafka must not start with the jars of this one."""
    from tests.kafka import jars

    maven = "#!/bin/sh\nfor word; do case $word in -DoutputDirectory=*) mkdir -p ${word#*=};; esac; done\n"
    monkeypatch.setenv("PATH", tool(tmp_path / "bin", "mvn", maven))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    here = jars.jars()
    changed = tmp_path / "pom.xml"
    changed.write_text(jars.POM.read_text().replace("4.3.1", "4.3.2"))
    monkeypatch.setattr(jars, "POM", changed)
    assert jars.jars() != here
    assert here.parent == jars.jars().parent == tmp_path / "cache/tollbook/kafka"
