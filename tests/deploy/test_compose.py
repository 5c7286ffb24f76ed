"""docker-compose.yml: valid, closed to the outside, and what it starts does a month's work as processes of this
machine.
"""

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from aggregate.verify import prove
from billing.catalog import loading as catalog
from lake.lake import Lake
from tests.aggregate.fixtures import now
from tests.deploy import compose
from tests.deploy.dockerfile import ROOT, steps, words
from tests.docs.pages import block
from tests.kafka.processes import WAIT_S, Process
from tollbook.cli.app import app
from tollbook.demo.run import sample_logs
from tollbook.local_run import run

REQUESTS = 3_000
CATALOG = ROOT / "examples" / "catalog"
SERVICES = compose.ours()
WORKERS = [name for name in SERVICES if name != "topics"]


def by_the_client(*files: Path, folder: Path) -> dict[str, Any] | None:
    """The files as docker-compose merges them, None without one here. Raises ValueError with what it refuses."""
    tool = compose.tool()
    if tool is None:
        return None
    named = [word for file in files for word in ("--file", str(file))]
    done = subprocess.run(
        [*tool, "--project-directory", str(folder), *named, "config"],
        env={"PATH": "/usr/bin:/bin", "HOME": str(folder)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode != 0 or done.stderr:
        raise ValueError(done.stderr)
    return yaml.safe_load(done.stdout)  # type: ignore[no-any-return]


def test_the_file_is_valid() -> None:
    """By the specification's schema, and for docker-compose where it is installed (Debian's client alone is enough)."""
    for whole in filter(None, [compose.validated(compose.FILE), by_the_client(compose.FILE, folder=ROOT)]):
        assert set(whole["services"]) == {*SERVICES, "kafka", "prometheus", "alertmanager", "grafana"}


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        pytest.param("stop_grace_period: 20s", "stop_grace: 20s", id="a word that Compose does not know"),
        pytest.param("read_only: true", "read_only: [a]", id="a value of another type"),
        pytest.param("condition: service_healthy", "condition: healthy", id="a condition that does not exist"),
        pytest.param("stop_grace_period: 20s", "stop_grace_period: 20 seconds", id="not a duration"),
        pytest.param("- lake:/lake", "- lakes:/lake", id="a volume that is not there"),
        pytest.param("    topics: {condition", "    topic: {condition", id="a service that is not there"),
        pytest.param("  cap_drop: [ALL]\n", "  cap_drop: [ALL]\n  cap_drop: []\n", id="a key that stands twice"),
    ],
)
def test_a_fault_in_the_file_is_found(tmp_path: Path, right: str, wrong: str) -> None:
    """A reader of YAML would leave each of them out without a sound."""
    text = compose.FILE.read_text()
    assert right in text
    file = tmp_path / "docker-compose.yml"
    file.write_text(text.replace(right, wrong))
    with pytest.raises(ValueError, match=r"."):
        compose.validated(file)
    if compose.tool() is not None:
        with pytest.raises(ValueError, match=r"."):
            by_the_client(file, folder=ROOT)


def test_the_secrets_of_the_page_fit_the_file(tmp_path: Path) -> None:
    """docs/kafka.md shows how a password gets in: what it shows is put on top of the file, and both together are
    valid.
    """
    override = tmp_path / "docker-compose.override.yml"
    override.write_text(block("docs/kafka.md", "override"))
    files = [compose.FILE, override]
    for whole in filter(None, [compose.validated(*files), by_the_client(*files, folder=ROOT)]):
        for name in SERVICES:
            definition = whole["services"][name]
            assert definition["environment"]["TOLLBOOK_KAFKA_SASL_PASSWORD_FILE"].startswith("/run/secrets/")
            assert "TOLLBOOK_KAFKA_SASL_PASSWORD" not in definition["environment"]
            assert definition["secrets"]
            assert definition["image"] == "tollbook"
    override.write_text(override.read_text().replace("secrets: [kafka-password]", "secrets: [password]"))
    with pytest.raises(ValueError, match="password is not in secrets"):
        compose.validated(*files)


def test_nothing_is_open_to_the_network_and_no_secret_is_in_the_file() -> None:
    """A broker without a login, and metrics with names of partners' troubles, are for this machine."""
    whole = compose.read()
    ports = [port for definition in whole["services"].values() for port in definition.get("ports", [])]
    assert len(ports) == 5
    assert all(port.startswith("127.0.0.1:") for port in ports)
    assert not re.search(r"(?i)password|secret_|whsec_|token", "\n".join(
        line for line in compose.FILE.read_text().splitlines() if not line.lstrip().startswith("#")
    ))  # fmt: skip
    for definition in whole["services"].values():
        assert re.fullmatch(r"tollbook|[a-z]+/[a-z]+:v?\d+\.\d+\.\d+", definition["image"])


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_can_do_no_more_than_it_must(name: str) -> None:
    """Catalog and producers cannot be written, nor the image; no right of the system is left; what is kept lies in
    named volumes.
    """
    service = SERVICES[name]
    assert service.definition["read_only"] is True
    assert service.definition["cap_drop"] == ["ALL"]
    assert service.read_only == {target for target in service.mounts if target in {"/catalog", "/producers"}}
    named = compose.read()["volumes"]
    assert all(source in named for target, source in service.mounts.items() if target not in service.read_only)
    # A worker that was stopped on request stays ended, everything else begins again, also after the machine did.
    assert service.definition["restart"] == ("no" if name == "topics" else "unless-stopped")
    assert service.definition["stop_grace_period"] == "20s"


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_starts_a_command_that_exists(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the options it takes, and what it needs besides them in its environment."""
    service = SERVICES[name]
    for variable, value in service.environment.items():
        monkeypatch.setenv(variable, value)
    command, bound, _ = app.parse_args(service.words, exit_on_error=False, print_error=False)
    assert callable(command)
    assert bound.arguments["kafka"].bootstrap_servers == "kafka:9092"


def test_every_worker_is_watched_under_a_name_of_its_own() -> None:
    """Health in the file is that of the image; members of groups have names; Prometheus reads each worker, and
    nothing else.
    """
    (image,) = words(steps((ROOT / "Dockerfile").read_text()), "HEALTHCHECK")
    instances = []
    for name in WORKERS:
        definition = SERVICES[name].definition
        assert re.findall(r'"([^"]+)"', image) == definition["healthcheck"]["test"][1:]
        assert compose.METRICS in SERVICES[name].words
        if name != "serve":  # it shares nothing, and is in no group
            instances.append(SERVICES[name].words[SERVICES[name].words.index("--instance") + 1])
    assert len(set(instances)) == len(WORKERS) - 1
    scraped = yaml.safe_load((ROOT / "deploy" / "prometheus.yml").read_text())["scrape_configs"]
    targets = [target for job in scraped for group in job["static_configs"] for target in group["targets"]]
    assert sorted(targets) == sorted(f"{name}:9464" for name in WORKERS)


def test_the_server_listens_on_its_published_port_and_sees_a_producers_file_that_is_replaced() -> None:
    """A single file that is mounted stays the old one when a new one takes its name: a key that was taken back would
    hold.
    """
    service = SERVICES["serve"]
    assert compose.LISTEN in service.words
    assert service.definition["ports"] == ["127.0.0.1:8080:8080"]
    assert service.words[service.words.index("--producers") + 1] == "/producers/producers.yaml"
    assert (ROOT / service.mounts["/producers"] / "producers.yaml").is_file()
    assert list(words(steps((ROOT / "Dockerfile").read_text()), "EXPOSE")) == ["8080 9464"]
    assert compose.ours({"TOLLBOOK_PRODUCERS_FOLDER": "/etc/tollbook"})["serve"].mounts["/producers"] == "/etc/tollbook"


@pytest.fixture
def started() -> Iterator[dict[str, Process]]:
    """Processes that end with the test."""
    running: dict[str, Process] = {}
    yield running
    for process in running.values():
        process.kill()


def is_healthy(service: compose.Service, process: Process) -> bool:
    """What the file's own check says, asked at the port that the process has here."""
    port = process.until(lambda line: "metrics_port" in line)["metrics_port"]
    kind, program, *check = service.definition["healthcheck"]["test"]
    assert (kind, program) == ("CMD", "python")
    asked = [word.replace(":9464/", f":{port}/") for word in check]
    return subprocess.run([sys.executable, *asked], capture_output=True, check=False).returncode == 0


def posted(process: Process) -> int:
    """The status of a request that bears no key. The server listens, and the example has no producer."""
    port = process.until(lambda line: line["message"] == "listening")["port"]
    return httpx.post(f"http://127.0.0.1:{port}/api/v1/events", content=b"{}", trust_env=False).status_code


def entries(process: Process) -> float:
    """What a land worker has taken in so far, by its metrics."""
    return sum(
        process.metric(f"tollbook_land_{each}_total") for each in ("events", "duplicates", "conflicts", "refused")
    )


@pytest.mark.slow
def test_what_the_file_starts_does_the_job(
    kafka: str, kafka_prefix: str, tmp_path: Path, started: dict[str, Process]
) -> None:
    """Topics, then all workers at once; logs sent as the page says; the books are those of the local run; SIGTERM
    ends all.
    """
    places = {"/catalog": CATALOG, "/producers": ROOT / "examples", "/lake": tmp_path / "lake"}
    extra = {"TOLLBOOK_KAFKA_PREFIX": kafka_prefix}

    def start(name: str) -> Process:
        arguments, environment = SERVICES[name].here(kafka, places)
        started[name] = Process(arguments, env=environment | extra)
        return started[name]

    for name, service in SERVICES.items():
        waited_for = {n: d["condition"] for n, d in service.definition["depends_on"].items()}
        made = {} if name == "topics" else {"topics": "service_completed_successfully"}
        assert waited_for == {"kafka": "service_healthy", **made}
    assert start("topics").ended() == 0
    workers = {name: start(name) for name in WORKERS}
    files = sample_logs.write_month(tmp_path / "logs", requests=REQUESTS)
    for file in files:
        load = ["load", "--bootstrap-servers", kafka, "--prefix", kafka_prefix]
        with Process([*load, "--format", file.format, "--source", file.source, str(file.path)]) as loading:
            assert loading.ended() == 0, loading.tail()
    book = catalog.load(CATALOG)
    for file in files:
        run.run(Lake(tmp_path / "local-run"), book, [file.path], format_name=file.format, source=file.source, now=now)
    expected = prove(Lake(tmp_path / "local-run")).totals()
    landers = [process for name, process in workers.items() if name.startswith("land-")]
    assert len(landers) == 2
    for process in landers:
        process.until_logged("assigned ")
    deadline = time.monotonic() + WAIT_S
    while True:
        ended = {name: process.tail() for name, process in workers.items() if process.code is not None}
        assert not ended, "\n".join(f"{name}: {tail}" for name, tail in ended.items())
        if sum(map(entries, landers)) >= expected["entries"]:
            break
        assert time.monotonic() < deadline, [process.tail() for process in workers.values()]
    for name, process in workers.items():
        assert is_healthy(SERVICES[name], process), name
    assert posted(workers["serve"]) == 401
    for process in workers.values():
        assert process.stop() == 0, process.tail()
    proof = prove(Lake(tmp_path / "lake"))
    assert proof.problems == []
    assert proof.totals() == expected
