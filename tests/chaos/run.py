"""One run: traffic, a seeded nemesis, a quiet phase, then the checker."""

import contextlib
import json
import random
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from confluent_kafka import Consumer, TopicPartition

from tests.chaos.checker import check
from tests.chaos.commits import commits_of
from tests.chaos.faults import FAULTS, Fault, back_to_work
from tests.chaos.history import (
    Happened,
    History,
    Letter,
    Place,
    RawReply,
    Verdict,
    place_in,
)
from tests.chaos.scene import CANARY, MODELS, TTL_S, ProxiedKafka, Scene
from tests.chaos.traffic import Traffic
from tests.support.replies import RawReplies
from tests.support.waiting import eventually

QUIET_S = 150.0
"""What is under way when the faults end has so long to be answered."""
COMMITTED_S = 30.0
FRESH_S = 5.0
"""A request of the quiet phase is answered in this time (I10)."""


def run(
    root: Path,
    kafka: ProxiedKafka,
    *,
    seed: int,
    seconds: float,
    lease_s: float = 5.0,
    pace_hz: float = 15.0,
    faults: Sequence[Fault] = FAULTS,
    at_least: int = 0,
    say: Callable[[str], None] = lambda _: None,
) -> Verdict:
    """Run for `seconds` with faults, then wait until all is answered; blocks.

    Longer, if there were not `at_least` so many of them by then.
    """
    chance = random.Random(seed)
    with Scene(root, kafka, seed, lease_s) as scene:
        traffic = Traffic(scene, seed, pace_hz)
        traffic.start()
        try:
            happened = torment(scene, chance, faults, seconds, say, at_least)
        finally:
            traffic.stop()
        say("quiet: waiting until all is answered")
        left_over = settle(scene, traffic, say)
        history = history_of(scene, traffic, happened, lease_s, left_over)
    return check(history)


def torment(
    scene: Scene,
    chance: random.Random,
    faults: Sequence[Fault],
    seconds: float,
    say: Callable[[str], None],
    at_least: int = 0,
    *,
    every_s: float = 0.0,
) -> list[Happened]:
    """One fault after the other, each kind once before any comes again.

    Args:
        scene: what they happen to.
        chance: decides all.
        faults: of which kinds.
        seconds: the last one begins before that.
        say: is told.
        at_least: how many there are, however long that takes.
        every_s: from the beginning of one to the next; 0: as soon as it is healed.
    """
    happened: list[Happened] = []
    started_s = time.monotonic()
    bag: list[Fault] = []
    time.sleep(2.0)
    while time.monotonic() - started_s < seconds or len(happened) < at_least:
        if not bag:
            bag = list(faults)
            chance.shuffle(bag)
        fault = bag.pop()
        begun_s = time.monotonic()
        say(f"{begun_s - started_s:6.1f} s  {fault.number:5} {fault.name}")
        struck = fault.act(scene, chance)
        happened.append(fault.happened(begun_s, time.monotonic(), struck))
        over_s = time.monotonic() - begun_s
        time.sleep(max(chance.uniform(1.0, 4.0), every_s - over_s))
    return happened


def settle(
    scene: Scene, traffic: Traffic, say: Callable[[str], None]
) -> dict[str, int]:
    """Wait until all is answered and committed; returns what should be nothing."""
    back_to_work(scene)
    kinds = ("request", "poison")
    wanted = {one.id for one in traffic.sent if one.kind in kinds}
    deadline = time.monotonic() + QUIET_S
    while time.monotonic() < deadline and wanted - scene.replies.counts().keys():
        time.sleep(0.1)
    fresh, asked_s = traffic.one(), time.monotonic()
    while fresh not in scene.replies.counts() and time.monotonic() < asked_s + QUIET_S:
        time.sleep(0.02)
    took_s = time.monotonic() - asked_s
    say(f"a fresh request took {took_s:.2f} s")
    left = {"seconds beyond for a fresh request": max(0, round(took_s - FRESH_S))}

    deadline = time.monotonic() + COMMITTED_S
    while (count := _open_offsets(scene)) and time.monotonic() < deadline:
        time.sleep(0.5)
    left["offsets that are not committed"] = count
    return left | scene.left_over()


def _open_offsets(scene: Scene) -> int:
    """Offsets of the input topics that are not committed."""
    with _asking(scene) as consumer:
        each = [
            TopicPartition(topic, number)
            for topic in scene.topics.values()
            for number in (0, 1)
        ]
        return sum(
            consumer.get_watermark_offsets(one, timeout=10)[1] - max(0, one.offset)
            for one in consumer.committed(each, timeout=10)
        )


@contextlib.contextmanager
def _asking(scene: Scene) -> Iterator[Consumer]:
    group = scene.settings.kafka.group_id
    consumer = Consumer({"bootstrap.servers": scene.kafka.bootstrap, "group.id": group})
    try:
        yield consumer
    finally:
        consumer.close()


def history_of(
    scene: Scene,
    traffic: Traffic,
    happened: list[Happened],
    lease_s: float,
    left_over: dict[str, int],
) -> History:
    """Gather all that was seen."""
    return History(
        sent=traffic.sent,
        tried=traffic.tried(),
        replies=[
            RawReply(key, json.loads(raw), raw, at_ms, place_in(headers))
            for (key, raw), at_ms, headers in zip(
                scene.replies.raw(),
                scene.replies.times_ms(),
                scene.replies.headers(),
                strict=False,
            )
        ],
        seen=traffic.seen(),
        dead_letters=_dead_letters(scene),
        commits=commits_of(scene.kafka.bootstrap, scene.settings.kafka.group_id),
        topics=scene.topics,
        calls=list(scene.server.calls),
        faults=happened,
        lease_s=lease_s,
        capacity=MODELS,
        peaks={model: scene.server.peak_in_flight(model) for model in MODELS},
        left_over=left_over,
        logs=scene.logs(),
        canary=CANARY,
        told={_source(value) for value, _ in scene.replies.conflicts()},
        ttl_s=TTL_S,
        epoch_ms=(time.time() - time.monotonic()) * 1000,
    )


def _source(value: dict) -> Place:
    """Return which record a conflict record is about."""
    source = value["conflict"]["source"]
    return source["topic"], source["partition"], source["offset"]


def _dead_letters(scene: Scene) -> list[Letter]:
    found: list[Letter] = []
    for topic in scene.topics.values():
        name = f"{topic}.dead_letter"
        with _asking(scene) as consumer:
            place = TopicPartition(name, 0)
            low, high = consumer.get_watermark_offsets(place, timeout=10)
        with RawReplies(scene.kafka.bootstrap, name, decode=bytes) as letters:
            eventually(
                lambda letters=letters, count=high - low: len(letters.raw()) >= count,
                timeout_s=20,
            )
            found += map(Letter, letters.headers(), letters.times_ms())
    return found
