"""A long run under traffic with a fault a minute: what it holds at the end, it held before.

It adds measures to a run of chaos. Faults that kill strike only the second process of
each kind, so that the first ones live for as long as the run, and with them their leaks.
"""

import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.chaos.checker import check
from tests.chaos.faults import FAULTS, Fault
from tests.chaos.history import Verdict
from tests.chaos.measures import (
    Keys,
    Sample,
    figures_of,
    held_by,
    keys_of,
    leaks_of_processes,
    leaks_of_redis,
    survivors,
    unexplained,
)
from tests.chaos.run import history_of, settle, torment
from tests.chaos.scene import MODELS, ProxiedKafka, Scene
from tests.chaos.traffic import Traffic

SPARED = frozenset({"bridge0", *(f"worker-{model}-0" for model in MODELS)})
KILLS_ANY = ("F16",)
"""Poison kills whoever reads it: nobody would live through the run."""
HORIZON_S = 60
"""How long an answered request is remembered; in production an hour."""
REPEAT_WITHIN_S = 20.0
"""What is sent again after the horizon would be a new request."""
WARM_UP_S = 60.0
SAMPLE_S = 10.0
FAULT_EVERY_S = 60.0
FORGOTTEN_S = 3 * HORIZON_S + 60.0
"""Buckets of what is remembered go whole, so the last go after two horizons."""


def soak(
    root: Path,
    kafka: ProxiedKafka,
    *,
    seed: int,
    seconds: float,
    lease_s: float = 5.0,
    pace_hz: float = 15.0,
    faults: Sequence[Fault] = FAULTS,
    say: Callable[[str], None] = lambda _: None,
) -> Verdict:
    """Run for `seconds` with a fault a minute, wait until it is calm, compare; blocks."""
    chance = random.Random(seed)
    faults = [fault for fault in faults if fault.number not in KILLS_ANY]
    with Scene(root, kafka, seed, lease_s, HORIZON_S, SPARED) as scene:
        fresh = _keys(scene)
        traffic = Traffic(scene, seed, pace_hz, repeat_within_s=REPEAT_WITHIN_S)
        traffic.start()
        try:
            say(f"{WARM_UP_S:g} s of warming up")
            time.sleep(WARM_UP_S)
            with _sampled(scene) as samples:
                happened = torment(
                    scene, chance, faults, seconds, say, every_s=FAULT_EVERY_S
                )
        finally:
            traffic.stop()
        say("quiet: waiting until all is answered")
        left_over = settle(scene, traffic, say)
        say("waiting until all is forgotten")
        end = _forgotten(scene, fresh)
        samples.append(_sample(scene))
        history = history_of(scene, traffic, happened, lease_s, left_over)
    verdict = check(history)
    verdict.figures |= figures_of(samples, fresh, end)
    verdict.broken += leaks_of_redis(fresh, end) + leaks_of_processes(samples)
    gone = SPARED - survivors(samples)
    verdict.broken += [f"soak: {name} ended, and nobody told it to" for name in gone]
    return verdict


def _keys(scene: Scene) -> Keys:
    with scene.redis_client() as client:
        return keys_of(client, scene.settings.namespace)


def _forgotten(scene: Scene, fresh: Keys) -> Keys:
    """Wait for the end of the horizon."""
    deadline = time.monotonic() + FORGOTTEN_S
    while unexplained(fresh, now := _keys(scene)) and time.monotonic() < deadline:
        time.sleep(1.0)
    return now


def _sample(scene: Scene) -> Sample:
    held = {name: held_by(pid) for name, pid in scene.pids().items()}
    return Sample(time.monotonic(), {n: one for n, one in held.items() if one})


@contextmanager
def _sampled(scene: Scene) -> Iterator[list[Sample]]:
    """Sample now and every few seconds, on a thread."""
    samples, over = [_sample(scene)], threading.Event()

    def go_on() -> None:
        while not over.wait(SAMPLE_S):
            samples.append(_sample(scene))

    thread = threading.Thread(target=go_on, name="samples")
    thread.start()
    try:
        yield samples
    finally:
        over.set()
        thread.join()
