"""Requests that wait: each is settled once, by what comes first."""

import threading

import pytest

from agentsched.client.errors import InvalidRequest, RequestConflict, RequestFailed
from agentsched.client.pending_requests import Outstanding
from agentsched.client.request_record import Outgoing
from agentsched.types import Reply, ReplyError
from agentsched.wire.codec import Identity, hash_value
from agentsched.wire.conflicts import Conflict
from agentsched.wire.records import OutboundRecord

ME = Identity("agent", "c-1")


def reply(content="yes", status="completed", **fields):
    return Reply(content=content, status=status, correlation_id="c-1", **fields)


def request(identity, timeout_s=5.0):
    return Outgoing(identity, OutboundRecord("high_priority", b"{}"), timeout_s)


def error_of(one):
    return OSError(f"over: {one.identity.correlation_id}")


@pytest.fixture
def outstanding():
    return Outstanding()


@pytest.fixture
def waiting(outstanding):
    return outstanding.add(request(ME), since_s=100.0)


def test_a_reply_settles_the_request_of_its_identity(outstanding, waiting):
    outstanding.answer(ME, reply("yes"))
    assert waiting.future.result(0).content == "yes"
    assert len(outstanding) == 0


def test_the_first_of_two_replies_counts(outstanding, waiting):
    outstanding.answer(ME, reply("first"))
    outstanding.answer(ME, reply("second"))
    assert waiting.future.result(0).content == "first"


def test_the_reply_of_another_agent_with_the_same_id_settles_nothing(
    outstanding, waiting
):
    outstanding.answer(Identity("other", "c-1"), reply())
    assert not waiting.future.done()


MINE, OTHERS = hash_value(b"{}"), hash_value(b"other bytes")


def test_a_reply_to_another_payload_settles_nothing(outstanding, waiting):
    outstanding.answer(ME, reply("of another"), OTHERS)
    assert (waiting.future.done(), waiting.saw_another) == (False, True)
    outstanding.answer(ME, reply("mine"), MINE)
    assert waiting.future.result(0).content == "mine"


def test_a_conflict_of_this_payload_is_an_error_at_once(outstanding, waiting):
    outstanding.answer(ME, reply("of another"), OTHERS)
    outstanding.refuse(Conflict(ME, MINE))
    with pytest.raises(RequestConflict, match="new correlation_id") as caught:
        waiting.future.result(0)
    assert (caught.value.code, caught.value.correlation_id) == ("CONFLICT", "c-1")
    assert len(outstanding) == 0


@pytest.mark.parametrize(
    "conflict", [Conflict(ME, OTHERS), Conflict(Identity("other", "c-1"), MINE)]
)
def test_a_conflict_of_another_payload_or_identity_settles_nothing(
    outstanding, waiting, conflict
):
    outstanding.refuse(conflict)
    assert not waiting.future.done()


def test_a_failed_reply_is_an_error_that_holds_it(outstanding, waiting):
    error = ReplyError(code="MODEL_UNAVAILABLE", message="try later", retryable=True)
    failed = reply(content=None, status="failed", error=error)
    outstanding.answer(ME, failed)
    with pytest.raises(RequestFailed, match="MODEL_UNAVAILABLE: try later") as caught:
        waiting.future.result(0)
    assert caught.value.reply is failed
    assert caught.value.retryable
    assert caught.value.correlation_id == "c-1"


def test_what_is_overdue_fails_and_the_rest_goes_on(outstanding, waiting):
    later = outstanding.add(request(Identity("agent", "c-2"), 50.0), 100.0)
    outstanding.fail_overdue(104.9, error_of)
    assert not waiting.future.done()
    outstanding.fail_overdue(105.0, error_of)
    assert isinstance(waiting.future.exception(0), OSError)
    assert not later.future.done()
    outstanding.fail_overdue(150.0, error_of)
    assert later.future.done()


def test_a_reply_after_the_time_is_over_changes_nothing(outstanding, waiting):
    outstanding.fail_overdue(105.0, error_of)
    outstanding.answer(ME, reply())
    assert isinstance(waiting.future.exception(0), OSError)


def test_a_cancelled_request_is_forgotten_and_its_reply_ignored(outstanding, waiting):
    assert waiting.future.cancel()
    assert not outstanding.is_waiting(ME)
    outstanding.answer(ME, reply())
    assert waiting.future.cancelled()


def test_an_identity_waits_once_at_a_time(outstanding, waiting):
    with pytest.raises(InvalidRequest, match="outstanding already"):
        outstanding.add(request(ME), 100.0)
    outstanding.answer(ME, reply())
    assert outstanding.add(request(ME), 100.0)


def test_a_late_error_of_an_earlier_request_does_not_reach_its_successor(
    outstanding, waiting
):
    waiting.future.cancel()
    second = outstanding.add(request(ME), 100.0)
    outstanding.fail(waiting, OSError("late"))
    assert not second.future.done()


def test_all_can_be_failed_at_once(outstanding, waiting):
    other = outstanding.add(request(Identity("agent", "c-2"), 50.0), 100.0)
    outstanding.fail_all(error_of)
    assert [str(one.future.exception(0)) for one in (waiting, other)] == [
        "over: c-1",
        "over: c-2",
    ]


def test_a_thread_can_wait_until_nothing_is_outstanding(outstanding, waiting):
    assert not outstanding.wait_until_none(0)
    seen = []
    thread = threading.Thread(
        target=lambda: seen.append(outstanding.wait_until_none(30))
    )
    thread.start()
    outstanding.answer(ME, reply())
    thread.join()
    assert seen == [True]
