"""Which topics an installation needs, how they should be, and what one lacks; pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from agentsched.config.settings import Settings
from agentsched.wire.dead_letters import dead_letter_topic

SAFE_REPLICATION = 3
SAFE_IN_SYNC = 2
"""Of three replicas: one may be lost without losing what was acknowledged."""
FOREVER_MS = -1
WEEK_MS = 604_800_000


class Role(StrEnum):
    """What a topic is for."""

    INPUT = "input"
    REPLY = "reply"
    DEAD_LETTER = "dead letter"


@dataclass(frozen=True, slots=True)
class TopicState:
    """A topic as Kafka has it."""

    name: str
    partitions: int
    replication: int
    """The fewest replicas of any partition."""
    in_sync: int
    """The fewest replicas of any partition that are up to date."""
    without_leader: tuple[int, ...] = ()
    """Partitions that can be neither read nor written now."""
    records: int | None = None
    """Offsets that it keeps; None: not known."""
    config: Mapping[str, str] | None = field(default=None)
    """Its configuration; None: this broker does not tell (the embedded one)."""

    @property
    def retention_ms(self) -> int | None:
        """How long it keeps records; -1 for ever; None: not known."""
        text = (self.config or {}).get("retention.ms")
        return int(text) if text is not None else None


@dataclass(frozen=True, slots=True)
class Shortcoming:
    """One thing about a topic that is not as it should be."""

    text: str
    is_fault: bool = True
    """Whether the delivery contract breaks; else it is only less safe."""
    fix: str = ""
    """What to do, where the text does not say it."""


def planned_topics(settings: Settings) -> dict[str, Role]:
    """Return every topic of an installation with its role, in the order of the flow."""
    kafka = settings.kafka
    return {
        **dict.fromkeys(kafka.input_topics, Role.INPUT),
        **dict.fromkeys((kafka.output_topic, *kafka.reply_topics), Role.REPLY),
        **dict.fromkeys(map(dead_letter_topic, kafka.input_topics), Role.DEAD_LETTER),
    }


def planned_config(replication: int, retention_s: float) -> dict[str, str]:
    """Return the configuration of a new topic, beside the size of its records.

    Args:
        replication: its replicas; with three, two must have what is acknowledged.
        retention_s: how long it keeps records.
    """
    in_sync = SAFE_IN_SYNC if replication >= SAFE_REPLICATION else 1
    return {
        "message.timestamp.type": "LogAppendTime",
        "cleanup.policy": "delete",
        "retention.ms": str(round(retention_s * 1000)),
        "min.insync.replicas": str(in_sync),
        "unclean.leader.election.enable": "false",
    }


def value_max_bytes(role: Role, settings: Settings) -> int:
    """Return the largest value that records of a role may have."""
    limits = settings.limits
    return limits.reply_max_bytes if role is Role.REPLY else limits.request_max_bytes


def shortcomings(
    state: TopicState | None, role: Role, settings: Settings
) -> list[Shortcoming]:
    """Return what is wrong with a topic, faults first.

    Args:
        state: None: Kafka does not have it.
        role: what it is for.
        settings: of the installation.
    """
    if state is None:
        return [Shortcoming("missing: `agentsched topics create` makes it")]
    found = [*_of_partitions(state)]
    if (config := state.config) is not None:
        found += _of_keeping(state, config, settings)
        found += _of_acknowledging(state, config)
        found += _of_records(state, config, role, settings)
    return sorted(found, key=lambda one: not one.is_fault)


def _of_partitions(state: TopicState) -> Iterator[Shortcoming]:
    if state.without_leader:
        listed = ", ".join(map(str, state.without_leader))
        yield Shortcoming(f"no leader for partition {listed}: is a broker down?")
    if state.in_sync < state.replication:
        yield Shortcoming(
            f"only {state.in_sync} of {state.replication} replicas are up to date",
            is_fault=False,
        )
    if state.replication < SAFE_REPLICATION:
        yield Shortcoming(
            f"replication {state.replication}: a lost disk may take records with it",
            is_fault=False,
        )


def _of_keeping(
    state: TopicState, config: Mapping[str, str], settings: Settings
) -> Iterator[Shortcoming]:
    """Whether Kafka drops what still waits."""
    if "compact" in config.get("cleanup.policy", ""):
        yield Shortcoming(
            "cleanup.policy compact: Kafka may drop what is not read yet",
            fix=_alter(state.name, "cleanup.policy", "delete"),
        )
    longest_s = settings.limits.ttl_max_s
    retention_ms = state.retention_ms
    if retention_ms is not None and FOREVER_MS < retention_ms <= longest_s * 1000:
        yield Shortcoming(
            f"retention.ms {retention_ms} is not longer than limits.ttl_max_s"
            f" ({longest_s:g} s): what waits may be dropped",
            fix=_alter(state.name, "retention.ms", str(WEEK_MS)),
        )
    if int(config.get("retention.bytes", FOREVER_MS)) != FOREVER_MS:
        yield Shortcoming(
            f"retention.bytes {config['retention.bytes']}: a flood may push out what"
            " waits, whatever its age",
            fix=_alter(state.name, "retention.bytes", str(FOREVER_MS)),
        )


def _of_acknowledging(
    state: TopicState, config: Mapping[str, str]
) -> Iterator[Shortcoming]:
    """Whether what was acknowledged may be lost."""
    if config.get("unclean.leader.election.enable") == "true":
        yield Shortcoming(
            "unclean.leader.election.enable: what was acknowledged may be lost",
            fix=_alter(state.name, "unclean.leader.election.enable", "false"),
        )
    in_sync = int(config.get("min.insync.replicas", "1"))
    if state.replication >= SAFE_REPLICATION and in_sync < SAFE_IN_SYNC:
        yield Shortcoming(
            f"min.insync.replicas {in_sync}: a record may be acknowledged by one"
            " broker only",
            is_fault=False,
            fix=_alter(state.name, "min.insync.replicas", str(SAFE_IN_SYNC)),
        )


def _of_records(
    state: TopicState, config: Mapping[str, str], role: Role, settings: Settings
) -> Iterator[Shortcoming]:
    """Whether records have the right time, and find room."""
    if config.get("message.timestamp.type") != "LogAppendTime":
        yield Shortcoming(
            "message.timestamp.type is not LogAppendTime: deadlines count from when"
            " a bridge sees a record",
            is_fault=False,
            fix=_alter(state.name, "message.timestamp.type", "LogAppendTime"),
        )
    limit = int(config.get("max.message.bytes", "0"))
    if 0 < limit < (most := value_max_bytes(role, settings)):
        yield Shortcoming(
            f"max.message.bytes {limit} is below the {most} that"
            f" {_limit_name(role)} allows: Kafka refuses larger records",
            fix=f"raise max.message.bytes, or lower {_limit_name(role)}",
        )


def _alter(topic: str, key: str, value: str) -> str:
    """Return the command of Kafka's own tools that sets a topic's configuration."""
    return (
        f"kafka-configs.sh --alter --entity-type topics --entity-name {topic}"
        f" --add-config {key}={value}"
    )


def _limit_name(role: Role) -> str:
    return f"limits.{'reply' if role is Role.REPLY else 'request'}_max_bytes"
