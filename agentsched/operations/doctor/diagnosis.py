"""Owns the judgement of `agentsched doctor`: from facts to findings; pure.

It asks nobody; `agentsched.operations.doctor.facts` gathers the facts.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from agentsched.config.settings import Settings
from agentsched.kafka.topic_plan import TopicState, planned_topics, shortcomings
from agentsched.wire.records import Depth, Partition

MAX_SKEW_S = 2.0
"""More than clocks differ that some service keeps right."""
REDIS_LEAST = (6, 2)
"""What the ledger's scripts need; Valkey reports a Redis version that it equals."""
OK_STATUS = 200
REFUSED_STATUS = (401, 403)
SAFE_BROKERS = 3


class Level(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    ADVICE = "advice"
    """It works, and is less safe than it could be."""
    FAULT = "fault"
    """Requests are not answered, or may be lost."""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One thing that was checked."""

    what: str
    """The part: `kafka`, `topic NAME`, `redis`, `worker QUEUE`, `endpoint URL`, `clock`."""
    level: Level
    text: str
    fix: str = ""
    """What to do; empty where nothing has to be done."""


@dataclass(frozen=True, slots=True)
class RedisFacts:
    """What a Redis or Valkey says of itself."""

    version: str
    config: Mapping[str, str]
    """Empty where it does not let us look (managed servers often do not)."""
    ahead_s: float
    """Its clock less ours."""


@dataclass(frozen=True, slots=True)
class EndpointFacts:
    """What a model server said to `GET /models`."""

    status: int | None = None
    """None: there was no answer."""
    problem: str = ""
    """Why there was none; never a key."""


def of_topics(
    settings: Settings, brokers: int, topics: Mapping[str, TopicState | None]
) -> list[CheckResult]:
    """Judge the topics of an installation.

    Args:
        settings: of the installation.
        brokers: how many Kafka has.
        topics: by name; None: missing.
    """
    findings = [CheckResult("kafka", Level.OK, f"answers, {brokers} broker(s)")]
    if brokers < SAFE_BROKERS:
        findings.append(
            CheckResult(
                "kafka",
                Level.ADVICE,
                f"{brokers} broker(s): a lost disk may take acknowledged requests with it",
                "run three, with replication 3 and min.insync.replicas 2",
            )
        )
    for name, role in planned_topics(settings).items():
        said = shortcomings(topics.get(name), role, settings)
        findings += [
            CheckResult(
                f"topic {name}",
                Level.FAULT if one.is_fault else Level.ADVICE,
                one.text,
                one.fix,
            )
            for one in said
        ]
        if not said:
            findings.append(CheckResult(f"topic {name}", Level.OK, "as it should be"))
    return findings


def of_redis(facts: RedisFacts) -> list[CheckResult]:
    """Judge the Redis of the ledger and of Celery."""
    return [*_version(facts), *_memory(facts), *_append_only(facts), *_clock(facts)]


def _version(facts: RedisFacts) -> list[CheckResult]:
    numbers = tuple(int(part) for part in re.findall(r"\d+", facts.version)[:2])
    if numbers < REDIS_LEAST:
        fix = "upgrade to Redis 6.2 or later, or Valkey"
        text = f"version {facts.version} is too old for the ledger's scripts"
        return [CheckResult("redis", Level.FAULT, text, fix)]
    return [CheckResult("redis", Level.OK, f"answers, version {facts.version}")]


def _memory(facts: RedisFacts) -> list[CheckResult]:
    policy = facts.config.get("maxmemory-policy")
    if policy is None:
        text = "does not tell its configuration: eviction and persistence are unchecked"
        fix = "see to maxmemory-policy noeviction and appendonly yes yourself"
        return [CheckResult("redis", Level.ADVICE, text, fix)]
    if policy != "noeviction":
        text = f"maxmemory-policy is {policy}: under pressure it forgets requests"
        fix = "CONFIG SET maxmemory-policy noeviction, and in its configuration file"
        return [CheckResult("redis", Level.FAULT, text, fix)]
    return [CheckResult("redis", Level.OK, "maxmemory-policy is noeviction")]


def _append_only(facts: RedisFacts) -> list[CheckResult]:
    kept = facts.config.get("appendonly")
    if kept is None:
        return []
    if kept != "yes":
        text = "appendonly is no: after a restart all that is in flight runs again"
        fix = "CONFIG SET appendonly yes, and in its configuration file"
        return [CheckResult("redis", Level.ADVICE, text, fix)]
    return [CheckResult("redis", Level.OK, "keeps an append-only file")]


def _clock(facts: RedisFacts) -> list[CheckResult]:
    if abs(facts.ahead_s) > MAX_SKEW_S:
        where = "ahead of" if facts.ahead_s > 0 else "behind"
        text = (
            f"the clock of Redis is {abs(facts.ahead_s):.0f} s {where} this machine's"
        )
        fix = "let chrony or systemd-timesyncd keep the clocks of all machines"
        return [CheckResult("clock", Level.ADVICE, text, fix)]
    return [CheckResult("clock", Level.OK, "Redis and this machine agree")]


def of_workers(
    settings: Settings, live_slots: Mapping[str, int], waiting: Mapping[str, int]
) -> list[CheckResult]:
    """Judge who serves the queues.

    Args:
        settings: of the installation.
        live_slots: slots of the live workers, by model.
        waiting: requests that wait for a worker, by model.
    """
    findings = []
    for model in settings.models:
        slots, what = live_slots.get(model.name, 0), f"worker {model.queue}"
        start = f"celery -A agentsched worker -Q {model.queue}"
        if not slots:
            count = waiting.get(model.name, 0)
            level = Level.FAULT if count else Level.ADVICE
            text = (
                f"no live worker serves {model.name}: {count:,} requests wait for one"
            )
            findings.append(CheckResult(what, level, text, f"start one: {start}"))
        elif slots < model.capacity:
            text = f"{slots} slots for a capacity of {model.capacity}"
            fix = f"start another ({start}), or pool_grow"
            findings.append(CheckResult(what, Level.ADVICE, text, fix))
        else:
            findings.append(CheckResult(what, Level.OK, f"{slots} slots"))
    return findings


def of_bridges(count: int) -> list[CheckResult]:
    """Judge whether somebody reads the topics."""
    if not count:
        text = "none is alive: nothing is read from Kafka"
        return [CheckResult("bridge", Level.FAULT, text, "start one: python -m bridge")]
    return [CheckResult("bridge", Level.OK, f"{count} alive")]


def of_endpoints(facts: Mapping[str, EndpointFacts]) -> list[CheckResult]:
    """Judge the model servers, by base URL."""
    return [_endpoint(f"endpoint {url}", one) for url, one in facts.items()]


def _endpoint(what: str, facts: EndpointFacts) -> CheckResult:
    if facts.status is None:
        fix = "start the server, or mend base_url or the key's variable"
        return CheckResult(what, Level.FAULT, facts.problem, fix)
    if facts.status in REFUSED_STATUS:
        text = f"refuses our key (HTTP {facts.status})"
        fix = "put a valid key into the variable or file that api_key_* names"
        return CheckResult(what, Level.FAULT, text, fix)
    if facts.status != OK_STATUS:
        text = f"answers, but HTTP {facts.status} to GET /models"
        fix = "see that base_url ends where /chat/completions follows, often in /v1"
        return CheckResult(what, Level.ADVICE, text, fix)
    return CheckResult(what, Level.OK, "answers and takes our key")


def of_group(group_id: str, depths: Mapping[Partition, Depth]) -> list[CheckResult]:
    """Judge from where a bridge would read that starts now; for when none runs.

    A group that is new on a topic, as after a change of `namespace`, begins at the oldest
    record, and knows nothing of what another group has answered.

    Args:
        group_id: of the bridges.
        depths: of all partitions of the input topics.
    """
    topics = dict.fromkeys(each.topic for each in depths)
    findings = []
    for topic in topics:
        held = [depth for each, depth in depths.items() if each.topic == topic]
        records = sum(depth.end - depth.low for depth in held)
        if records and all(depth.committed is None for depth in held):
            findings.append(_new_on(topic, group_id, records))
    return findings or [CheckResult("group", Level.OK, "goes on where it stopped")]


def _new_on(topic: str, group_id: str, records: int) -> CheckResult:
    return CheckResult(
        f"group {group_id}",
        Level.ADVICE,
        f"has committed nothing on {topic}, which holds {records:,} records: a bridge would"
        " read them all. Those whose time to live is not over run, also if another group"
        " has answered them; the others are answered DEADLINE_EXCEEDED",
        "nothing, if they are new requests. Else wait until limits.ttl_max_s is over, or"
        " begin at the end, before a bridge starts: kafka-consumer-groups.sh"
        f" --bootstrap-server HOST:PORT --group {group_id} --topic {topic}"
        " --reset-offsets --to-latest --execute",
    )


def exit_code(findings: Sequence[CheckResult]) -> int:
    """Return 1 where there is a fault, else 0."""
    return int(any(one.level is Level.FAULT for one in findings))
