"""A second call needs a fault that struck who held the request, while it held it."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from tests.chaos.history import Happened, RawReply
from tests.chaos.recalls import Causes
from tests.chaos.test_checker import CALL, GOOD
from tests.chaos.traffic import Sent

EPOCH_MS = 1_795_680_000_000
FIRST = replace(CALL, started_s=101.0, ended_s=101.2)
SECOND = replace(CALL, started_s=110.0, ended_s=110.2)
POISON = Sent("p1", "", "", "high", "poison", reason="POISON")
BEFORE = RawReply("r1", {}, b"1", EPOCH_MS + 101_300)
AFTER = replace(BEFORE, at_ms=EPOCH_MS + 111_000)


def line(at_s, event, pid=1, id_="r1", wrong_by_s=0):
    at = datetime.fromtimestamp(EPOCH_MS / 1000 + at_s + wrong_by_s, UTC)
    said = {"time": at.isoformat(), "pid": pid, "event": event, "correlation_id": id_}
    return json.dumps(said)


def log(*lines):
    return "\n".join(lines) + "\n"


TAKEN = line(100.9, "request_taken")
AGAIN = log(line(109.9, "request_taken", 7), line(110.4, "request_completed", 7))
LOGS = {"worker-alpha-0.log": log(TAKEN), "worker-alpha-1.log": AGAIN}


def fault(number, *targets, at_s=102.0, lasts_s=1.0, **kinds):
    kinds = {"recalls": True, "loses_redis": False} | kinds
    return Happened(number, "x", at_s, at_s + lasts_s, **kinds, targets=targets)


def cause(*faults, logs=LOGS, replies=(AFTER,), sent=GOOD.sent):
    history = replace(
        GOOD,
        logs=logs,
        faults=list(faults),
        replies=list(replies),
        sent=sent,
        calls=[FIRST, SECOND],
        epoch_ms=EPOCH_MS,
    )
    return Causes(history).of("r1", FIRST, SECOND)


@pytest.mark.parametrize(
    ("struck", "excused"),
    [
        (fault("F2", "worker-alpha-0"), True),
        (fault("F2", "worker-alpha-1"), False),  # who did not hold it
        (fault("F2", "worker-beta-0"), False),
        (fault("F2", "worker-alpha-0", at_s=111.0), False),  # afterwards
        (fault("F2", "worker-alpha-0", at_s=80.0), False),  # long before
        (fault("F12r", "worker"), True),
        (fault("F12r", "bridge"), False),
        (fault("F8", "redis"), True),
        (fault("F8", "redis", at_s=60.0), False),
        (fault("F20", "worker-alpha-0", recalls=False), False),
        (fault("F24", "worker", "bridge", recalls=False), False),
        (fault("F15d", "model"), False),  # there is a take between the calls
    ],
)
def test_only_what_struck_the_holder_is_a_cause(struck, excused):
    assert (cause(struck) is not None) == excused


def test_a_hold_that_ended_in_order_is_struck_by_nothing_later():
    done = log(TAKEN, line(101.3, "request_completed"))
    logs = LOGS | {"worker-alpha-0.log": done}
    assert cause(fault("F2", "worker-alpha-0"), logs=logs) is None


@pytest.mark.parametrize("wrong_by_s", [-7200, 7200])
def test_a_wrong_clock_of_a_worker_hides_nothing(wrong_by_s):
    skewed = log(line(100.9, "request_taken", wrong_by_s=wrong_by_s))
    logs = LOGS | {"worker-alpha-0.log": skewed}
    assert cause(fault("F2", "worker-alpha-0"), logs=logs) == "F2"
    assert cause(fault("F2", "worker-alpha-1"), logs=logs) is None


def test_what_a_lost_redis_held_is_called_again_only_without_a_reply():
    lost = fault("F9", "redis", at_s=103.0, loses_redis=True)
    done = log(TAKEN, line(101.3, "request_completed"))
    logs = LOGS | {"worker-alpha-0.log": done}
    again = [*GOOD.sent, replace(GOOD.sent[0], kind="repeat", offset=5)]
    assert cause(lost, logs=logs, replies=[AFTER]) == "F9"
    assert cause(lost, logs=logs, replies=[BEFORE]) is None
    assert cause(lost, logs=logs, replies=[BEFORE], sent=again) == "F9"


@pytest.mark.parametrize(("dies", "excused"), [("0", True), ("1", False)])
def test_poison_is_a_cause_where_the_holder_died(dies, excused):
    """The poison is answered long after its fault is over: it goes on until then."""
    told = line(104.0, "http_listening", id_="")
    died = log(told, line(108.0, "worker_started", 2, id_=""))
    name = f"worker-alpha-{dies}.log"
    logs = LOGS | {name: died + LOGS[name] if dies == "1" else LOGS[name] + died}
    replies = [AFTER, replace(AFTER, id="p1", at_ms=EPOCH_MS + 130_000)]
    struck = fault("F16", at_s=90.0)
    found = cause(struck, logs=logs, replies=replies, sent=[*GOOD.sent, POISON])
    assert (found is not None) == excused


@pytest.mark.parametrize(("targets", "excused"), [(("model",), True), ((), False)])
def test_a_call_that_was_broken_off_is_tried_again_in_place(targets, excused):
    logs = {"worker-alpha-0.log": log(TAKEN, line(110.4, "request_completed"))}
    assert (cause(fault("F15d", *targets), logs=logs) is not None) == excused


@pytest.mark.parametrize(("ended_s", "excused"), [(112.0, True), (105.0, False)])
def test_a_restart_in_order_costs_only_a_call_longer_than_the_drain(ended_s, excused):
    put_back = log(TAKEN, line(ended_s, "request_put_back"))
    restart = fault("F24", "worker", "bridge", recalls=False)
    logs = LOGS | {"worker-alpha-0.log": put_back}
    assert (cause(restart, logs=logs) is not None) == excused


def test_a_lost_line_is_excused_by_what_is_near_and_only_where_it_may_be_lost():
    logs = {"worker-alpha-0.log": log(TAKEN)}
    near = fault("F2", "worker-beta-0")
    full = fault("F25d", "worker-alpha-1", at_s=109.5, recalls=False)
    elsewhere = replace(full, targets=("worker-beta-1",))
    assert cause(near, logs=logs) is None
    assert cause(near, full, logs=logs) == "a lost line of a log"
    assert cause(near, elsewhere, logs=logs) is None
    assert cause(full, logs=logs) is None


def test_half_a_line_with_another_behind_it_is_left_out():
    broken = TAKEN[:30] + line(100.95, "request_completed")
    logs = LOGS | {"worker-alpha-0.log": log(broken, TAKEN)}
    assert cause(fault("F2", "worker-alpha-0"), logs=logs) == "F2"
