"""What may go wrong with Kafka, as the decision that a supervisor has to take. Needs no Kafka library itself."""

from collections.abc import Iterable
from typing import Protocol


class KafkaUnreachable(Exception):
    """Nobody answers, or the cluster can't at the moment. Try again later (exit code 75)."""


class KafkaRefused(Exception):
    """The cluster does not want what we asked for: rights, password, certificate, a limit. Change that (exit code 2)."""


class Error(Protocol):
    """What a Kafka library says of an error (confluent_kafka.KafkaError)."""

    def name(self) -> str:
        """Kafka's own name of it."""

    def str(self) -> str:
        """What the broker or the client adds."""


_AWAY = {
    "_TRANSPORT": "nobody answers there",
    "_ALL_BROKERS_DOWN": "nobody answers there",
    "_RESOLVE": "the name is not known",
    "_TIMED_OUT": "no answer in time",
    "_TIMED_OUT_QUEUE": "no answer in time",
    "_WAIT_COORD": "the cluster is busy choosing leaders",
    "REQUEST_TIMED_OUT": "no answer in time",
    "BROKER_NOT_AVAILABLE": "a broker is away",
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
_RIGHTS = "let the cluster's administrator allow it for this user"
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
    "INVALID_REPLICATION_FACTOR": "give --replication as many brokers as there are, or fewer",
    "UNKNOWN_TOPIC_OR_PART": "make it by `tollbook topics create`",
    "_UNKNOWN_TOPIC": "make it by `tollbook topics create`",
    "POLICY_VIOLATION": "the cluster's own policy forbids it: ask its administrator",
}
# What a client reports about connections beside the error of a call; only the first two tell the reason why nobody answers.
_TELLING = ("_AUTHENTICATION", "_SSL", "_RESOLVE")


def decided(error: Error, doing: str, servers: str, seen: Iterable[Error] = ()) -> KafkaUnreachable | KafkaRefused:
    """The exception to raise for an error. `doing` is what failed; `seen` is what the client reported meanwhile."""
    names = {e.name(): e for e in seen}
    told = next((names[name] for name in _TELLING if name in names), error) if error.name() in _AWAY else error
    handshake = next((e for e in names.values() if "SSL handshake failed" in e.str()), None)
    if error.name() in _AWAY and handshake is not None:
        return KafkaRefused(f"{servers}: {doing}: {_first(handshake)}; {_LOGIN}")
    if told.name() in _AWAY:
        return KafkaUnreachable(
            f"{servers}: {doing}: {_AWAY[told.name()]}; start the brokers or correct --bootstrap-servers, then repeat"
        )
    remedy = _REMEDIES.get(told.name(), "correct what it names")
    return KafkaRefused(f"{servers}: {doing}: {_first(told)} ({told.name()}); {remedy}")


def remedy(error: Error) -> str | None:
    """What somebody must do before a worker that met this error can go on; None where starting it again may do."""
    if "authorization failed" in error.str():  # a producer that may not go on has another name, and this in its text
        return _RIGHTS
    return _REMEDIES.get(error.name())


def _first(error: Error) -> str:
    """What it says, without where and how long the client was at it."""
    text = error.str()
    return text.partition("/bootstrap: ")[2].partition(" (after ")[0] or text.rstrip(".")
