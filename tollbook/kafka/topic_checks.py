"""Compares existing topics with the required ones. Pure: it takes the topics found, and returns the differences."""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from schemas.kafka.topics import FOREVER, RequiredSetting, Topic, required_settings
from tollbook.kafka.cluster import ExistingTopic


class Difference(NamedTuple):
    """One difference. `topic` is None for the cluster itself.

    `missing`: the topic does not exist and can be created. `setting`: the change of a setting that fixes the
    difference. Neither: the data in the topic may be damaged, or would be, so a person must decide.
    """

    topic: str | None
    what: str
    remedy: str
    missing: bool = False
    setting: tuple[str, str] | None = None

    @property
    def is_grave(self) -> bool:
        """Whether `tollbook topics create` must not touch it."""
        return not self.missing and self.setting is None

    def __str__(self) -> str:
        return f"{self.topic or 'brokers'}: {self.what}; {self.remedy}"


def differences(
    demanded: Iterable[Topic], found: Mapping[str, ExistingTopic], *, replication: int, makes_topics_itself: bool | None
) -> list[Difference]:
    """All differences: first that of the cluster, then in the order of the topics."""
    all_of_them = [] if not makes_topics_itself else [_OWN_TOPICS]
    for topic in demanded:
        if topic.name in found:
            all_of_them += _in_topic(topic, found[topic.name], replication)
        else:
            all_of_them.append(Difference(topic.name, "does not exist", _CREATE, missing=True))
    return all_of_them


_CREATE = "`tollbook topics create` creates it"
_OWN_TOPICS = Difference(
    None,
    "auto.create.topics.enable is true, so a mistyped name would create a topic with settings that lose records",
    "set it to false on every broker, and restart the brokers",
)


def _in_topic(topic: Topic, found: ExistingTopic, replication: int) -> Iterator[Difference]:
    name = topic.name
    if topic.partitions_fixed is not None and found.partitions != topic.partitions:
        yield Difference(
            name,
            f"has {found.partitions} partitions, not {topic.partitions}: {topic.partitions_fixed}",
            f"use --partitions {found.partitions} if all topics were created with it; otherwise start over with another --prefix",
        )
    if found.replication < replication:
        yield Difference(
            name,
            f"replication is {found.replication}, not {replication} or more: its data is lost if {found.replication} disks fail",
            f"reassign its partitions (kafka-reassign-partitions), or use --replication {found.replication}",
        )
    for rule in required_settings(topic, min(replication, found.replication)):
        value = found.settings.get(rule.setting, "unknown")
        if not _is_met(rule, value):
            yield Difference(
                name,
                f"{rule.setting} is {value}, not {rule.value}{' or more' if rule.at_least else ''}: {rule.why}",
                f"`tollbook topics create` sets it to {rule.value}" if rule.settable else _by_hand(rule, name),
                setting=(rule.setting, rule.value) if rule.settable else None,
            )


def _is_met(rule: RequiredSetting, value: str) -> bool:
    if not rule.at_least:
        return value == rule.value
    return value.lstrip("-").isdigit() and (
        int(value) == FOREVER or (int(rule.value) != FOREVER and int(value) >= int(rule.value))
    )


def _by_hand(rule: RequiredSetting, name: str) -> str:
    return (
        f"if nothing has been written to it, run kafka-configs --alter --entity-type topics --entity-name {name} "
        f"--add-config {rule.setting}={rule.value}; otherwise start over with another --prefix"
    )
