"""The errors of Kafka, as decisions for a supervisor. This module imports no Kafka library."""

from collections.abc import Iterable
from typing import Protocol


class KafkaUnreachable(Exception):
    """No broker answers, or the cluster is temporarily unavailable. Try again later (exit code 75)."""


class KafkaRefused(Exception):
    """The cluster refuses the request: permissions, password, certificate, a limit. Fix the cause (exit code 2)."""


class Error(Protocol):
    """An error of a Kafka library (confluent_kafka.KafkaError)."""

    def name(self) -> str:
        """Kafka's name of the error."""

    def str(self) -> str:
        """The message of the broker or client."""


_AWAY = {
    "_TRANSPORT": "no broker answers there",
    "_ALL_BROKERS_DOWN": "no broker answers there",
    "_RESOLVE": "the host name is unknown",
    "_TIMED_OUT": "no answer in time",
    "_TIMED_OUT_QUEUE": "no answer in time",
    "_WAIT_COORD": "the cluster is busy choosing leaders",
    "REQUEST_TIMED_OUT": "no answer in time",
    "BROKER_NOT_AVAILABLE": "a broker is unavailable",
    "COORDINATOR_NOT_AVAILABLE": "the cluster is busy choosing leaders",
    "COORDINATOR_LOAD_IN_PROGRESS": "the cluster is busy choosing leaders",
    "LEADER_NOT_AVAILABLE": "the cluster is busy choosing leaders",
    "NOT_CONTROLLER": "the cluster is busy choosing leaders",
    "NOT_COORDINATOR": "the cluster is busy choosing leaders",
    "NOT_ENOUGH_REPLICAS": "too few brokers are up",
    "NOT_ENOUGH_REPLICAS_AFTER_APPEND": "too few brokers are up",
    "NETWORK_EXCEPTION": "the connection broke",
    "THROTTLING_QUOTA_EXCEEDED": "the cluster's quota is used up",
}
_LOGIN = "check --security, --sasl-username, the password and --ca-file"
_RIGHTS = "ask the cluster's administrator to allow it for this user"
_REMEDIES = {
    "_AUTHENTICATION": _LOGIN,
    "SASL_AUTHENTICATION_FAILED": _LOGIN,
    "UNSUPPORTED_SASL_MECHANISM": _LOGIN,
    "ILLEGAL_SASL_STATE": _LOGIN,
    "_SSL": _LOGIN,
    "SECURITY_DISABLED": _LOGIN,
    "TOPIC_AUTHORIZATION_FAILED": _RIGHTS,
    "GROUP_AUTHORIZATION_FAILED": _RIGHTS,
    "CLUSTER_AUTHORIZATION_FAILED": _RIGHTS,
    "INVALID_REPLICATION_FACTOR": "set --replication to at most the number of brokers",
    "UNKNOWN_TOPIC_OR_PART": "create it with `tollbook topics create`",
    "_UNKNOWN_TOPIC": "create it with `tollbook topics create`",
    "POLICY_VIOLATION": "the cluster's policy forbids it; ask its administrator",
}
# Errors of connections that explain why no broker answers.
_TELLING = ("_AUTHENTICATION", "_SSL", "_RESOLVE")


def decided(error: Error, doing: str, servers: str, seen: Iterable[Error] = ()) -> KafkaUnreachable | KafkaRefused:
    """The exception to raise for an error. `doing` is the failed operation; `seen` are errors of the connections."""
    names = {e.name(): e for e in seen}
    cause = next((names[name] for name in _TELLING if name in names), error) if error.name() in _AWAY else error
    handshake = next((e for e in names.values() if "SSL handshake failed" in e.str()), None)
    if error.name() in _AWAY and handshake is not None:
        return KafkaRefused(f"{servers}: {doing}: {_first(handshake)}; {_LOGIN}")
    if cause.name() in _AWAY:
        return KafkaUnreachable(
            f"{servers}: {doing}: {_AWAY[cause.name()]}; start the brokers or correct --bootstrap-servers, then repeat the command"
        )
    remedy = _REMEDIES.get(cause.name(), "correct what the message names")
    return KafkaRefused(f"{servers}: {doing}: {_first(cause)} ({cause.name()}); {remedy}")


def remedy(error: Error) -> str | None:
    """What somebody must do before a worker can continue after this error. None if a restart may be enough."""
    if "authorization failed" in error.str():  # a producer's fatal error has another name, but this text
        return _RIGHTS
    return _REMEDIES.get(error.name())


def _first(error: Error) -> str:
    """The message, without the address and the duration that the client adds."""
    text = error.str()
    return text.partition("/bootstrap: ")[2].partition(" (after ")[0] or text.rstrip(".")
