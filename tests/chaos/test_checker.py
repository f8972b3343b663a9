"""The checker finds what is broken: a history with one fault in it is not accepted."""

from dataclasses import replace

import pytest

from agentsched.types import Reply, TaskStatus
from agentsched.wire.codec import encode_message
from tests.chaos.checker import check
from tests.chaos.commits import Commit
from tests.chaos.deadlines import stalled_s
from tests.chaos.history import Happened, History, Letter, RawReply
from tests.chaos.traffic import Sent
from tests.support.model_server import Call, digest

SENT = Sent("r1", "alpha", "canary r1", "high", "request", 0, 0)
BAD = Sent(None, "", "", "high", "bad", 0, 1, reason="MALFORMED")
LETTER = Letter(
    {
        "reason": "MALFORMED",
        "source_topic": "t.high_priority",
        "source_partition": "0",
        "source_offset": "1",
    },
    at_ms=30,
)


def letter(reason, offset):
    headers = LETTER.headers | {"reason": reason, "source_offset": str(offset)}
    return Letter(headers, at_ms=20)


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
FLUSH = Happened(
    "F9",
    "empty Redis",
    0.5,
    0.6,
    recalls=True,
    loses_redis=True,
    doubles=True,
    stalls=True,
    targets=("redis",),
)


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
        ({"calls": [CALL, replace(CALL, prompt="b")]}, "capacity"),
        ({"dead_letters": [letter("MISSING_IDENTITY", 1)]}, "F17"),
        ({"dead_letters": [LETTER, letter("TOO_LARGE", 0)]}, "F17"),
        ({"dead_letters": [LETTER, letter("CONFLICT", 0)]}, "F19"),
        ({"replies": [replace(REPLIES[0], at_ms=120_001), REPLIES[1]]}, "L1"),
        ({"replies": [reply(at_ms=21), REPLIES[1]]}, "I8"),
        ({"dead_letters": [replace(LETTER, at_ms=31)]}, "I8"),
        ({"commits": [*COMMITS, replace(COMMITS[0], at_ms=40)]}, "I8"),
        ({"left_over": {"READY entries": 1}}, "I9"),
        ({"logs": {"bridge.log": "a canary r1"}}, "I12"),
        ({"logs": {"bridge0.log": "MAXPOLL [agentsched#consumer-1]"}}, "I13"),
    ],
)
def test_one_broken_promise_is_found(changed, rule):
    broken = check(replace(GOOD, **changed)).broken

    assert any(line.startswith(rule) for line in broken)


def test_what_a_loss_of_redis_may_cost_is_allowed_after_one():
    doubled = [*REPLIES, reply(raw=b"2", at_ms=2_000)]
    again = [CALL, replace(CALL, started_s=2.0)]
    assert (
        check(replace(GOOD, replies=doubled, calls=again, faults=[FLUSH])).broken == []
    )


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


LOST_S = 10.0


def doubled_at(last_s, **changed):
    """A request sent at 8 s and answered twice, with a fault from 9.9 to 10 s."""
    fault = replace(FLUSH, started_s=9.9, ended_s=LOST_S, **changed)
    replies = [
        reply(at_ms=8_200),
        reply(raw=b"2", at_ms=int(last_s * 1000)),
        REPLIES[1],
    ]
    sent = [replace(SENT, sent_s=8.0), BAD, ASKED]
    return check(
        replace(GOOD, sent=sent, replies=replies, commits=[], faults=[fault])
    ).broken


@pytest.mark.parametrize(
    ("last_s", "changed", "rules"),
    [
        (12.0, {}, set()),
        (9.0, {}, {"I4", "I5"}),  # before the fault
        (12.0, {"loses_redis": False}, {"I4"}),
        (12.0, {"doubles": False}, {"I5"}),
    ],
)
def test_a_raw_duplicate_needs_a_fault_in_its_own_time(last_s, changed, rules):
    assert {line.split()[0] for line in doubled_at(last_s, **changed)} == rules


def test_a_duplicate_needs_no_fault_where_the_agent_sent_twice():
    again = replace(SENT, kind="repeat", offset=2)
    sent, replies = [*GOOD.sent, again], [*REPLIES, reply()]
    assert check(replace(GOOD, sent=sent, replies=replies)).broken == []


OTHER_PROMPT = replace(SENT, prompt="canary r1 another", kind="conflict", offset=2)
OTHER_ANSWER = f"alpha {digest(OTHER_PROMPT.prompt)}"


@pytest.mark.parametrize(
    ("answer", "dead", "is_broken"),
    [
        (None, 2, False),
        (None, None, True),
        (OTHER_ANSWER, 0, False),
        (OTHER_ANSWER, 2, True),  # the one that was answered, not the other
    ],
)
def test_of_two_payloads_the_other_one_is_a_dead_letter(answer, dead, is_broken):
    letters = [LETTER] if dead is None else [LETTER, letter("CONFLICT", dead)]
    history = replace(
        GOOD,
        sent=[*GOOD.sent, OTHER_PROMPT],
        replies=[reply(answer), REPLIES[1]],
        dead_letters=letters,
    )
    assert any(line.startswith("F19") for line in check(history).broken) == is_broken


@pytest.mark.parametrize("offset", [0, 2])
def test_of_a_conflict_its_own_sender_is_told(offset):
    history = replace(
        GOOD,
        sent=[*GOOD.sent, OTHER_PROMPT],
        dead_letters=[LETTER, letter("CONFLICT", 2)],
        told={("t.high_priority", 0, offset)},
    )
    broken = [line for line in check(history).broken if line.startswith("F19")]
    assert bool(broken) == (offset != 2)


def test_a_failed_reply_says_by_its_origin_which_payload_it_answers():
    failed = replace(POISONED, value={"status": "failed", "error": {"code": "X"}})
    history = replace(
        GOOD,
        sent=[*GOOD.sent, OTHER_PROMPT],
        replies=[replace(failed, place=("t.high_priority", 0, 2)), REPLIES[1]],
        dead_letters=[LETTER, letter("CONFLICT", 0)],
    )
    assert check(history).broken == []


@pytest.mark.parametrize(
    ("fault", "is_broken"),
    [
        (replace(FLUSH, started_s=50.0, ended_s=60.0), False),
        (replace(FLUSH, started_s=50.0, ended_s=50.5), False),
        (replace(FLUSH, started_s=50.0, ended_s=60.0, stalls=False), True),
        (replace(FLUSH, started_s=150.0, ended_s=160.0), True),
    ],
)
def test_time_in_which_redis_could_not_be_reached_is_added(fault, is_broken):
    replies = [replace(REPLIES[0], at_ms=131_000), REPLIES[1]]
    broken = check(replace(GOOD, replies=replies, commits=[], faults=[fault])).broken
    assert any(line.startswith("L1") for line in broken) == is_broken


def test_faults_that_overlap_are_added_once():
    twice = [replace(FLUSH, started_s=50.0, ended_s=51.0)] * 2
    assert stalled_s(twice, 0.0, 100.0) == pytest.approx(12.0)


@pytest.mark.parametrize(("at_s", "is_broken"), [(1.0, False), (60.0, True)])
def test_more_calls_than_the_capacity_need_a_fault_near_by(at_s, is_broken):
    calls = [
        replace(CALL, prompt=prompt, started_s=at_s, ended_s=at_s + 0.2)
        for prompt in "ab"
    ]
    broken = check(replace(GOOD, calls=calls, faults=[FLUSH])).broken
    assert any(line.startswith("capacity") for line in broken) == is_broken


def test_who_broke_off_a_call_that_hung_may_call_before_the_server_knows():
    hung = replace(CALL, prompt="a", started_s=1.0, ended_s=91.0)
    assert (
        check(replace(GOOD, calls=[hung, replace(CALL, started_s=90.5)])).broken == []
    )


def test_the_verdict_says_which_faults_struck():
    assert check(replace(GOOD, faults=[FLUSH])).struck == ["F9"]
