"""The Kafka options: how to connect, and how producers and consumers behave.

One frozen record from flags and environment.

Client options are dictionaries for librdkafka, so that tests can inspect them. The password comes from the environment
or a file, never from a flag, which every user of the machine could see. It is not part of the repr.
"""

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from schemas.kafka.topics import MESSAGE_BYTES_MAX

PASSWORD = "TOLLBOOK_KAFKA_SASL_PASSWORD"  # noqa: S105  # the variable's name
Security = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
Mechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]
Compression = Literal["none", "lz4", "zstd"]
GroupProtocol = Literal["consumer", "classic"]
ClientOptions = dict[str, str | int | bool]

_PREFIX = re.compile(r"[A-Za-z0-9._-]{0,64}")


class BadKafkaOptions(ValueError):
    """The options contradict each other, or one is missing. The message names the option."""


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class KafkaConfig:
    """How to connect to Kafka, and the prefix of topics and groups."""

    bootstrap_servers: Annotated[
        str,
        Parameter(
            "--bootstrap-servers",
            env_var="TOLLBOOK_KAFKA_BOOTSTRAP_SERVERS",
            help="Comma-separated addresses of brokers, host:port.",
        ),
    ]
    prefix: Annotated[
        str,
        Parameter(
            "--prefix",
            env_var="TOLLBOOK_KAFKA_PREFIX",
            show_default=False,
            help="Prefix of the names of topics and groups, for several installations on one cluster.",
        ),
    ] = ""
    security: Annotated[
        Security,
        Parameter(
            "--security", env_var="TOLLBOOK_KAFKA_SECURITY", help="Encryption (SSL) and login (SASL), or neither."
        ),
    ] = "PLAINTEXT"
    sasl_mechanism: Annotated[
        Mechanism, Parameter("--sasl-mechanism", env_var="TOLLBOOK_KAFKA_SASL_MECHANISM", help="SASL mechanism.")
    ] = "SCRAM-SHA-512"
    sasl_username: Annotated[
        str | None,
        Parameter(
            "--sasl-username",
            env_var="TOLLBOOK_KAFKA_SASL_USERNAME",
            help=f"User name. The password is read from the variable {PASSWORD} or from a file.",
        ),
    ] = None
    sasl_password_file: Annotated[
        Path | None,
        Parameter("--sasl-password-file", env_var=f"{PASSWORD}_FILE", help="File that contains only the password."),
    ] = None
    ca_file: Annotated[
        Path | None,
        Parameter(
            "--ca-file",
            env_var="TOLLBOOK_KAFKA_CA_FILE",
            help="PEM file of trusted certificate authorities. By default, the system's.",
        ),
    ] = None
    sasl_password: Annotated[str | None, Parameter(parse=False)] = field(
        default_factory=lambda: os.environ.get(PASSWORD), repr=False
    )

    def __post_init__(self) -> None:
        if not self.bootstrap_servers.strip():
            raise BadKafkaOptions("--bootstrap-servers is empty; give host:port of at least one broker")
        if not _PREFIX.fullmatch(self.prefix):
            raise BadKafkaOptions(
                f"--prefix {self.prefix!r} is not valid; use at most 64 letters, digits, '.', '_' and '-'"
            )
        if self.security.startswith("SASL"):
            if not self.sasl_username:
                raise BadKafkaOptions(f"--security {self.security} needs --sasl-username")
            if self.sasl_password is None and self.sasl_password_file is None:
                raise BadKafkaOptions(
                    f"--security {self.security} needs a password; set the variable {PASSWORD}, or --sasl-password-file"
                )

    def client_options(self) -> ClientOptions:
        """The options of every client. Reads the named files."""
        options: ClientOptions = {
            "bootstrap.servers": self.bootstrap_servers,
            "client.id": "tollbook",
            "security.protocol": self.security,
            "socket.keepalive.enable": True,
            "reconnect.backoff.max.ms": 2_000,  # so that a restarted broker is found within seconds
            "allow.auto.create.topics": False,
        }
        if self.security.endswith("SSL") and self.ca_file is not None:
            options["ssl.ca.pem"] = self.ca_file.read_text()
        if self.security.startswith("SASL"):
            options["sasl.mechanism"] = self.sasl_mechanism
            options["sasl.username"] = self.sasl_username or ""
            options["sasl.password"] = self._password()
        return options

    def producer_options(self, *, compression: Compression = "lz4", linger_ms: int = 20) -> ClientOptions:
        """The options of a producer that writes each message once and in order, or reports that it could not.

        A message is accepted only when its delivery callback reports success. A message that the broker refuses is
        fatal to the producer. One that timed out is only reported, and later messages may have been written, so the
        caller must end.
        """
        return {
            **self.client_options(),
            "acks": "all",
            "enable.idempotence": True,
            "enable.gapless.guarantee": True,
            "partitioner": "murmur2_random",  # Java's; librdkafka's own is CRC32
            "compression.type": compression,
            "linger.ms": linger_ms,
            "message.max.bytes": MESSAGE_BYTES_MAX,
            "delivery.timeout.ms": 120_000,
            "queue.buffering.max.kbytes": 131_072,
        }

    def consumer_options(
        self,
        group: str,
        *,
        protocol: GroupProtocol = "consumer",
        instance: str | None = None,
        session_timeout_ms: int = 10_000,
    ) -> ClientOptions:
        """The options of a consumer that never stores or commits offsets by itself.

        `group` gets the prefix. An offset that the log does not have is an error, never a jump. `instance` keeps a
        worker's partitions across a restart. `session_timeout_ms` applies to `classic`; with `consumer` the broker sets
        it.
        """
        options: ClientOptions = {
            **self.client_options(),
            "group.id": self.prefix + group,
            "group.protocol": protocol,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "error",
            "isolation.level": "read_committed",  # aborted transactions of other writers are not usage
            "check.crcs": True,
            "max.partition.fetch.bytes": MESSAGE_BYTES_MAX,
            "queued.max.messages.kbytes": 65_536,  # for all partitions together
        }
        if protocol == "classic":
            options["partition.assignment.strategy"] = "cooperative-sticky"
            options["session.timeout.ms"] = session_timeout_ms
        if instance is not None:
            options["group.instance.id"] = self.prefix + instance
        return options

    def _password(self) -> str:
        if self.sasl_password_file is not None:
            return self.sasl_password_file.read_text().rstrip("\r\n")
        assert self.sasl_password is not None  # the constructor checks it
        return self.sasl_password
