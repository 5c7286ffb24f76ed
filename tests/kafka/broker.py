"""One Kafka broker as a process of our own, on 127.0.0.1: started, killed, stalled and started again by process id.

It lives in one temporary folder and dies with the process that started it, however that dies (leash.py).
"""

import base64
import hashlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import TracebackType

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from tests.kafka.jars import HERE, Unavailable, alone, jars, java

# Small and quick to start. Measured: 0.37 GB resident after 300 MB of records; with both compilers it is a third faster
# in the long run and takes two CPU seconds more to start.
JVM = ("-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData")
START_LIMIT_S = 90
STOP_LIMIT_S = 20
TRIES = 3  # another process may take a port between our look and the broker's bind

SETTINGS = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "auto.create.topics.enable": "false",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "2",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "1",
    "log.cleaner.dedupe.buffer.size": "8388608",  # the default, 128 MB, is a quarter of the heap
    "log.segment.delete.delay.ms": "1000",  # folders of deleted topics go while the tests run, not at their end
    # A broker that comes back after a crash is let in when its former self's session has run out: 9 s by default.
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "500",
    # Groups of tests form and lose members in a second, not in a minute.
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "500",
    "group.consumer.min.session.timeout.ms": "500",
    "group.consumer.session.timeout.ms": "6000",
    "group.consumer.min.heartbeat.interval.ms": "100",
    "group.consumer.heartbeat.interval.ms": "500",
}


class Broker:
    """A broker on `bootstrap`. `kill`, then `start`: the same address and the same log. `close` removes all of it."""

    def __init__(
        self,
        *,
        settings: Mapping[str, str] | None = None,
        users: Mapping[str, str] | None = None,
        jvm: tuple[str, ...] | None = None,
    ) -> None:
        """`users`: names and passwords of those who may come in by `sasl_bootstrap`; without an ACL they may do
        nothing.

        On `bootstrap` everybody may do everything, with users or without.
        """
        self._users = dict(users or {})
        self._java = java()
        self._jars = jars()
        self._jvm = jvm or (*JVM, *_loaded(self._java, self._jars))
        self._settings = {**SETTINGS, **(settings or {})}
        self._leash: subprocess.Popen[str] | None = None
        self._pid: int | None = None
        self.folder = Path(tempfile.mkdtemp(prefix="tollbook-kafka-"))
        self.port = self.sasl_port = 0

    def __enter__(self) -> "Broker":
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def sasl_bootstrap(self) -> str:
        """Where SASL/PLAIN is asked for, without encryption."""
        assert self._users, "this broker has no users"
        return f"127.0.0.1:{self.sasl_port}"

    @property
    def pid(self) -> int:
        """The server's own process, not the one that watches it."""
        assert self._pid is not None, "the broker is not running"
        return self._pid

    @property
    def running(self) -> bool:
        return self._leash is not None and self._leash.poll() is None

    def start(self) -> None:
        """Return once it answers. The first start chooses ports and formats; later ones find everything as it was."""
        assert not self.running, "it runs already"
        if self.port:
            self._launch()
            self._await_answer()
            return
        for attempt in range(1, TRIES + 1):
            self.port, self.sasl_port, controller = free_ports(3)
            self._format(controller)
            self._launch()
            try:
                self._await_answer()
            except PortTaken:
                if attempt == TRIES:
                    raise
                continue
            return

    def kill(self) -> None:
        """SIGKILL, as a crash would. Also ends a broker that is paused."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """SIGTERM, the broker's own shutdown; SIGKILL if that takes too long."""
        self._end(signal.SIGTERM)

    def restart(self) -> None:
        """Crash and come back on the same log."""
        self.kill()
        self.start()

    def pause(self) -> None:
        """SIGSTOP: connections stay open and nobody answers."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        os.kill(self.pid, signal.SIGCONT)

    def close(self) -> None:
        """End it and remove its folder. Safe to repeat."""
        if self.running:
            self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def log(self) -> str:
        """The warnings and errors in the log of the server."""
        path = self.folder / "server.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def _format(self, controller_port: int) -> None:
        listeners = f"PLAINTEXT://{self.bootstrap}"
        if self._users:
            listeners += f",SASL_PLAINTEXT://{self.sasl_bootstrap}"
        settings = {
            **self._settings,
            **(_access(self._users) if self._users else {}),
            "controller.quorum.voters": f"1@127.0.0.1:{controller_port}",
            "listeners": f"{listeners},CONTROLLER://127.0.0.1:{controller_port}",
            "advertised.listeners": listeners,
            "log.dirs": str(self.folder / "data"),
        }
        (self.folder / "server.properties").write_text("".join(f"{k}={v}\n" for k, v in settings.items()))
        shutil.rmtree(self.folder / "data", ignore_errors=True)
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        command = [
            *self._command("kafka.tools.StorageTool"),
            "format",
            f"--cluster-id={cluster}",
            "-c",
            self._properties,
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=START_LIMIT_S, check=False)
        if done.returncode:
            raise Unavailable(f"Kafka could not format {self.folder}: {done.stderr.strip()[-500:]}")

    @property
    def _properties(self) -> str:
        return str(self.folder / "server.properties")

    def _command(self, main_class: str) -> list[str]:
        logging = f"-Dlog4j2.configurationFile={HERE / 'log4j2.properties'}"
        return [self._java, *self._jvm, logging, "-cp", f"{self._jars}/*", main_class]

    def _launch(self) -> None:
        command = [
            sys.executable,
            str(HERE / "leash.py"),
            str(self.folder),
            *self._command("kafka.Kafka"),
            self._properties,
        ]
        with (self.folder / "server.log").open("a") as log:
            self._leash = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True
            )
        assert self._leash.stdout is not None
        self._pid = int(self._leash.stdout.readline())

    def _await_answer(self) -> None:
        """Until the port is open and the cluster's metadata name a broker."""
        deadline = time.monotonic() + START_LIMIT_S
        while not self._answers():
            if self._ended_within(0.05):
                log = self.log()
                self._reap()
                if "Address already in use" in log:
                    raise PortTaken(f"port {self.port} was taken by another process")
                raise Unavailable(f"Kafka ended at its start: {log.strip()[-500:]}")
            if time.monotonic() > deadline:
                self.kill()
                raise Unavailable(f"Kafka did not answer within {START_LIMIT_S} s: {self.log().strip()[-500:]}")

    def _answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except OSError:
            return False
        return answers(self.bootstrap, timeout_s=5)

    def _end(self, how: signal.Signals) -> None:
        os.kill(self.pid, how)
        if not self._ended_within(STOP_LIMIT_S):
            os.kill(self.pid, signal.SIGKILL)
            assert self._ended_within(STOP_LIMIT_S), f"process {self.pid} does not end"
        self._reap()

    def _ended_within(self, timeout_s: float) -> bool:
        assert self._leash is not None
        try:
            self._leash.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def _reap(self) -> None:
        assert self._leash is not None
        for pipe in (self._leash.stdin, self._leash.stdout):
            assert pipe is not None
            pipe.close()
        self._leash = self._pid = None


def _access(users: Mapping[str, str]) -> dict[str, str]:
    known = " ".join(f'user_{name}="{password}"' for name, password in users.items())
    return {
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT",
        "sasl.enabled.mechanisms": "PLAIN",
        "listener.name.sasl_plaintext.plain.sasl.jaas.config": f"org.apache.kafka.common.security.plain.PlainLoginModule required {known};",
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS",
    }


@cache
def _loaded(java: str, jars: Path) -> tuple[str, ...]:
    """The server's classes in the form in which this JVM maps them, made once: a start takes 3.1 CPU seconds, not 5.4.

    Where they cannot be made, a process tries it no second time.
    """
    program = Path(java).resolve()
    stamp = hashlib.sha256(f"{program} {program.stat().st_mtime_ns}".encode()).hexdigest()[:8]
    archive = jars.with_name(f"{jars.name}-{stamp}.jsa")
    try:
        if not archive.exists():
            with alone(jars.parent):
                if not archive.exists():
                    _archive(archive)
    except (Unavailable, FileNotFoundError):
        return ()
    return (f"-XX:SharedArchiveFile={archive}",)


def _archive(path: Path) -> None:
    making = path.with_suffix(".new")
    with Broker(jvm=(*JVM, f"-XX:ArchiveClassesAtExit={making}")) as broker:
        broker.stop()
    making.rename(path)


class PortTaken(Unavailable):
    """Another process was quicker; choose other ports."""


def answers(bootstrap: str, *, timeout_s: float) -> bool:
    """Whether a Kafka cluster gives its metadata at this address."""
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    try:
        return bool(admin.list_topics(timeout=timeout_s).brokers)
    except KafkaException:
        return False


def free_ports(count: int) -> tuple[int, ...]:
    """Free ports of 127.0.0.1 below those that outgoing connections are given.

    Among those, a client that tries to reconnect to a broker that is down could be given the broker's own port.
    """
    try:
        first_outgoing = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except OSError:
        first_outgoing = 32_768
    found: set[int] = set()
    while len(found) < count:
        # Not `random`: tests seed it, and two runs with one seed would want the same ports.
        port = 10_240 + secrets.randbelow(max(first_outgoing, 20_000) - 10_240)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        found.add(port)
    return tuple(found)
