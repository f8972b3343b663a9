"""The checker finds what is broken: a history with one fault in it is not accepted."""

from dataclasses import replace

import pytest

from tests.chaos.checker import Happened, History, RawReply, check
from tests.chaos.traffic import Sent
from tests.support.model_server import Call, digest

SENT = Sent("r1", "alpha", "canary r1", "high", "request", 0, 0)
BAD = Sent(None, "", "", "high", "bad", 0, 1)
LETTER = {
    "source_topic": "t.high_priority",
    "source_partition": "0",
    "source_offset": "1",
}
CALL = Call("alpha", SENT.prompt, 1.0, False, {}, 1.2)  # noqa: FBT003  (as it is made)
FLUSH = Happened("F9", "empty Redis", 0.5, 0.6, recalls=True, loses_redis=True)


def reply(content=None, id_="r1", raw=b"1"):
    content = content or f"alpha {digest(SENT.prompt)}"
    return RawReply(id_, {"status": "completed", "content": content}, raw)


GOOD = History(
    sent=[SENT, BAD],
    replies=[reply()],
    dead_letters=[LETTER],
    calls=[CALL],
    faults=[],
    lease_s=5,
    capacity={"alpha": 1},
    peaks={"alpha": 1},
    left_over={"READY entries": 0},
    logs={"bridge.log": "all is well"},
    canary="canary",
)


def test_a_good_history_is_accepted():
    assert check(GOOD).broken == []


@pytest.mark.parametrize(
    ("changed", "rule"),
    [
        ({"replies": []}, "I1"),
        ({"dead_letters": []}, "I1"),
        ({"replies": [reply(), reply(id_="stranger")]}, "I2"),
        ({"replies": [reply("alpha something else")]}, "I3"),
        ({"replies": [reply(), reply(raw=b"2")]}, "I4"),
        ({"replies": [reply(), reply()]}, "I5"),
        ({"calls": [CALL, replace(CALL, started_s=2.0)]}, "I7"),
        ({"peaks": {"alpha": 2}}, "capacity"),
        ({"left_over": {"READY entries": 1}}, "I9"),
        ({"logs": {"bridge.log": "a canary r1"}}, "I12"),
    ],
)
def test_one_broken_promise_is_found(changed, rule):
    broken = check(replace(GOOD, **changed)).broken

    assert any(line.startswith(rule) for line in broken)


def test_what_a_loss_of_redis_may_cost_is_allowed_after_one():
    doubled = [reply(), reply(raw=b"2")]
    again = [CALL, replace(CALL, started_s=2.0)]
    assert (
        check(replace(GOOD, replies=doubled, calls=again, faults=[FLUSH])).broken == []
    )
