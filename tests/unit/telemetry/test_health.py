"""Indicators and pollers behind the health pages."""

import threading

from agentsched.errors import LedgerUnavailable, NewerFormat
from agentsched.telemetry.health import Check, Indicator, Poller, RedisIndicator
from tests.support.waiting import eventually


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_a_loop_that_turns_is_live() -> None:
    clock = Clock()
    loop = Indicator("loop", 60, clock, ok=True)
    clock.now_s += 59
    loop.report()
    clock.now_s += 59
    assert loop.check() == Check(ok=True)


def test_a_loop_that_is_silent_for_too_long_is_stuck() -> None:
    clock = Clock()
    loop = Indicator("loop", 60, clock, ok=True)
    clock.now_s += 61
    assert loop.check() == Check(ok=False, detail="loop: silent for 61 s")


def test_what_was_never_reported_is_not_ok() -> None:
    assert Indicator("Redis", 5).check() == Check(
        ok=False, detail="Redis: not known yet"
    )


def test_what_was_reported_is_shown() -> None:
    indicator = Indicator("Redis", 5, Clock())
    indicator.report(ok=False, detail="no answer")
    assert indicator.check() == Check(ok=False, detail="no answer")
    indicator.report()
    assert indicator.check() == Check(ok=True)


def test_ok_goes_stale() -> None:
    clock = Clock()
    indicator = Indicator("Redis", 5, clock)
    indicator.report()
    clock.now_s += 6
    assert indicator.check() == Check(ok=False, detail="Redis: silent for 6 s")


def test_redis_is_logged_when_it_goes_and_when_it_is_back(caplog) -> None:
    caplog.set_level("INFO", logger="agentsched.events")
    redis = RedisIndicator(5, Clock())
    redis.answered()
    for _ in range(2):
        redis.failed("claim", LedgerUnavailable("no answer"))
    assert (redis.is_unreachable, redis.check().detail) == (True, "no answer")
    redis.answered()
    for _ in range(2):
        redis.too_old(NewerFormat("upgrade"))
    assert redis.check().detail == "upgrade"
    names = [message.split()[0] for message in caplog.messages]
    assert names == ["redis_unreachable", "redis_reachable", "process_too_old"]


def test_a_poller_reports_every_answer() -> None:
    answers = [RuntimeError("gone"), None, None]
    seen, more = [], threading.Event()

    def ask() -> None:
        seen.append(poller.check())
        answer = answers.pop(0)
        if not answers:
            more.set()
            answers.append(None)
        if answer:
            raise answer

    poller = Poller("Kafka", ask, expected=RuntimeError, every_s=0, good_for_s=60)
    poller.start()
    try:
        assert more.wait(60)
        eventually(lambda: len(seen) > 3)
    finally:
        poller.stop(10)
    assert [check.ok for check in seen[:3]] == [False, False, True]
    assert seen[1].detail == "gone"


def test_a_poller_may_be_stopped_before_it_started_and_twice() -> None:
    poller = Poller("x", dict, expected=OSError, every_s=60, good_for_s=1)
    poller.stop(0)
    poller.start()
    poller.stop(10)
    poller.stop(10)
