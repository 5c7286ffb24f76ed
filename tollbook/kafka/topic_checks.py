"""The topics as they are, compared with the topics as they must be. Pure: what is found comes in, differences go out."""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from schemas.kafka.topics import FOREVER, RequiredSetting, Topic, required_settings
from tollbook.kafka.cluster import Found


class Difference(NamedTuple):
    """One difference. `topic` is None for the cluster itself.

    `missing`: the topic is not there, and can be made. `setting`: what mends it, where setting it is enough. Neither: what is
    in the topic may have suffered, or would; people must decide.
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
    demanded: Iterable[Topic], found: Mapping[str, Found], *, replication: int, makes_topics_itself: bool | None
) -> list[Difference]:
    """All of them, the cluster's first, then in the order of the topics."""
    all_of_them = [] if not makes_topics_itself else [_OWN_TOPICS]
    for topic in demanded:
        if topic.name in found:
            all_of_them += _in_topic(topic, found[topic.name], replication)
        else:
            all_of_them.append(Difference(topic.name, "is not there", _CREATE, missing=True))
    return all_of_them


_CREATE = "`tollbook topics create` makes it"
_OWN_TOPICS = Difference(
    None,
    "auto.create.topics.enable is true: a topic would be made by a slip of the pen, with settings that lose records",
    "set it to false on every broker, and restart them",
)


def _in_topic(topic: Topic, found: Found, replication: int) -> Iterator[Difference]:
    name = topic.name
    if topic.partitions_fixed is not None and found.partitions != topic.partitions:
        yield Difference(
            name,
            f"has {found.partitions} partitions, not {topic.partitions}: {topic.partitions_fixed}",
            f"give --partitions {found.partitions} if all topics were made with that; otherwise begin anew under another --prefix",
        )
    if found.replication < replication:
        yield Difference(
            name,
            f"replication is {found.replication}, not {replication} or more: what it holds is lost with so many disks",
            f"reassign its partitions (kafka-reassign-partitions), or give --replication {found.replication}",
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
        f"if nothing was written to it yet: kafka-configs --alter --entity-type topics --entity-name {name} "
        f"--add-config {rule.setting}={rule.value}; otherwise begin anew under another --prefix"
    )
