"""The closed list of reasons why a worker stops instead of guessing. Logs, metrics and health checks show them."""

from enum import StrEnum


class Halt(StrEnum):
    """A reason to stop. The message that comes with it says where, and what to do."""

    RETENTION_GAP = "RETENTION_GAP"  # the log has deleted the next offset to read
    TOPIC_RECREATED = "TOPIC_RECREATED"  # a known name now belongs to another topic
    PARTITIONS_CHANGED = "PARTITIONS_CHANGED"  # a resend could reach another worker than its first copy
    BAD_TOPIC = "BAD_TOPIC"  # the topic's settings break exactness
    BAD_MESSAGE = "BAD_MESSAGE"  # not a batch of Tollbook, or of an unknown version
    FORM = "FORM"  # too many entries of a source are refused for their form
    UNDELIVERED = "UNDELIVERED"  # the broker did not accept a message
    KAFKA = "KAFKA"  # the broker does not answer, or refuses
    STALLED = "STALLED"  # no progress although there is work

    @property
    def passes(self) -> bool:
        """Whether a restart may help. Otherwise somebody must fix the cause first."""
        return self in {Halt.UNDELIVERED, Halt.KAFKA, Halt.STALLED}


class Halted(Exception):
    """A worker, or one of its partitions, must stop. `reason` is from the closed list."""

    def __init__(self, reason: Halt, message: str) -> None:
        self.reason = reason
        super().__init__(f"{reason}: {message}")
