"""One request from doorbell to reply, with every outage on the way."""

import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest

from agentsched.errors import CallFailed, ErrorCode
from agentsched.ledger.values import CallOutcome, State
from agentsched.worker import ledger_retry
from agentsched.worker.clock import Clock
from agentsched.worker.execution import Ended
from agentsched.worker.leases import Stop
from tests.support.waiting import eventually
from tests.unit.worker.fakes import ANSWER, Desk


@pytest.fixture
def desk() -> Iterator[Desk]:
    desk = Desk()
    yield desk
    desk.calls.close(5)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_retry, "PATIENCE_S", 0.1)


class InThread:
    """`run` of one doorbell on a thread, as in the pool."""

    def __init__(self, desk: Desk, **fields: object) -> None:
        self._ended: list[Ended] = []
        doorbell = desk.rung(**fields)
        self._thread = threading.Thread(
            target=lambda: self._ended.append(desk.execution.run(doorbell))
        )
        self._thread.start()

    def ended(self) -> Ended:
        self._thread.join(10)
        return self._ended[0]


def test_an_answer_gets_into_kafka(desk: Desk) -> None:
    assert desk.run() is Ended.ANSWERED
    assert desk.reply()["content"] == "four"


def test_the_steps_have_the_order_of_the_contract(desk: Desk) -> None:
    desk.run()
    assert desk.ledger.steps == ["claim", "complete", "send", "published"]


class Sleeping(Clock):
    """The clock of a process that slept longer than its lease after it was asked once."""

    def __init__(self) -> None:
        self._asked = 0

    def now_s(self) -> float:
        self._asked += 1
        return 0.0 if self._asked == 1 else 60.0


def test_a_worker_that_slept_longer_than_its_lease_calls_no_model() -> None:
    desk = Desk(clock=Sleeping())
    assert desk.run() is Ended.PUT_BACK
    assert desk.completer.asked == []
    desk.calls.close(5)


def test_a_reply_echoes_what_identifies_the_request(desk: Desk) -> None:
    desk.run(session_id="s", agent_group="g", task_type="data_processing")
    reply = desk.reply()
    assert [reply[name] for name in ("id", "correlation_id", "agent_id")] == [
        "label",
        "c-k1",
        "agent",
    ]
    assert [reply[name] for name in ("session_id", "agent_group", "task_type")] == [
        "s",
        "g",
        "data_processing",
    ]


def test_a_reply_names_the_class_that_the_topic_gave(desk: Desk) -> None:
    desk.run()
    assert desk.reply()["priority"] == "medium"


def test_a_reply_names_the_class_at_which_the_request_ran(desk: Desk) -> None:
    """Its agent may not use the one that it asked for."""
    desk.run(priority="high")
    assert desk.reply()["priority"] == "medium"


def test_a_reply_says_what_the_answer_cost(desk: Desk) -> None:
    desk.run()
    reply = desk.reply()
    assert (reply["token_count"], reply["usage"], reply["attempts"]) == (
        1,
        ANSWER.usage,
        1,
    )
    assert reply["timing"]["model_s"] == 0.25
    assert reply["timing"]["queued_s"] >= 0.05


def test_a_request_that_was_sent_again_has_one_attempt_more(desk: Desk) -> None:
    desk.completer.outcome = replace(ANSWER, resent=1)
    desk.run()
    assert desk.reply()["attempts"] == 2


def test_a_failure_after_the_request_was_sent_again_has_one_attempt_more(
    desk: Desk,
) -> None:
    failure = CallFailed(ErrorCode.MODEL_UNAVAILABLE, "closed", retryable=True)
    failure.resent = 1
    desk.completer.outcome = failure
    desk.run()
    assert desk.reply()["attempts"] == 2


def test_the_reply_record_names_its_source(desk: Desk) -> None:
    desk.run()
    (record,) = desk.sink.records
    assert (record.topic, record.key) == ("results", "c-k1")
    assert record.headers["source_topic"] == "medium_priority"


def test_the_call_and_the_reply_have_the_trace_of_the_request(desk: Desk) -> None:
    desk.run(traceparent="00-1")
    assert desk.completer.traceparents == ["00-1"]
    (record,) = desk.sink.records
    assert record.headers["traceparent"] == "00-1"


def test_the_call_has_what_is_left_of_the_time_to_live(desk: Desk) -> None:
    desk.run(ttl_ms=30_000)
    ((endpoint, model, _, timeout_s),) = desk.completer.asked
    assert (endpoint, model) == (desk.endpoint, "m")
    assert 25 < timeout_s <= 30


def test_a_failed_call_is_one_failed_reply(desk: Desk) -> None:
    desk.completer.outcome = CallFailed(
        ErrorCode.MODEL_UNAVAILABLE, "HTTP 503", retryable=True
    )
    assert desk.run() is Ended.ANSWERED
    assert desk.reply()["status"] == "failed"
    assert desk.reply()["error"] == {
        "code": "MODEL_UNAVAILABLE",
        "message": "HTTP 503",
        "retryable": True,
    }
    assert len(desk.completer.asked) == 1


def test_a_failed_reply_does_not_repeat_the_prompt(desk: Desk) -> None:
    desk.completer.outcome = CallFailed(ErrorCode.MODEL_REJECTED, "no", retryable=False)
    desk.run(content="my secret")
    (record,) = desk.sink.records
    assert b"my secret" not in (record.value or b"")


def test_an_answer_that_is_too_large_is_a_failed_reply() -> None:
    desk = Desk(limits={"reply_max_bytes": 1024})
    desk.completer.outcome = type(ANSWER)("x" * 2000, "stop", None, None, 0.1)
    desk.run()
    desk.calls.close(5)
    assert desk.reply()["error"]["code"] == "REPLY_TOO_LARGE"


def test_an_overdue_request_is_answered_without_a_call(desk: Desk) -> None:
    assert desk.run(ttl_ms=-1) is Ended.ANSWERED
    assert desk.reply()["error"]["code"] == "DEADLINE_EXCEEDED"
    assert desk.completer.asked == []


def test_an_overdue_request_gives_its_slot_back(desk: Desk) -> None:
    desk.run(ttl_ms=-1)
    assert desk.in_flight() == 0


def test_an_endpoint_that_the_worker_does_not_know_is_a_failed_reply() -> None:
    desk = Desk()
    doorbell = desk.rung()
    other = Desk(
        models=[{"name": "m", "endpoints": [{"base_url": "http://127.0.0.1:2/v1"}]}]
    )
    desk.execution._settings = other.settings
    desk.execution.run(doorbell)
    for each in (desk, other):
        each.calls.close(5)
    assert desk.reply()["error"]["code"] == "MODEL_MISCONFIGURED"


def test_a_doorbell_that_comes_again_is_forgotten(desk: Desk) -> None:
    doorbell = desk.rung()
    desk.execution.run(doorbell)
    assert desk.execution.run(doorbell) is Ended.STALE
    assert len(desk.sink.records) == 1


def test_a_doorbell_of_another_epoch_is_forgotten(desk: Desk) -> None:
    doorbell = desk.rung()
    desk.ledger.server.lose()
    desk.ledger.membership.beat()
    assert desk.execution.run(doorbell) is Ended.STALE


@pytest.mark.parametrize("step", ["claim", "complete", "published"])
def test_a_step_whose_answer_was_lost_is_repeated(desk: Desk, step: str) -> None:
    desk.ledger.lost_answers[step] = 2
    assert desk.run() is Ended.ANSWERED
    assert desk.ledger.steps.count(step) == 3
    assert len(desk.completer.asked) == 1


def test_a_claim_that_never_has_an_answer_is_given_up(
    desk: Desk, impatient: None
) -> None:
    desk.ledger.unreachable.add("claim")
    assert desk.run() is Ended.UNAVAILABLE
    assert desk.completer.asked == []


def test_a_request_of_a_newer_version_is_left_to_it(desk: Desk) -> None:
    desk.ledger.newer.add("claim")
    assert desk.run() is Ended.UNAVAILABLE
    assert desk.ledger.steps.count("claim") == 1  # waiting would not help
    assert desk.completer.asked == []


def test_a_reply_that_a_newer_ledger_does_not_take_is_not_published(desk: Desk) -> None:
    desk.ledger.newer.add("complete")
    assert desk.run() is Ended.UNAVAILABLE
    assert desk.sink.records == []


def test_a_reply_waits_for_redis_until_the_deadline(
    desk: Desk, impatient: None
) -> None:
    desk.ledger.unreachable.add("complete")
    running = InThread(desk, ttl_ms=20_000)
    eventually(lambda: desk.ledger.steps.count("complete") >= 3)  # beyond its patience
    desk.ledger.unreachable.clear()
    assert running.ended() is Ended.ANSWERED


def test_nothing_is_published_that_is_not_stored(desk: Desk, impatient: None) -> None:
    desk.ledger.unreachable.add("complete")
    assert desk.run(ttl_ms=300) is Ended.UNAVAILABLE
    assert desk.sink.records == []


def test_who_comes_second_publishes_nothing(desk: Desk) -> None:
    def answer_elsewhere() -> None:
        outcome = CallOutcome(ok=False, called=False)
        assert desk.ledger.complete(desk.epoch, "k1", None, b"theirs", outcome)

    desk.completer.meanwhile = answer_elsewhere
    assert desk.run() is Ended.LOST
    assert desk.sink.records == []


def test_a_reply_that_kafka_refuses_stays_stored(desk: Desk) -> None:
    desk.sink.refuses = True
    assert desk.run() is Ended.STORED
    assert desk.state() is State.DONE


def test_a_reply_that_kafka_refuses_is_not_marked_as_published(desk: Desk) -> None:
    desk.sink.refuses = True
    desk.run()
    assert "published" not in desk.ledger.steps


def test_a_stopped_call_is_put_back(desk: Desk) -> None:
    desk.completer.hangs = True
    running = InThread(desk)
    assert desk.completer.started.wait(60)

    desk.leases.stop_all(Stop.PUT_BACK)

    assert running.ended() is Ended.PUT_BACK
    assert desk.state() is State.READY
    assert desk.sink.records == []


def test_a_cancelled_call_is_answered_so_and_frees_its_slot(desk: Desk) -> None:
    desk.completer.hangs = True
    running = InThread(desk)
    assert desk.completer.started.wait(60)

    desk.leases.stop_request("k1", Stop.CANCELLED)

    assert running.ended() is Ended.CANCELLED
    assert desk.reply()["error"]["code"] == "CANCELLED"
    assert (desk.state(), desk.in_flight()) == (State.ANSWERED, 0)


def test_a_cancelled_call_that_another_has_answered_frees_its_slot(desk: Desk) -> None:
    desk.completer.hangs = True
    running = InThread(desk)
    assert desk.completer.started.wait(60)
    outcome = CallOutcome(ok=False, called=False)
    assert desk.ledger.complete(desk.epoch, "k1", None, b"theirs", outcome)
    assert desk.in_flight() == 1

    desk.leases.stop_request("k1", Stop.CANCELLED)

    assert running.ended() is Ended.CANCELLED
    assert (desk.sink.records, desk.in_flight()) == ([], 0)


def test_a_request_that_is_cancelled_before_its_call_makes_none(desk: Desk) -> None:
    def claim(*args: object) -> object:
        answer = claimed(*args)
        desk.leases.stop_request("k1", Stop.CANCELLED)
        return answer

    doorbell = desk.rung()
    claimed = desk.ledger.claim
    desk.ledger.claim = claim
    desk.completer.hangs = True
    assert desk.execution.run(doorbell) is Ended.CANCELLED
    assert desk.completer.asked == []


def test_a_worker_that_goes_puts_back_what_it_claims_too_late(desk: Desk) -> None:
    desk.completer.hangs = True
    desk.leases.stop_all(Stop.PUT_BACK)
    assert desk.run() is Ended.PUT_BACK


def test_a_lost_lease_ends_the_call_and_frees_the_slot(desk: Desk) -> None:
    desk.completer.hangs = True
    running = InThread(desk)
    assert desk.completer.started.wait(60)
    # A bridge answers at the deadline: the lease is voided, the slot stays in use.
    outcome = CallOutcome(ok=False, called=False)
    assert desk.ledger.complete(desk.epoch, "k1", None, b"theirs", outcome)
    assert desk.in_flight() == 1

    (lease,) = desk.leases.held()
    lease.stop(Stop.LOST)

    assert running.ended() is Ended.LOST
    assert desk.in_flight() == 0


def test_a_lease_is_held_while_the_call_runs_and_no_longer(desk: Desk) -> None:
    held: list[int] = []
    desk.completer.meanwhile = lambda: held.append(len(desk.leases.held()))
    desk.run()
    assert (held, desk.leases.held()) == ([1], [])


def test_a_bug_gets_out_and_holds_no_lease(desk: Desk) -> None:
    desk.completer.outcome = ZeroDivisionError("a bug")
    with pytest.raises(ZeroDivisionError):
        desk.run()
    assert desk.leases.held() == []


def test_a_reply_that_the_ledger_lost_and_kafka_has_settles_the_request(
    desk: Desk,
) -> None:
    doorbell = desk.rung()
    saved = desk.ledger.server.save()
    published = desk.ledger.published

    def rolled_back(*args: object) -> object:
        desk.ledger.server.rollback(saved)
        return published(*args)

    desk.ledger.published = rolled_back
    assert desk.execution.run(doorbell) is Ended.ANSWERED
    assert desk.state() is State.ANSWERED


def test_a_reply_of_a_request_that_the_ledger_lost_settles_its_offset(
    desk: Desk,
) -> None:
    saved = desk.ledger.server.save()
    doorbell, published = desk.rung(), desk.ledger.published

    def rolled_back(*args: object) -> object:
        desk.ledger.server.rollback(saved)
        return published(*args)

    desk.ledger.published = rolled_back
    assert desk.execution.run(doorbell) is Ended.ANSWERED
    view = desk.ledger.partition(desk.epoch, "medium_priority:t1:0", 0, 9)
    assert view.done == (range(1),)
