"""The demo's arithmetic: it must be able to say that something was lost."""

import pytest

from agentsched.cli.demo_outcome import demo_outcome, percentile
from agentsched.cli.demo_traffic import requests
from agentsched.types import Priority, Reply, ReplyError, ReplyTiming, TaskStatus


def answer(request, queued_s=0.0):
    return Reply(
        correlation_id=request.correlation_id,
        status=TaskStatus.COMPLETED,
        timing=ReplyTiming(queued_s=queued_s),
    )


def test_everything_answered_is_good():
    sent = requests(5, seed=1)
    ids = {request.correlation_id for request in sent}
    result = demo_outcome(sent, ids, [answer(request) for request in sent])
    assert (result.accepted, result.answered, result.lost) == (5, 5, 0)
    assert result.is_good


def test_a_missing_answer_is_lost():
    sent = requests(5, seed=1)
    ids = {request.correlation_id for request in sent}
    result = demo_outcome(sent, ids, [answer(request) for request in sent[1:]])
    assert result.lost == 1
    assert not result.is_good


def test_a_second_answer_does_not_hide_a_loss():
    sent = requests(2, seed=1)
    ids = {request.correlation_id for request in sent}
    assert demo_outcome(sent, ids, [answer(sent[0]), answer(sent[0])]).lost == 1


def test_an_answer_to_a_stranger_does_not_hide_a_loss():
    sent, others = requests(1, seed=1), requests(1, seed=2)
    ids = {request.correlation_id for request in sent}
    assert demo_outcome(sent, ids, [answer(others[0])]).lost == 1


def test_what_kafka_did_not_acknowledge_was_not_accepted():
    sent = requests(3, seed=1)
    result = demo_outcome(sent, {sent[0].correlation_id}, [answer(sent[0])])
    assert (result.accepted, result.lost) == (1, 0)


def test_nothing_accepted_is_not_good():
    assert not demo_outcome(requests(3, seed=1), set(), []).is_good


def test_a_failed_answer_is_counted_by_its_code():
    (sent,) = requests(1, seed=1)
    reply = Reply(
        correlation_id=sent.correlation_id,
        status=TaskStatus.FAILED,
        error=ReplyError(code="MODEL_UNAVAILABLE", message="down"),
    )
    result = demo_outcome([sent], {sent.correlation_id}, [reply])
    assert result.failed == {"MODEL_UNAVAILABLE": 1}
    assert not result.is_good


def test_waits_are_told_by_class():
    sent = [r for r in requests(60, seed=1) if r.priority is Priority.HIGH][:2]
    ids = {request.correlation_id for request in sent}
    replies = [answer(sent[0], queued_s=1.0), answer(sent[1], queued_s=3.0)]
    high = next(r for r in demo_outcome(sent, ids, replies).classes if r.cls == "high")
    assert (high.answered, high.wait_p50_s, high.wait_p95_s) == (2, 3.0, 3.0)


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [([], 0.5, None), ([7.0], 0.95, 7.0), (range(100), 0.95, 95), ([3, 1, 2], 0.5, 2)],
)
def test_percentiles_are_values_that_occurred(values, share, expected):
    assert percentile(values, share) == expected


def test_the_same_seed_gives_the_same_mixture():
    assert requests(20, seed=3) == requests(20, seed=3)


def test_the_usual_mixture_has_every_class():
    assert {request.priority for request in requests(60, seed=1)} == set(Priority)
