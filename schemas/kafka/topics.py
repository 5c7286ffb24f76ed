"""The closed list of Kafka topics, what each holds, and the settings that exact results require.

A prefix on the names lets several installations share a cluster. `tollbook topics create` creates every topic before
any worker runs; neither the broker nor Faust creates a topic on first use.
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
# Faust names a table's changelog after its application and the table. The tables hold the latest totals and the fired
# alerts.
QUOTA_APP = "tollbook-quota"
QUOTA_TABLES = ("latest", "fired")

ACCESS_BYTES_MAX = 4 * MIB  # of a record of raw lines
MESSAGE_BYTES_MAX = 8 * MIB  # of our own messages: a refused record and its columns must fit

_RESENDS = "a resend would go to another partition than its first copy, and be billed twice"
_TOGETHER = "the data of one partner would be in partitions of different numbers, and quota could not add it up"
_BOOKS = "the books balance what was read only as far as this one partition reports it"
_LEADER = "Faust elects its leader by this one partition"


class Topic(NamedTuple):
    """One topic. `retention_ms` is None for a compacted topic, which keeps the newest value of each key forever."""

    name: str
    partitions: int
    partitions_fixed: str | None  # why the number must not differ; None: any number is allowed
    retention_ms: int | None
    message_bytes_max: int
    key: str
    value: str

    @property
    def is_compacted(self) -> bool:
        """Whether only the newest value of each key is kept."""
        return self.retention_ms is None


_MANY = 0  # stands for the installation's number of partitions
_LOGS = (
    Topic(
        GATEWAY_ACCESS, _MANY, None, 7 * DAY_MS, ACCESS_BYTES_MAX,
        key="any, or none",
        value="one or more raw log lines; headers `format` and `source`",
    ),
    # The land worker may lag by this much. Deletion of a message that was not landed is a RETENTION_GAP.
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
    # The same number of partitions as for totals: one worker holds the totals, ledger and alerts of a partner.
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
        value="usage so far; cumulative, so reading it twice is harmless",
    ),
    Topic(
        QUOTA_STATE, _MANY, _TOGETHER, None, MIB,
        key="partner, meter, plan, period; or credential|KIND:ID; the partition is murmur2 of the partner",
        value="used, limit, over; or a decision",
    ),
    *(
        Topic(f"{QUOTA_APP}-{name}-changelog", _MANY, _TOGETHER, None, MIB, key="Faust's", value="Faust's")
        for name in QUOTA_TABLES
    ),
    Topic(f"{QUOTA_APP}-__assignor-__leader", 1, _LEADER, None, MIB, key="none", value="none: nothing is written to it"),
)  # fmt: skip


class RequiredSetting(NamedTuple):
    """A setting that a topic must have. With `at_least`, larger values are allowed, and so is -1 (no limit)."""

    setting: str
    value: str
    why: str
    at_least: bool = False
    # Whether setting it is a fix. Otherwise the data in the topic may already be damaged.
    settable: bool = True


def table(prefix: str = "", partitions: int = PARTITIONS) -> tuple[Topic, ...]:
    """All topics of an installation."""
    return tuple(
        topic._replace(name=prefix + topic.name, partitions=topic.partitions or partitions)
        for topic in (*_LOGS, *_STATES)
    )


def quota_app(prefix: str = "") -> str:
    """The id of the Faust application. The names of its topics begin with it."""
    return prefix + QUOTA_APP


def required_settings(topic: Topic, replication: int) -> tuple[RequiredSetting, ...]:
    """The settings that a topic with `replication` replicas must have."""
    cleanup = (
        RequiredSetting(
            "cleanup.policy",
            "compact",
            "totals and alerts that were not repeated recently would be deleted",
            settable=False,
        )
        if topic.is_compacted
        else RequiredSetting("cleanup.policy", "delete", "compaction drops unread records", settable=False)
    )
    retention = (
        (
            RequiredSetting(
                "segment.ms", str(DAY_MS), "the active segment is never compacted, and would grow for a week"
            ),
        )
        if topic.is_compacted
        else (
            RequiredSetting(
                "retention.ms", str(topic.retention_ms), "a lagging worker would find a gap", at_least=True
            ),
            RequiredSetting("retention.bytes", str(FOREVER), "a busy day would delete unread records", at_least=True),
        )
    )
    return (
        cleanup,
        *retention,
        RequiredSetting(
            "message.timestamp.type",
            "LogAppendTime",
            "lateness and deletion would depend on the producers' clocks",
            settable=False,
        ),
        RequiredSetting(
            "max.message.bytes", str(topic.message_bytes_max), "the broker would refuse large batches", at_least=True
        ),
        RequiredSetting("compression.type", "producer", "the broker would recompress each batch"),
        RequiredSetting(
            "min.insync.replicas",
            str(min(2, replication)),
            "a message acknowledged by a single broker is lost with that broker",
            at_least=True,
        ),
        RequiredSetting(
            "unclean.leader.election.enable",
            "false",
            "a lagging broker could become leader and drop acknowledged messages",
        ),
    )
