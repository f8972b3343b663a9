"""What a bridge publishes, and what follows when Kafka has it, or has not."""

from concurrent.futures import Future
from dataclasses import replace

import pytest

import bridge.effects.unnoted
from agentsched.errors import DeliveryFailed, LedgerUnavailable
from agentsched.ledger.values import Admission, State
from agentsched.telemetry import metrics
from agentsched.wire.epoch import NO_EPOCH
from agentsched.wire.records import OutboundRecord
from bridge.core import commands as do
from bridge.core import events as ev
from tests.support.requests import facts, record
from tests.unit.bridge.effects_rig import AT, done, state_of


def test_a_stored_reply_is_published_and_then_marked(rig):
    done(rig)
    rig.effects.run(do.SendStored("k"))
    ((sent, delivery),) = rig.sink.sent
    assert (sent.value, sent.key) == (b'{"x": 1}', "c-k")
    assert sent.headers["payload_hash"] == "k"  # as the rig admitted it
    assert state_of(rig) is State.DONE
    delivery.set_result(AT)
    assert rig.inboxed() == []
    assert state_of(rig) is State.ANSWERED


def test_a_stored_reply_is_sent_once_at_a_time(rig):
    done(rig)
    rig.effects.run(do.SendStored("k"))
    rig.effects.run(do.SendStored("k"))
    assert len(rig.sink.sent) == 1


def test_a_stored_reply_that_kafka_did_not_take_is_sent_again(rig):
    done(rig)
    rig.effects.run(do.SendStored("k"))
    rig.sink.sent[0][1].set_exception(DeliveryFailed("no"))
    rig.inboxed()
    assert state_of(rig) is State.DONE
    rig.effects.run(do.SendStored("k"))
    assert len(rig.sink.sent) == 2


def letter(offset=5):
    return do.PublishRefusal(OutboundRecord("x.dead_letter", b""), "s", offset)


def test_a_dead_letter_settles_its_offset_after_the_acknowledgement(rig):
    assert rig.effects.run(letter()) == []
    rig.sink.sent[0][1].set_result(AT)
    assert rig.inboxed() == [ev.OffsetSettled("s", 5)]
    assert rig.ledger.partition(rig.epoch, "s", 0, 9).done == (range(5, 6),)


def test_a_dead_letter_that_kafka_did_not_take_is_told_with_the_reason(rig, caplog):
    command = letter()
    rig.effects.run(command)
    rig.sink.sent[0][1].set_exception(DeliveryFailed("the record is too large"))
    assert rig.inboxed() == [ev.SettleFailed(command)]
    assert "the record is too large" in caplog.text


def test_what_fails_at_once_is_asked_for_again_like_all_that_fails(rig):
    # So does a producer whose local queue is full: it never waits.
    full = Future()
    full.set_exception(DeliveryFailed("the local queue is full"))
    rig.sink.send = lambda _record: full
    command = letter()
    assert rig.effects.run(command) == []
    assert rig.inboxed() == [ev.SettleFailed(command)]
    assert rig.ledger.partition(rig.epoch, "s", 0, 9).done == ()
    done(rig)
    rig.effects.run(do.SendStored("k"))
    rig.inboxed()
    assert state_of(rig) is State.DONE


def conflict():
    told = OutboundRecord("results", b"{}", "c-k", {"kind": "conflict"})
    return replace(letter(), conflict=told)


def test_a_conflict_is_told_before_its_dead_letter_and_settled_after_both(rig):
    rig.effects.run(conflict())
    assert [sent.topic for sent, _ in rig.sink.sent] == ["results"]
    rig.sink.sent[0][1].set_result(AT)
    assert rig.inboxed() == []
    assert [sent.topic for sent, _ in rig.sink.sent] == ["results", "x.dead_letter"]
    assert rig.ledger.partition(rig.epoch, "s", 0, 9).done == ()
    rig.sink.sent[1][1].set_result(AT)
    assert rig.inboxed() == [ev.OffsetSettled("s", 5)]


def test_a_conflict_that_could_not_be_told_is_told_again_before_the_dead_letter(rig):
    command = conflict()
    rig.effects.run(command)
    rig.sink.sent[0][1].set_exception(DeliveryFailed("no"))
    assert rig.inboxed() == [ev.SettleFailed(command)]
    assert len(rig.sink.sent) == 1


def test_a_conflict_that_was_told_is_not_told_again_for_its_dead_letters_sake(rig):
    command = conflict()
    rig.effects.run(command)
    rig.sink.sent[0][1].set_result(AT)
    rig.inboxed()
    rig.sink.sent[1][1].set_exception(DeliveryFailed("no"))
    assert rig.inboxed() == [ev.SettleFailed(replace(command, conflict=None))]


def repeat():
    expired = OutboundRecord("results", b"expired", "c-k")
    return do.SendRepeat(AT, facts("k", offset=9), expired, "ab12")


def kept(correlation_id, **more):
    headers = {"correlation_id": correlation_id, "agent_id": "agent"} | more
    return record(3, b"the very bytes", topic="results", headers=headers)


def test_a_repeated_request_gets_the_bytes_of_its_reply_again(rig):
    rig.kept[AT] = kept("c-k")
    rig.effects.run(repeat())
    rig.inboxed()
    ((sent, delivery),) = rig.sink.sent
    assert (sent.value, sent.headers["source_offset"]) == (b"the very bytes", "9")
    assert sent.headers["payload_hash"] == "ab12"
    delivery.set_result(AT)
    assert rig.inboxed() == [ev.OffsetSettled("medium_priority:t1:0", 9)]


def test_a_repeated_request_whose_reply_has_gone_is_told_so(rig):
    rig.effects.run(repeat())
    rig.inboxed()
    assert rig.sink.sent[0][0].value == b"expired"


def test_a_repeated_request_never_gets_anothers_reply(rig):
    rig.kept[AT] = kept("of somebody else")
    rig.effects.run(repeat())
    rig.inboxed()
    assert rig.sink.sent[0][0].value == b"expired"


@pytest.mark.parametrize("more", [{"payload_hash": "cd34"}, {"kind": "conflict"}])
def test_a_repeated_request_never_gets_the_reply_to_another_payload(rig, more):
    rig.kept[AT] = kept("c-k", **more)
    rig.effects.run(repeat())
    rig.inboxed()
    assert rig.sink.sent[0][0].value == b"expired"


def test_an_answer_without_a_lease_is_stored_and_published(rig):
    rig.admit("k")
    rig.effects.run(do.EndRequest(facts("k"), b"removed"))
    ((sent, delivery),) = rig.sink.sent
    assert sent.value == b"removed"
    delivery.set_result(AT)
    rig.inboxed()
    assert state_of(rig) is State.ANSWERED


def test_a_reply_that_could_not_be_read_back_is_not_said_to_be_gone(rig):
    def unreachable(at):
        raise DeliveryFailed(f"no Kafka for {at}")

    rig.read_back = unreachable
    command = repeat()
    rig.effects.run(command)
    assert rig.inboxed() == [ev.SettleFailed(command)]
    assert rig.sink.sent == []


def test_a_dead_letter_counts_when_kafka_has_it(rig):
    letter = OutboundRecord("t.dead_letter", b"x", headers={"reason": "MALFORMED"})
    rig.effects.run(do.PublishRefusal(letter, "medium_priority:t1:0", 4))
    assert rig.meters.value(metrics.DEAD_LETTERS, "MALFORMED") == 0
    rig.sink.sent[0][1].set_result(AT)
    rig.inboxed()
    assert rig.meters.value(metrics.DEAD_LETTERS, "MALFORMED") == 1


def test_a_stored_reply_that_is_sent_again_is_counted(rig):
    done(rig)
    rig.effects.run(do.SendStored("k"))
    rig.effects.run(do.SendStored("k"))
    assert rig.meters.value(metrics.REPLIES_SENT_AGAIN) == 1


def test_an_answer_counts_for_who_wins_only(rig):
    rig.admit("k")
    value = b'{"error": {"code": "MODEL_REMOVED"}}'
    rig.effects.run(do.EndRequest(facts("k"), value))
    rig.effects.run(do.EndRequest(facts("k"), b"another"))
    labels = ("m", "medium", "MODEL_REMOVED")
    assert rig.meters.value(metrics.ANSWERED, *labels) == 1


def bury(rig):
    rig.admit("k")
    dead_letter = OutboundRecord("t.dead_letter", b"bad")
    rig.effects.run(do.BuryPoison(dead_letter, facts("k"), b"poison"))


def test_what_is_buried_is_answered_once_kafka_has_the_dead_letter(rig):
    bury(rig)
    ((sent, delivery),) = rig.sink.sent
    assert sent.topic == "t.dead_letter"
    assert state_of(rig) is State.READY
    delivery.set_result(AT)
    rig.inboxed()
    assert rig.sink.sent[1][0].value == b"poison"
    assert state_of(rig) is State.DONE


def test_it_is_not_answered_when_kafka_did_not_take_the_dead_letter(rig):
    bury(rig)
    rig.sink.sent[0][1].set_exception(DeliveryFailed("no"))
    rig.inboxed()
    assert state_of(rig) is State.READY
    bury(rig)  # the next look tries again
    assert len(rig.sink.sent) == 2


def test_a_sent_reply_of_a_request_that_the_ledger_lost_settles_its_offset(rig):
    done(rig)
    rig.effects.run(do.SendStored("k"))
    published = rig.ledger.published
    rig.ledger.published = lambda *_: published(rig.epoch, "unknown", AT)
    rig.sink.sent[0][1].set_result(AT)
    rig.inboxed()
    assert rig.ledger.partition(rig.epoch, facts().source, 0, 9).done == (range(1),)


class Silent:
    """A step of the ledger that blocks for the time-out of a socket, as often as told."""

    def __init__(self, rig, step, times):
        self.tries, self._left, self._rig = 0, times, rig
        self._step = getattr(rig.ledger, step)
        setattr(rig.ledger, step, self)

    def __call__(self, *arguments):
        self.tries += 1
        if self._left:
            self._left -= 1
            self._rig.now_ms += 5_000
            raise LedgerUnavailable("time-out")
        return self._step(*arguments)


def test_however_many_acknowledgements_come_back_one_time_out_is_waited_for(rig):
    silent = Silent(rig, "settle", 1)
    letters = [letter(offset) for offset in range(100)]
    for one in letters:
        rig.effects.run(one)
    for _, delivery in rig.sink.sent:
        delivery.set_result(AT)
    assert rig.inboxed() == [ev.OffsetSettled("s", offset) for offset in range(100)]
    assert silent.tries == 1
    rig.now_ms += 1_000
    rig.effects.run(do.BeatEpoch(NO_EPOCH, ""))
    assert rig.ledger.partition(rig.epoch, "s", 0, 100).done == (range(100),)


def test_a_reply_that_kafka_has_is_noted_when_redis_answers_and_not_sent_again(rig):
    done(rig)
    Silent(rig, "turn", 1)
    rig.effects.run(do.SendStored("k"))
    rig.sink.sent[0][1].set_result(AT)
    rig.inboxed()
    rig.now_ms += 1_000
    rig.effects.run(do.SendStored("k"))
    assert len(rig.sink.sent) == 1
    rig.effects.run(do.BeatEpoch(NO_EPOCH, ""))
    assert state_of(rig) is State.ANSWERED


def test_a_poisoned_request_is_answered_when_redis_answers(rig):
    rig.admit("k")
    Silent(rig, "complete", 1)
    letter = OutboundRecord("x.dead_letter", b"")
    rig.effects.run(do.BuryPoison(letter, facts("k"), b"{}"))
    rig.sink.sent[0][1].set_result(AT)
    rig.inboxed()
    assert len(rig.sink.sent) == 1
    rig.now_ms += 1_000
    rig.effects.run(do.BeatEpoch(NO_EPOCH, ""))
    assert [sent.topic for sent, _ in rig.sink.sent] == ["x.dead_letter", "results"]


def test_what_waits_for_redis_is_bounded_and_what_is_given_up_is_sent_again(
    rig, monkeypatch
):
    monkeypatch.setattr(bridge.effects.unnoted, "MOST", 1)
    done(rig)
    Silent(rig, "turn", 10**9)
    rig.effects.run(do.SendStored("k"))
    rig.sink.sent[0][1].set_result(AT)
    rig.inboxed()
    rig.effects.run(letter())
    rig.sink.sent[1][1].set_result(AT)
    rig.inboxed()
    rig.now_ms += 1_000
    rig.effects.run(do.BeatEpoch(NO_EPOCH, ""))
    rig.now_ms += 1_000
    rig.effects.run(do.SendStored("k"))
    assert len(rig.sink.sent) == 3


def test_a_burst_of_replies_is_neither_read_back_nor_marked_one_by_one(rig):
    """Two round trips for each were 521 a second."""
    steps, turn = [], rig.ledger.turn

    def counted(epoch, one):
        steps.append(len(one.published))
        return turn(epoch, one)

    rig.ledger.turn = counted
    rig.ledger.reply = lambda *_: pytest.fail("read back")
    keys = [f"k{number}" for number in range(100)]
    admissions = tuple(
        Admission(facts(key, offset=n), b"{}", key, b'{"x": 1}')
        for n, key in enumerate(keys)
    )
    rig.effects.run(do.Admit(admissions))
    for key in keys:
        rig.effects.run(do.SendStored(key))
    for _, acknowledgement in rig.sink.sent:
        acknowledgement.set_result(AT)
    rig.inboxed()
    assert {state_of(rig, key) for key in keys} == {State.ANSWERED}
    assert steps == [64, 36]


def test_a_reply_of_a_lost_epoch_is_read_back_before_it_is_sent(rig):
    rig.effects.run(do.Admit((Admission(facts("k"), b"{}", "k", b'{"x": 1}'),)))
    rig.ledger.server.lose()
    rig.effects.run(do.ReadOrders())
    rig.effects.run(do.SendStored("k"))
    assert rig.sink.sent == []
