"""Requests from their doorbells to their replies, with every outage on the way."""

import asyncio
import contextlib
import json
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

import pytest

from agentsched.errors import CallFailed, ErrorCode, LedgerUnavailable
from agentsched.ledger.turns import Completion, Parked, Plan, Taken, Turn
from agentsched.ledger.values import CallOutcome, Limits, State
from agentsched.wire.records import OutboundRecord, RecordAt
from agentsched.worker import execution, runtime, time_limits
from agentsched.worker.call_result import CallResult
from agentsched.worker.clock import Clock
from agentsched.worker.execution import Ended
from agentsched.worker.leases import Stop
from agentsched.worker.time_limits import TimeLimits
from tests.support.requests import facts
from tests.support.waiting import eventually
from tests.unit.worker import fakes
from tests.unit.worker.fakes import ANSWER, WORKER, Desk


@pytest.fixture
def desk() -> Iterator[Desk]:
    desk = Desk()
    yield desk
    desk.close()


@pytest.fixture
def impatient() -> Iterator[Desk]:
    """Leases that are short: what is not done soon is given up."""
    desk = Desk(timing={"lease_s": 2, "renew_s": 0.2})
    yield desk
    desk.close()


def before_turn(desk: Desk, step: str, do: Any) -> None:
    """Have something happen in the ledger before the turn that has such a step."""
    turn = desk.ledger.turn

    def watched(epoch: str, asked: Turn) -> Any:
        if getattr(asked, step):
            do()
        return turn(epoch, asked)

    desk.ledger.turn = watched  # type: ignore[method-assign]


def test_an_answer_gets_into_kafka(desk: Desk) -> None:
    assert desk.run() is Ended.ANSWERED
    assert desk.reply()["content"] == "four"


def test_the_steps_have_the_order_of_the_contract(desk: Desk) -> None:
    desk.run()
    known = {"complete", "send", "published"}
    steps = [step for step in desk.ledger.steps if step in known]
    assert steps == ["complete", "send", "published"]


class Sleeping(Clock):
    """The clock of a process that sleeps when it is told to."""

    slept_s = 0.0

    def now_s(self) -> float:
        return super().now_s() + self.slept_s


def test_a_worker_that_slept_nearly_its_lease_calls_no_model() -> None:
    clock = Sleeping()
    desk = Desk(clock)
    turn = desk.ledger.turn

    def slow(epoch: str, asked: Turn) -> Any:
        answer = turn(epoch, asked)
        if answer.taken and not clock.slept_s:
            clock.slept_s = 13.0
        return answer

    desk.ledger.turn = slow  # type: ignore[method-assign]
    doorbell = desk.begin()
    # What was taken then is put back as unstarted; listed again, it runs.
    eventually(lambda: desk.state() is State.READY and desk.acknowledged)
    assert desk.completer.asked == []
    desk.plan()
    desk.ring(doorbell)
    assert desk.ended() is Ended.ANSWERED
    assert desk.reply()["attempts"] == 1
    desk.close()


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
    desk.close()
    assert desk.reply()["error"]["code"] == "REPLY_TOO_LARGE"


def test_an_endpoint_that_the_worker_does_not_know_is_a_failed_reply(
    desk: Desk,
) -> None:
    other = {"name": "m", "endpoints": [{"base_url": "http://127.0.0.1:2/v1"}]}
    desk.slots._execution._settings = Desk(models=[other]).settings
    desk.run()
    assert desk.reply()["error"]["code"] == "MODEL_MISCONFIGURED"


def test_a_doorbell_that_comes_again_starts_nothing(desk: Desk) -> None:
    doorbell = desk.begin()
    assert desk.ended() is Ended.ANSWERED
    desk.ring(doorbell)
    eventually(lambda: len(desk.acknowledged) == 2)
    assert (len(desk.sink.records), len(desk.completer.asked)) == (1, 1)


def test_a_doorbell_of_another_epoch_is_acknowledged(desk: Desk) -> None:
    doorbell = desk.admitted()
    desk.ledger.server.lose()
    desk.ledger.membership.beat()
    desk.ring(doorbell)
    desk.beat()
    eventually(lambda: desk.acknowledged == ["k1"])
    assert desk.completer.asked == []


def test_a_slot_takes_in_the_epoch_that_the_heartbeat_names(desk: Desk) -> None:
    desk.ledger.server.lose()
    desk.epoch = desk.ledger.membership.beat().pulse.epoch
    limits = {("m", desk.endpoint.name): 10}
    desk.ledger.set_limits(desk.epoch, Limits(capacity=limits))
    desk.admitted()
    desk.plan()
    desk.beat()  # nothing rings
    assert desk.ended() is Ended.ANSWERED


def test_a_slot_takes_its_next_request_itself() -> None:
    desk = Desk(slots=1)
    for n in range(3):
        doorbell = desk.admitted(f"k{n}")
    desk.plan()
    desk.ring(doorbell)
    assert [desk.ended() for _ in range(3)] == [Ended.ANSWERED] * 3
    assert desk.acknowledged == ["k2"]
    desk.close()


def test_no_more_calls_run_than_there_are_slots(desk: Desk) -> None:
    desk.completer.hangs = True
    for n in range(4):
        doorbell = desk.admitted(f"k{n}")
    desk.plan()
    desk.ring(doorbell)
    eventually(lambda: len(desk.completer.asked) == 2)
    assert (desk.in_flight(), desk.slots.parked()) == (2, 0)
    desk.limit = 3
    desk.slots.resized()
    eventually(lambda: len(desk.completer.asked) == 3)
    assert desk.in_flight() == 3


def test_slots_that_find_nothing_are_recorded_as_parked(desk: Desk) -> None:
    eventually(lambda: desk.slots.waiting() == 2)
    desk.ledger.membership.lead("test", 60_000)
    number = Plan("test", 1, 0, "", ())
    revision = desk.ledger.plan(desk.epoch, number).revision
    planned = desk.ledger.plan(desk.epoch, replace(number, revision=revision))
    assert planned.parked == (Parked(WORKER, 2, ("m",)),)


def test_a_doorbell_is_acknowledged_when_it_started_something(desk: Desk) -> None:
    desk.completer.hangs = True
    desk.begin()
    eventually(lambda: desk.acknowledged == ["k1"])
    assert desk.state() is State.RUNNING


def test_a_doorbell_that_finds_no_slot_free_does_not_lie_there(desk: Desk) -> None:
    desk.completer.hangs = True
    _list_and_ring(desk, 2)
    eventually(lambda: len(desk.completer.asked) == 2)
    desk.ring(desk.admitted("late"))
    eventually(lambda: "late" in desk.acknowledged)


def test_a_doorbell_whose_slot_is_filled_meanwhile_does_not_lie_there(
    desk: Desk,
) -> None:
    eventually(desk.slots.waiting)
    desk.completer.hangs = True
    turn = desk.ledger.turn

    def rung(epoch: str, asked: Turn) -> Any:
        answer = turn(epoch, asked)
        if answer.taken:
            desk.ring(late)
        return answer

    late = desk.admitted("late")
    desk.ledger.turn = rung  # type: ignore[method-assign]
    _list_and_ring(desk, 2)
    eventually(lambda: "late" in desk.acknowledged)


def test_a_turn_whose_answer_was_lost_is_repeated(desk: Desk) -> None:
    eventually(desk.slots.waiting)
    desk.ledger.lost_answers["turn"] = 2
    assert desk.run() is Ended.ANSWERED
    assert len(desk.completer.asked) == 1


def test_what_a_repeated_turn_took_has_its_time_from_the_repetition() -> None:
    clock = Sleeping()
    desk = Desk(clock)
    eventually(desk.slots.waiting)
    turn = desk.ledger.turn

    def unheard(epoch: str, asked: Turn) -> Any:
        answer = turn(epoch, asked)
        if answer.taken and not clock.slept_s:
            clock.slept_s = 6.0
            raise LedgerUnavailable("scripted: the answer is lost")
        return answer

    desk.ledger.turn = unheard  # type: ignore[method-assign]
    desk.begin(ttl_ms=60_000)
    assert desk.ended() is Ended.ANSWERED
    ((_, _, _, timeout_s),) = desk.completer.asked
    assert 55 < timeout_s <= 60
    desk.close()


@pytest.mark.parametrize("step", ["completions", "published"])
def test_a_step_whose_answer_was_lost_is_repeated(desk: Desk, step: str) -> None:
    def lose() -> None:
        if not lost:
            lost.append(step)
            desk.ledger.lost_answers["turn"] = 2

    lost: list[str] = []
    before_turn(desk, step, lose)
    assert desk.run() is Ended.ANSWERED
    assert (lost, len(desk.completer.asked), len(desk.sink.records)) == ([step], 1, 1)


def test_a_doorbell_waits_while_redis_is_away(impatient: Desk) -> None:
    eventually(impatient.slots.waiting)
    impatient.ledger.unreachable.add("turn")
    before = len(impatient.ledger.steps)
    impatient.begin()
    eventually(lambda: len(impatient.ledger.steps) > before + 5)
    assert impatient.acknowledged == []
    impatient.ledger.unreachable.clear()
    assert impatient.ended() is Ended.ANSWERED


def test_a_reply_that_a_newer_ledger_does_not_take_is_not_published(desk: Desk) -> None:
    desk.completer.meanwhile = lambda: desk.ledger.newer.add("turn")
    assert desk.run() is Ended.UNAVAILABLE
    assert desk.sink.records == []


def test_a_reply_waits_for_redis_until_the_deadline(impatient: Desk) -> None:
    impatient.completer.meanwhile = lambda: impatient.ledger.unreachable.add("turn")
    impatient.begin(ttl_ms=20_000)
    # Beyond what one turn is tried for.
    eventually(lambda: impatient.ledger.steps.count("complete") >= 8)
    impatient.ledger.unreachable.clear()
    assert impatient.ended() is Ended.ANSWERED
    assert len(impatient.completer.asked) == 1


def test_nothing_is_published_that_is_not_stored(
    impatient: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(execution, "PATIENCE_S", 0.1)
    impatient.completer.meanwhile = lambda: impatient.ledger.unreachable.add("turn")
    assert impatient.run(ttl_ms=300) is Ended.UNAVAILABLE
    assert impatient.sink.records == []


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
    desk.begin()
    assert desk.completer.started.wait(60)

    desk.leases.stop_all(Stop.PUT_BACK)

    assert desk.ended() is Ended.PUT_BACK
    assert desk.state() is State.READY
    assert desk.sink.records == []


def test_a_cancelled_call_is_answered_so_and_frees_its_slot(desk: Desk) -> None:
    desk.completer.hangs = True
    desk.begin()
    assert desk.completer.started.wait(60)

    desk.leases.stop_request("k1", Stop.CANCELLED)

    assert desk.ended() is Ended.CANCELLED
    assert desk.reply()["error"]["code"] == "CANCELLED"
    assert (desk.state(), desk.in_flight()) == (State.ANSWERED, 0)


def test_a_cancelled_call_that_another_has_answered_frees_its_slot(desk: Desk) -> None:
    desk.completer.hangs = True
    desk.begin()
    assert desk.completer.started.wait(60)
    outcome = CallOutcome(ok=False, called=False)
    assert desk.ledger.complete(desk.epoch, "k1", None, b"theirs", outcome)
    assert desk.in_flight() == 1

    desk.leases.stop_request("k1", Stop.CANCELLED)

    assert desk.ended() is Ended.CANCELLED
    assert (desk.sink.records, desk.in_flight()) == ([], 0)


def test_a_request_that_was_revoked_before_is_not_called(desk: Desk) -> None:
    desk.ends.is_revoked = True
    assert desk.run() is Ended.CANCELLED
    assert desk.completer.asked == []
    assert desk.reply()["error"]["code"] == "CANCELLED"


def test_a_worker_that_goes_puts_back_what_it_takes_too_late(desk: Desk) -> None:
    desk.leases.stop_all(Stop.PUT_BACK)
    assert desk.run() is Ended.PUT_BACK
    assert (desk.completer.asked, desk.state()) == ([], State.READY)


def test_a_worker_that_leaves_takes_nothing_more(desk: Desk) -> None:
    eventually(desk.slots.waiting)
    desk.slots.leave()
    desk.begin()
    desk.served.result(60)
    assert (desk.state(), desk.acknowledged) == (State.READY, [])


def test_a_worker_that_leaves_ends_what_runs(desk: Desk) -> None:
    held = threading.Event()

    async def complete(*_: object) -> Any:
        desk.completer.started.set()
        while not held.is_set():  # noqa: ASYNC110  (another thread sets it)
            await asyncio.sleep(0)
        return ANSWER

    desk.completer.complete = complete  # type: ignore[method-assign]
    desk.begin()
    assert desk.completer.started.wait(60)
    desk.slots.leave()
    held.set()
    desk.served.result(60)
    assert desk.state() is State.ANSWERED


def test_what_is_taken_while_the_worker_leaves_goes_back_uncounted(desk: Desk) -> None:
    eventually(desk.slots.waiting)
    turn = desk.ledger.turn

    def leaving(epoch: str, asked: Turn) -> Any:
        answer = turn(epoch, asked)
        if answer.taken:
            desk.slots.leave()
        return answer

    desk.ledger.turn = leaving  # type: ignore[method-assign]
    assert desk.run() is Ended.PUT_BACK
    (view,) = desk.ledger.inspect(desk.epoch, ["k1"])
    assert view is not None
    assert (desk.completer.asked, view.attempts) == ([], 0)


def test_who_leaves_has_put_back_what_an_unheard_turn_took(impatient: Desk) -> None:
    desk = impatient
    eventually(desk.slots.waiting)

    turn = desk.ledger.turn

    def unheard(epoch: str, asked: Turn) -> Any:
        answer = turn(epoch, asked)
        if not answer.taken:
            return answer
        desk.ledger.membership.leave_worker(WORKER)
        desk.slots.leave()
        desk.ledger.unreachable.add("turn")
        raise LedgerUnavailable("scripted: the answer is lost")

    desk.ledger.turn = unheard  # type: ignore[method-assign]
    desk.begin()
    eventually(lambda: "turn" in desk.ledger.unreachable)
    sent = desk.slots._turns.outstanding
    assert sent is not None
    eventually(lambda: desk.slots._turns.outstanding is not sent)
    desk.ledger.unreachable.clear()
    desk.served.result(60)
    (view,) = desk.ledger.inspect(desk.epoch, ["k1"])
    assert view is not None
    assert (view.state, view.attempts) == (State.READY, 0)


def test_who_closes_does_not_wait_for_redis_until_the_deadline(
    impatient: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    impatient.completer.meanwhile = lambda: impatient.ledger.unreachable.add("turn")
    impatient.begin(ttl_ms=600_000)
    eventually(lambda: "complete" in impatient.ledger.steps)
    impatient.slots.leave()
    impatient.leases.stop_all(Stop.PUT_BACK)
    assert impatient.ended() is Ended.UNAVAILABLE
    impatient.served.result(60)


def test_the_end_of_slots_that_nobody_stops_is_waited_for_so_long_and_no_longer(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(runtime, "CLOSE_S", 0.01)
    desk.completer.hangs = True
    desk.begin()
    assert desk.completer.started.wait(60)
    runtime.await_end(desk.served, desk.leases, 0.01)
    assert desk.ended() is Ended.PUT_BACK
    assert "do not end" in caplog.text


def test_slots_that_broke_are_not_waited_for(desk: Desk) -> None:
    desk.calls.close(5)
    runtime.await_end(desk.served, desk.leases, 60)
    assert not desk.leases.closing


def test_a_lost_lease_ends_the_call_and_frees_the_slot(desk: Desk) -> None:
    desk.completer.hangs = True
    desk.begin()
    assert desk.completer.started.wait(60)
    # A bridge answers at the deadline: the lease is voided, the slot stays in use.
    outcome = CallOutcome(ok=False, called=False)
    assert desk.ledger.complete(desk.epoch, "k1", None, b"theirs", outcome)
    assert desk.in_flight() == 1

    (lease,) = desk.leases.held()
    lease.stop(Stop.LOST)

    assert desk.ended() is Ended.LOST
    assert desk.in_flight() == 0


def test_a_lease_is_held_while_the_call_runs_and_no_longer(desk: Desk) -> None:
    held: list[int] = []
    desk.completer.meanwhile = lambda: held.append(len(desk.leases.held()))
    desk.run()
    assert (held, desk.leases.held()) == ([1], [])


def test_a_bug_frees_the_slot_and_leaves_the_request_to_its_lease(desk: Desk) -> None:
    desk.completer.outcome = ZeroDivisionError("a bug")
    assert desk.run() is Ended.BUG
    assert (desk.leases.held(), desk.state()) == ([], State.RUNNING)
    desk.completer.outcome = ANSWER
    assert desk.run(key="k2") is Ended.ANSWERED


def test_a_call_that_ends_as_cancelled_by_itself_is_a_bug_that_is_told(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    complete = desk.completer.complete

    async def cancelled(*args: Any) -> Any:
        await complete(*args)
        raise asyncio.CancelledError

    desk.completer.complete = cancelled  # type: ignore[method-assign]
    assert desk.run() is Ended.BUG
    assert "RuntimeError" in caplog.text
    assert (desk.leases.held(), desk.slots.parked()) == ([], 2)


def test_a_payload_that_is_no_request_is_answered_so(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fakes, "encode_message", lambda _: b"my secret")
    assert desk.run() is Ended.ANSWERED
    error = desk.reply()["error"]
    assert error["code"] == "MALFORMED"
    assert "secret" not in json.dumps(desk.reply())
    assert desk.completer.asked == []


def test_what_is_asked_and_answered_is_in_no_text(desk: Desk) -> None:
    taken = Taken("k", "l", facts(), b"secret", "", "m", "e", 1, 1, 1, 0, 0)
    outcome = CallOutcome(ok=True)
    done = Completion("k", "l", b"secret", outcome)
    assert "secret" not in repr([taken, done, CallResult(b"secret", outcome)])


def test_a_bug_in_a_turn_does_not_end_the_slots(desk: Desk) -> None:
    def broken() -> None:
        del desk.ledger.turn
        raise ZeroDivisionError("a bug")

    before_turn(desk, "completions", broken)
    assert desk.run() is Ended.BUG
    assert desk.run(key="k2") is Ended.ANSWERED


def test_what_a_broken_turn_took_goes_back_without_a_ring(desk: Desk) -> None:
    eventually(desk.slots.waiting)
    turn = desk.ledger.turn

    def broken(epoch: str, asked: Turn) -> Any:
        answer = turn(epoch, asked)
        if not answer.taken:
            return answer
        del desk.ledger.turn
        raise ZeroDivisionError("a bug")

    desk.ledger.turn = broken  # type: ignore[method-assign]
    doorbell = desk.begin()
    eventually(lambda: desk.state() is State.READY and desk.acknowledged == ["k1"])
    desk.plan()
    desk.ring(doorbell)
    assert desk.ended() is Ended.ANSWERED
    assert desk.reply()["attempts"] == 1


def test_what_cannot_be_started_goes_back_and_the_slots_go_on(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = desk.ends.limits

    def broken() -> TimeLimits:
        monkeypatch.setattr(desk.ends, "limits", limits)
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(desk.ends, "limits", broken)
    desk.begin()
    eventually(lambda: "put_back" in desk.ledger.steps and desk.slots.parked() == 2)
    assert (desk.state(), desk.leases.held()) == (State.READY, [])
    assert desk.run(key="k2") is Ended.ANSWERED


def test_a_view_that_fails_does_not_keep_the_slot(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desk.ends, "started", lambda _: 1 / 0)
    assert [desk.run(key=f"k{n}") for n in range(3)] == [Ended.BUG] * 3


def test_an_answer_that_does_not_fit_does_not_end_the_slots(desk: Desk) -> None:
    turn = desk.ledger.turn

    def short(epoch: str, asked: Turn) -> Any:
        answer = turn(epoch, asked)
        if not asked.completions:
            return answer
        del desk.ledger.turn
        return replace(answer, completed=())

    desk.ledger.turn = short  # type: ignore[method-assign]
    assert desk.run() is Ended.BUG
    assert desk.run(key="k2") is Ended.ANSWERED


def test_a_call_of_another_thread_that_fails_does_not_lose_those_behind_it(
    desk: Desk,
) -> None:
    desk.slots._post(lambda: 1 / 0)  # type: ignore[arg-type, return-value]
    assert desk.run() is Ended.ANSWERED


def test_slots_that_end_by_themselves_end_the_process_and_beat_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    desk = Desk()
    monkeypatch.setattr(desk.slots, "_limit", lambda: 1 / 0)
    desk.slots.resized()
    assert desk.gave_up.wait(60)
    with pytest.raises(ZeroDivisionError):
        desk.served.result(60)

    before = desk.slots.turned_s
    desk.slots._beat()
    assert desk.slots.turned_s == before
    desk.close()


def test_a_turn_that_finds_a_newer_format_ends_the_process(desk: Desk) -> None:
    eventually(desk.slots.waiting)
    desk.ledger.newer.add("turn")
    desk.begin()
    assert desk.gave_up.wait(60)


def test_replies_that_kafka_does_not_take_stop_the_takes(desk: Desk) -> None:
    waiting: list[Future[RecordAt]] = []

    def send(record: OutboundRecord) -> "Future[RecordAt]":
        desk.sink.records.append(record)
        waiting.append(Future())
        return waiting[-1]

    desk.sink.send = send  # type: ignore[method-assign]
    for n in range(6):
        doorbell = desk.admitted(f"k{n}")
    desk.plan()
    desk.ring(doorbell)
    # Twice as many as there are slots.
    eventually(lambda: len(waiting) == 4)
    assert (desk.slots.parked(), len(desk.completer.asked)) == (0, 4)
    waiting[0].set_result(RecordAt("results", 0, 1))
    eventually(lambda: len(waiting) == 5)


def _list_and_ring(desk: Desk, n: int) -> None:
    for number in range(n):
        doorbell = desk.admitted(f"k{number}")
    desk.plan()
    desk.ring(doorbell)


def test_replies_that_kafka_refuses_stop_the_takes(desk: Desk) -> None:
    desk.sink.refuses = True
    _list_and_ring(desk, 9)
    assert [desk.ended() for _ in range(4)] == [Ended.STORED] * 4
    eventually(lambda: not desk.slots._works and desk.slots._turns.idle)
    assert (desk.slots.parked(), len(desk.completer.asked)) == (0, 4)


def test_one_request_at_a_time_tries_whether_kafka_takes_replies_again() -> None:
    desk = Desk(timing={"delivery_timeout_s": 0.1, "loss_grace_s": 1})
    desk.sink.refuses = True
    _list_and_ring(desk, 9)
    assert [desk.ended() for _ in range(5)] == [Ended.STORED] * 5
    assert desk.slots.parked() == 0
    desk.sink.refuses = False
    ends = [desk.ended() for _ in range(4)]
    assert ends[-3:] == [Ended.ANSWERED] * 3
    assert desk.slots._undelivered == 0
    desk.close()


def test_a_reply_that_kafka_does_not_answer_for_is_left_to_a_bridge() -> None:
    desk = Desk(timing={"delivery_timeout_s": 0.1, "loss_grace_s": 1})
    desk.sink.send = lambda _: Future()  # type: ignore[method-assign]
    assert desk.run() is Ended.STORED
    assert desk.state() is State.DONE
    desk.close()


def test_a_call_that_ignores_its_hard_limit_is_answered_and_keeps_its_slot(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time_limits, "CLOSE_S", 0.05)
    desk.ends.time_limits = TimeLimits(hard_s=0.05)
    goes_on = threading.Event()

    async def stubborn(*_: object) -> Any:
        while not goes_on.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0.01)
        return ANSWER

    desk.completer.complete = stubborn  # type: ignore[method-assign]
    assert desk.run() is Ended.ANSWERED
    assert desk.reply()["error"]["code"] == "TIME_LIMIT_EXCEEDED"
    assert (desk.in_flight(), desk.slots.parked()) == (1, 1)
    goes_on.set()
    eventually(lambda: desk.slots.parked() == 2)


def test_a_reply_that_the_ledger_lost_and_kafka_has_settles_the_request(
    desk: Desk,
) -> None:
    saved: list[Any] = []
    desk.completer.meanwhile = lambda: saved.append(desk.ledger.server.save())
    before_turn(desk, "published", lambda: desk.ledger.server.rollback(saved[0]))
    assert desk.run() is Ended.ANSWERED
    assert desk.state() is State.ANSWERED


def test_a_reply_of_a_request_that_the_ledger_lost_settles_its_offset(
    desk: Desk,
) -> None:
    saved = desk.ledger.server.save()
    before_turn(desk, "published", lambda: desk.ledger.server.rollback(saved))
    assert desk.run() is Ended.ANSWERED
    view = desk.ledger.partition(desk.epoch, "medium_priority:t1:0", 0, 9)
    assert view.done == (range(1),)
