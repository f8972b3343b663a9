"""Pulses, signals and the watch behind the health pages."""

import threading

from agentsched.telemetry.health import Check, Health, Pulse, Signal, Watch
from tests.support.waiting import eventually


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_a_loop_that_turns_is_live() -> None:
    clock = Clock()
    pulse = Pulse(clock)
    health = Health({"loop": pulse}, 60, {})
    clock.now_s += 59
    pulse.turn()
    clock.now_s += 59
    assert health.live() == {"loop": Check(ok=True)}


def test_a_loop_that_is_silent_for_too_long_is_stuck() -> None:
    clock = Clock()
    health = Health({"loop": Pulse(clock)}, 60, {})
    clock.now_s += 61
    assert health.live() == {"loop": Check(ok=False, detail="loop: no turn for 61 s")}


def test_what_was_never_told_is_not_ok() -> None:
    assert not Signal("Redis", 5).check().ok


def test_what_was_told_is_shown() -> None:
    signal = Signal("Redis", 5, Clock())
    signal.tell(ok=False, detail="no answer")
    assert signal.check() == Check(ok=False, detail="no answer")
    signal.tell(ok=True)
    assert signal.check() == Check(ok=True)


def test_ok_goes_stale() -> None:
    clock = Clock()
    signal = Signal("Redis", 5, clock)
    signal.tell(ok=True)
    clock.now_s += 6
    assert signal.check() == Check(ok=False, detail="Redis: silent for 6 s")


def test_a_watch_tells_of_every_answer() -> None:
    answers, signal = [RuntimeError("gone"), None, None], Signal("Kafka", 60)
    seen, more = [], threading.Event()

    def ask() -> None:
        seen.append(signal.check())
        answer = answers.pop(0)
        if not answers:
            more.set()
            answers.append(None)
        if answer:
            raise answer

    watch = Watch(ask, signal, expected=RuntimeError, every_s=0)
    watch.start()
    try:
        assert more.wait(60)
        eventually(lambda: len(seen) > 3)
    finally:
        watch.stop(10)
    assert [check.ok for check in seen[:3]] == [False, False, True]
    assert seen[1].detail == "gone"


def test_a_watch_may_be_stopped_before_it_started_and_twice() -> None:
    watch = Watch(dict, Signal("x", 1), expected=OSError, every_s=60)
    watch.stop(0)
    watch.start()
    watch.stop(10)
    watch.stop(10)
