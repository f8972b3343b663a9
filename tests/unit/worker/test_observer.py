"""What a worker tells of requests and of itself."""

import logging
from collections.abc import Iterator

import pytest

from agentsched.errors import CallFailed, ErrorCode
from agentsched.ledger.turns import Taken
from agentsched.telemetry import metrics
from agentsched.telemetry.logs import LogEntry
from agentsched.telemetry.meters import Meters
from agentsched.worker.call_result import Job
from agentsched.worker.heartbeat import Heartbeat
from agentsched.worker.observer import WorkerObserver
from tests.support.requests import facts
from tests.support.waiting import eventually
from tests.unit.worker.fakes import Desk

LABELS = ("m", "medium")


class Watched(Desk):
    """A desk whose execution tells somebody."""

    def __init__(self) -> None:
        self.meters = Meters("worker")
        self.observer = WorkerObserver(self.meters, beat_ttl_s=60)
        super().__init__(observer=self.observer)

    def value(self, metric, *labels, suffix=""):
        return self.meters.value(metric, *labels, suffix=suffix)


@pytest.fixture
def desk(caplog) -> Iterator[Watched]:
    caplog.set_level(logging.DEBUG, logger="agentsched.events")
    desk = Watched()
    yield desk
    desk.close()


def said(caplog) -> list[str]:
    messages = [record.msg for record in caplog.records]
    return [m.event.name for m in messages if isinstance(m, LogEntry)]


def test_an_answered_request_is_in_every_number_once(desk, caplog) -> None:
    desk.run()
    assert desk.value(metrics.ANSWERED, *LABELS, "OK") == 1
    for histogram in (
        metrics.QUEUE_SECONDS,
        metrics.MODEL_CALL_SECONDS,
        metrics.REQUEST_SECONDS,
    ):
        assert desk.value(histogram, *LABELS, suffix="_count") == 1
    assert desk.value(metrics.MODEL_CALL_SECONDS, *LABELS, suffix="_sum") == 0.25
    assert desk.value(metrics.TAKES_ENDED, "m", "answered") == 1
    assert desk.value(metrics.CALLS_IN_FLIGHT, *LABELS) == 0
    assert desk.value(metrics.ATTEMPTS_REPEATED, *LABELS) is None
    assert said(caplog) == ["request_taken", "request_completed"]


def test_every_turn_is_measured_once(desk) -> None:
    desk.run()
    turns = desk.value(metrics.TURNS)
    assert turns >= 3  # it takes, completes, and tells that it has published
    assert desk.value(metrics.TURN_SECONDS, suffix="_count") == turns


def test_the_total_contains_the_wait(desk) -> None:
    desk.run()
    total = desk.value(metrics.REQUEST_SECONDS, *LABELS, suffix="_sum")
    queued = desk.value(metrics.QUEUE_SECONDS, *LABELS, suffix="_sum")
    assert total >= queued >= 0.05


def test_a_call_in_flight_is_shown_while_it_runs(desk) -> None:
    seen = []
    desk.completer.meanwhile = lambda: seen.append(
        desk.value(metrics.CALLS_IN_FLIGHT, *LABELS)
    )
    desk.run()
    assert seen == [1]


def test_a_failed_request_counts_with_its_code(desk, caplog) -> None:
    desk.completer.outcome = CallFailed(ErrorCode.MODEL_REJECTED, "no", retryable=False)
    desk.run()
    assert desk.value(metrics.ANSWERED, *LABELS, "MODEL_REJECTED") == 1
    assert desk.value(metrics.MODEL_CALL_SECONDS, *LABELS, suffix="_count") == 1
    assert said(caplog)[-1] == "request_failed"
    assert "code=MODEL_REJECTED" in caplog.text


def test_a_second_start_is_counted(desk) -> None:
    eventually(desk.slots.waiting)
    doorbell = desk.admitted()
    desk.crash()
    desk.plan()
    desk.ring(doorbell)
    desk.ended()
    assert desk.value(metrics.ATTEMPTS_REPEATED, *LABELS) == 1


def test_a_reply_that_kafka_does_not_take_is_answered_and_not_published(
    desk, caplog
) -> None:
    desk.sink.refuses = True
    desk.run()
    assert desk.value(metrics.ANSWERED, *LABELS, "OK") == 1
    assert desk.value(metrics.REQUEST_SECONDS, *LABELS, suffix="_count") is None
    assert desk.value(metrics.TAKES_ENDED, "m", "stored") == 1
    assert said(caplog)[-1] == "reply_stored"


def test_without_redis_the_request_is_told_as_abandoned(desk, caplog) -> None:
    desk.completer.meanwhile = lambda: desk.ledger.newer.add("turn")
    desk.run()
    assert desk.value(metrics.TAKES_ENDED, "m", "unavailable") == 1
    told = ["request_taken", "process_too_old", "request_abandoned"]
    assert said(caplog) == told


def test_a_crash_of_a_suspect_is_counted(desk, caplog) -> None:
    taken = Taken("k1", "l", facts(), b"", "", "m", "e", 1, 1, 1000, 0, 2)
    desk.observer.crashed(Job.of(taken, 0.0), 139)
    assert desk.value(metrics.SUSPECT_CRASHES) == 1
    assert "exit_code=139" in caplog.text


def test_no_prompt_and_no_answer_is_told(desk, caplog) -> None:
    desk.run()
    assert "2+2?" not in caplog.text
    assert "four" not in caplog.text


@pytest.fixture
def keeper(desk: Watched) -> Iterator[Heartbeat]:
    timing = desk.settings.timing
    keeper = Heartbeat(
        desk.ledger,
        desk.leases,
        timing,
        "w1",
        lambda: {"m": 2},
        desk.slots,
        desk.observer,
    )
    yield keeper
    keeper.stop(5)


def ready(desk: Watched) -> bool:
    return all(check().ok for check in desk.observer.checks().values())


def test_a_worker_is_ready_once_its_heartbeat_was_taken(desk, keeper) -> None:
    assert not ready(desk)
    keeper.start()
    eventually(lambda: ready(desk))
    assert desk.value(metrics.WORKER_SLOTS, "m") == 2
    assert desk.value(metrics.PARKED_SLOTS, "m") == 2


def test_a_worker_without_redis_is_not_ready_until_redis_is_back(
    desk, keeper, caplog
) -> None:
    keeper.start()
    eventually(lambda: ready(desk))
    desk.ledger.unreachable.add("beat_worker")
    eventually(lambda: not ready(desk))
    assert desk.observer.checks()["redis"]().detail == "scripted"
    desk.ledger.unreachable.clear()
    eventually(lambda: ready(desk))
    told = ["redis_unreachable", "redis_reachable"]
    eventually(lambda: said(caplog) == told)  # a moment after it is ready


def test_a_worker_that_is_too_old_says_so_once(desk, keeper, caplog) -> None:
    desk.ledger.newer |= {"beat_worker", "renew"}
    keeper.start()
    eventually(lambda: desk.ledger.steps.count("beat_worker") > 2)
    assert said(caplog) == ["process_too_old"]
    assert "upgrade" in desk.observer.checks()["redis"]().detail


def test_a_worker_that_may_not_write_is_not_ready_until_a_reply_was_taken(desk) -> None:
    check = desk.observer.checks()["replies"]
    desk.sink.refuses = True
    desk.run(key="k1")
    assert check().ok  # Kafka was slow, say: the check `producer` knows
    desk.sink.forbids = True
    desk.run(key="k2")
    assert check().detail == "scripted"
    desk.sink.refuses = desk.sink.forbids = False
    desk.run(key="k3")
    assert check().ok


def test_a_worker_that_stops_is_not_ready(desk, keeper, caplog) -> None:
    keeper.start()
    eventually(lambda: ready(desk))
    keeper.leave(60)
    eventually(lambda: not ready(desk))
    assert desk.observer.checks()["heartbeat"]().detail == "the worker stops"
    assert desk.value(metrics.WORKER_SLOTS, "m") is None
    assert desk.value(metrics.PARKED_SLOTS, "m") is None
    assert said(caplog) == ["worker_leaving"]
