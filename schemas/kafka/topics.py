"""The topics of Kafka: the closed list, what each holds, and the settings without which numbers would not be exact.

Names may bear a prefix, so that several installations share a cluster. Every topic is made by `tollbook topics create`
before anything runs; nothing here is made by a broker or by Faust at first use.
"""

from typing import NamedTuple

PARTITIONS = 12
DAY_MS = 86_400_000
FOREVER = -1
MIB = 1_048_576

GATEWAY_ACCESS = "gateway.access"
USAGE_EVENTS = "usage.events"
USAGE_DEAD = "usage.dead"
USAGE_TOTALS = "usage.totals"
USAGE_ALERTS = "usage.alerts"
QUOTA_STATE = "quota.state"
# Faust names a table's changelog after its application and the table. Tables: latest totals, alerts that fired.
QUOTA_APP = "tollbook-quota"
QUOTA_TABLES = ("latest", "fired")

ACCESS_BYTES_MAX = 4 * MIB  # a record of raw lines
MESSAGE_BYTES_MAX = 8 * MIB  # what our own processes write: a refused record and what is said about it must fit

_RESENDS = "a resend would be met in another partition than its first copy, and be billed twice"
_TOGETHER = "what belongs to one partner would be in partitions of different numbers, and quota could not add it up"
_BOOKS = "the books compare what was read and what became of it where this partition has told of it"
_LEADER = "Faust elects its leader by this one partition"


class Topic(NamedTuple):
    """One topic. `retention_ms` is None where the newest value of each key is kept for good (compacted)."""

    name: str
    partitions: int
    partitions_fixed: str | None  # why the number must be this one; None: any number will do
    retention_ms: int | None
    message_bytes_max: int
    key: str
    value: str

    @property
    def is_compacted(self) -> bool:
        """Whether only the newest value of each key stays."""
        return self.retention_ms is None


_MANY = 0  # as many partitions as the installation has
_LOGS = (
    Topic(
        GATEWAY_ACCESS, _MANY, None, 7 * DAY_MS, ACCESS_BYTES_MAX,
        key="any, or none",
        value="one or many raw log lines; headers `format` and `source`",
    ),
    # Land may lag as long as this: what is deleted before it was landed is a RETENTION_GAP.
    Topic(
        USAGE_EVENTS, _MANY, _RESENDS, 14 * DAY_MS, MESSAGE_BYTES_MAX,
        key="none; the partition is murmur2 of source, zero byte, event_id",
        value="events of that partition as an Arrow IPC stream",
    ),
    Topic(
        USAGE_DEAD, 1, _BOOKS, 30 * DAY_MS, MESSAGE_BYTES_MAX,
        key="none",
        value="refused entries as an Arrow IPC stream, and what was read",
    ),
    # As many partitions as totals have: one worker holds totals, ledger and alerts of a partner.
    Topic(
        USAGE_ALERTS, _MANY, _TOGETHER, 30 * DAY_MS, MIB,
        key="partner",
        value="an alert as a CloudEvent in JSON",
    ),
)  # fmt: skip
_STATES = (
    Topic(
        USAGE_TOTALS, _MANY, _TOGETHER, None, MIB,
        key="partner, meter, quota period, events partition; the partition is murmur2 of the partner",
        value="usage so far: cumulative, so that reading it twice is harmless",
    ),
    Topic(
        QUOTA_STATE, _MANY, _TOGETHER, None, MIB,
        key="partner, meter; the partition is murmur2 of the partner",
        value="used, limit, over",
    ),
    *(
        Topic(f"{QUOTA_APP}-{name}-changelog", _MANY, _TOGETHER, None, MIB, key="Faust's", value="Faust's")
        for name in QUOTA_TABLES
    ),
    Topic(f"{QUOTA_APP}-__assignor-__leader", 1, _LEADER, None, MIB, key="none", value="none: nothing is written to it"),
)  # fmt: skip


class Rule(NamedTuple):
    """A setting that a topic must have. `at_least`: more will do, too (-1 is without end)."""

    setting: str
    value: str
    why: str
    at_least: bool = False
    # Whether it can be mended by setting it: else what is in the topic may have suffered already.
    settable: bool = True


def table(prefix: str = "", partitions: int = PARTITIONS) -> tuple[Topic, ...]:
    """All topics of one installation."""
    return tuple(
        topic._replace(name=prefix + topic.name, partitions=topic.partitions or partitions)
        for topic in (*_LOGS, *_STATES)
    )


def quota_app(prefix: str = "") -> str:
    """The id of the Faust application, which begins the names of its topics."""
    return prefix + QUOTA_APP


def rules(topic: Topic, replication: int) -> tuple[Rule, ...]:
    """What the settings of a topic must be, with `replication` copies of it."""
    cleanup = (
        Rule(
            "cleanup.policy",
            "compact",
            "totals and alerts that were not repeated lately would be forgotten",
            settable=False,
        )
        if topic.is_compacted
        else Rule("cleanup.policy", "delete", "compaction drops records that were not read yet", settable=False)
    )
    kept = (
        (Rule("segment.ms", str(DAY_MS), "the newest segment is never compacted, and would grow for a week"),)
        if topic.is_compacted
        else (
            Rule("retention.ms", str(topic.retention_ms), "a worker that lags would find a gap", at_least=True),
            Rule("retention.bytes", str(FOREVER), "a busy day would delete what was not read yet", at_least=True),
        )
    )
    return (
        cleanup,
        *kept,
        Rule(
            "message.timestamp.type",
            "LogAppendTime",
            "what is late, and what is deleted, would go by the clocks of those who write",
            settable=False,
        ),
        Rule(
            "max.message.bytes", str(topic.message_bytes_max), "a batch would be refused by the broker", at_least=True
        ),
        Rule("compression.type", "producer", "the broker would pack each batch anew"),
        Rule(
            "min.insync.replicas",
            str(min(2, replication)),
            "what one broker alone has acknowledged is lost with it",
            at_least=True,
        ),
        Rule(
            "unclean.leader.election.enable",
            "false",
            "a broker that lags could become leader and drop what others hold",
        ),
    )
