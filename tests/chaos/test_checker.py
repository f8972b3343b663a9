"""The checker finds what is broken: a history with one fault in it is not accepted."""

from dataclasses import replace

import pytest

from agentsched.codec import encode_message
from agentsched.types import Reply, TaskStatus
from tests.chaos.checker import Happened, History, Letter, RawReply, check
from tests.chaos.commits import Commit
from tests.chaos.traffic import Sent
from tests.support.model_server import Call, digest

SENT = Sent("r1", "alpha", "canary r1", "high", "request", 0, 0)
BAD = Sent(None, "", "", "high", "bad", 0, 1)
LETTER = Letter(
    {
        "source_topic": "t.high_priority",
        "source_partition": "0",
        "source_offset": "1",
    },
    at_ms=30,
)
COMMITS = [
    Commit("t.high_priority", 0, offset, at_ms) for offset, at_ms in ((1, 20), (2, 30))
]
ASKED = replace(SENT, id="a1", prompt="canary a1", offset=-1, asked=True)
SEEN = Reply(
    id="a1",
    correlation_id="a1",
    status=TaskStatus.COMPLETED,
    content=f"alpha {digest(ASKED.prompt)}",
)
CALL = Call("alpha", SENT.prompt, 1.0, False, {}, 1.2)  # noqa: FBT003  (as it is made)
FLUSH = Happened("F9", "empty Redis", 0.5, 0.6, recalls=True, loses_redis=True)


def reply(content=None, id_="r1", raw=b"1", at_ms=20):
    content = content or f"alpha {digest(SENT.prompt)}"
    return RawReply(id_, {"status": "completed", "content": content}, raw, at_ms)


REPLIES = [reply(), reply(SEEN.content, "a1", encode_message(SEEN))]


GOOD = History(
    sent=[SENT, BAD, ASKED],
    tried={"r1", "a1"},
    replies=REPLIES,
    seen={"a1": [SEEN]},
    dead_letters=[LETTER],
    commits=COMMITS,
    topics={"high": "t.high_priority"},
    calls=[CALL],
    faults=[],
    lease_s=5,
    capacity={"alpha": 1},
    peaks={"alpha": 1},
    left_over={"READY entries": 0},
    logs={"bridge.log": "all is well"},
    canary="canary",
)
POISONED = RawReply("r1", {"status": "failed", "error": {"code": "POISON"}}, b"1", 20)
OTHER = SEEN.model_copy(update={"attempts": 2})


def test_a_good_history_is_accepted():
    assert check(GOOD).broken == []


@pytest.mark.parametrize(
    ("changed", "rule"),
    [
        ({"replies": REPLIES[1:]}, "I1"),
        ({"dead_letters": []}, "I1"),
        ({"seen": {}}, "L2"),
        ({"seen": {"a1": [SEEN, SEEN]}}, "L2"),
        ({"seen": {"a1": [OTHER]}}, "L2"),
        ({"replies": [*REPLIES, reply(id_="stranger")]}, "I2"),
        ({"replies": [reply("alpha something else"), REPLIES[1]]}, "I3"),
        ({"replies": [*REPLIES, reply(raw=b"2")]}, "I4"),
        ({"replies": [*REPLIES, reply()]}, "I5"),
        ({"calls": [CALL, replace(CALL, started_s=2.0)]}, "I7"),
        ({"replies": [POISONED, REPLIES[1]]}, "F16"),
        (
            {"sent": [*GOOD.sent, replace(SENT, id="p1", kind="poison", offset=-1)]},
            "I1",
        ),
        ({"peaks": {"alpha": 2}}, "capacity"),
        ({"replies": [reply(at_ms=21), REPLIES[1]]}, "I8"),
        ({"dead_letters": [replace(LETTER, at_ms=31)]}, "I8"),
        ({"commits": [*COMMITS, replace(COMMITS[0], at_ms=40)]}, "I8"),
        ({"left_over": {"READY entries": 1}}, "I9"),
        ({"logs": {"bridge.log": "a canary r1"}}, "I12"),
    ],
)
def test_one_broken_promise_is_found(changed, rule):
    broken = check(replace(GOOD, **changed)).broken

    assert any(line.startswith(rule) for line in broken)


def test_what_a_loss_of_redis_may_cost_is_allowed_after_one():
    doubled = [*REPLIES, reply(raw=b"2")]
    again = [CALL, replace(CALL, started_s=2.0)]
    assert (
        check(replace(GOOD, replies=doubled, calls=again, faults=[FLUSH])).broken == []
    )


@pytest.mark.parametrize(("again_s", "is_broken"), [(130.0, False), (150.0, True)])
def test_poison_is_a_cause_until_it_is_answered(again_s, is_broken):
    fault = Happened("F16", "poison", 1.0, 2.0, recalls=True, loses_redis=False)
    sent = [*GOOD.sent, replace(SENT, id="p1", kind="poison", offset=-1)]
    replies = [*REPLIES, replace(POISONED, id="p1", at_ms=95_000)]
    calls = [replace(CALL, started_s=again_s), replace(CALL, started_s=again_s + 1)]
    history = replace(GOOD, sent=sent, replies=replies, calls=calls, faults=[fault])
    broken = check(history).broken
    assert any(line.startswith("I7") for line in broken) == is_broken


@pytest.mark.parametrize(
    ("answered_s", "others", "is_broken"),
    [
        (12.0, [], False),
        (90.0, [], True),
        (90.0, [replace(FLUSH, started_s=20)], False),
    ],
)
def test_work_goes_on_soon_after_a_kill(answered_s, others, is_broken):
    kill = Happened("F1", "kill", 10.0, 10.0, recalls=False, loses_redis=False)
    later = replace(SENT, id="r2", sent_s=11.0)
    replies = [*REPLIES, reply(id_="r2", at_ms=int(answered_s * 1000))]
    faults = [kill, *others]
    broken = check(
        replace(GOOD, sent=[*GOOD.sent, later], replies=replies, faults=faults)
    ).broken
    assert any(line.startswith("recovery") for line in broken) == is_broken
