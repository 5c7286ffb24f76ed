"""Why a worker stops instead of going on: what it would have to guess. The closed list that logs, metrics and health show."""

from enum import StrEnum


class Halt(StrEnum):
    """The reason; the message that comes with it says where, and what to do."""

    RETENTION_GAP = "RETENTION_GAP"  # the log no longer holds what comes next
    TOPIC_RECREATED = "TOPIC_RECREATED"  # another topic under a known name
    PARTITIONS_CHANGED = "PARTITIONS_CHANGED"  # an id would be met by another worker than its first copy
    BAD_TOPIC = "BAD_TOPIC"  # its settings break exactness
    BAD_MESSAGE = "BAD_MESSAGE"  # no batch of ours, or of a version we do not know
    FORM = "FORM"  # too much of a source is refused for its form
    UNDELIVERED = "UNDELIVERED"  # the broker did not take what was sent
    KAFKA = "KAFKA"  # the broker does not answer, or refuses
    STALLED = "STALLED"  # no progress although there is work

    @property
    def passes(self) -> bool:
        """Whether starting again may help; else somebody must mend something first."""
        return self in {Halt.UNDELIVERED, Halt.KAFKA, Halt.STALLED}


class Halted(Exception):
    """A worker, or one partition of it, must not go on. `reason` is from the closed list."""

    def __init__(self, reason: Halt, message: str) -> None:
        self.reason = reason
        super().__init__(f"{reason}: {message}")
