"""Effects: commands become steps of the ledger, doorbells and commits."""

import pytest

from agentsched.errors import (
    DeliveryFailed,
    DoorbellFailed,
    EpochChanged,
    LedgerUnavailable,
    NewerFormat,
)
from agentsched.ledger.memory.ledger import MemoryLedger
from agentsched.ledger.turns import Parked, Plan, PlanOutcome
from agentsched.ledger.values import AdmitOutcome, State
from agentsched.telemetry import metrics
from agentsched.wire.doorbell import Doorbell
from agentsched.wire.records import Mark, Partition
from bridge.core import commands as do
from bridge.core import events as ev
from bridge.core.rules import Rules
from tests.support.requests import facts, settings
from tests.unit.bridge.effects_rig import Rig, Unreachable, done, state_of


def test_admissions_come_back_with_their_places(rig):
    (answer,) = rig.admit("a", "b")
    assert answer.places == (("medium_priority:t1:0", 0),) * 2
    assert [one.outcome for one in answer.answers] == [AdmitOutcome.NEW] * 2


def test_a_plan_is_listed_under_the_lease_of_this_bridge(rig):
    rig.ledger.membership.beat_worker("w1", {"m": 4}, 10**9, parked=3)
    rig.admit("k")
    answer = rig.plan("k")
    assert answer.outcome is PlanOutcome.PLANNED
    assert answer.parked == (Parked("w1", 3, ("m",)),)
    rig.take("k")
    assert state_of(rig) is State.RUNNING


def test_a_bridge_that_does_not_lead_is_told(rig):
    rig.ledger.membership.resign(rig.effects.bridge_id)
    assert rig.plan("k").outcome is PlanOutcome.NOT_DISPATCHER


def bell(key, turn=1):
    return Doorbell.of(facts(key), turn, "e", "m")


def test_the_doorbells_of_a_round_are_sent_together(rig):
    sent = []
    rig.doorbells.ring = sent.append
    rig.effects.run(do.Ring((bell("a"), bell("b"))))
    assert sent == [(bell("a"), bell("b"))]


def test_a_doorbell_that_cannot_be_sent_does_not_stop_the_loop(rig):
    rig.doorbells.fails = True
    assert rig.effects.run(do.Ring((bell("k"),))) == []


def test_a_look_shows_what_the_ledger_has(rig):
    rig.admit("k")
    rig.take("k")
    (seen,) = rig.effects.run(do.Inspect(("k", "gone")))
    assert [view and view.state for view in seen.views] == [State.RUNNING, None]


def test_while_redis_does_not_answer_steps_count_as_not_done():
    rig = Rig(ledger=Unreachable())
    (admitted,) = rig.admit("k")
    assert [one.outcome for one in admitted.answers] == [AdmitOutcome.FULL]
    plan = do.PlanStarts(Plan("", 1, 1, "", ()))
    (planned,) = rig.effects.run(plan)
    assert (planned.command, planned.answer) == (plan, None)
    (withdrawn,) = rig.effects.run(do.Withdraw(("k",)))
    assert withdrawn.gone == (False,)
    (peers,) = rig.effects.run(do.MeetPeers(lead=True))
    assert peers.leading is False
    for command in (do.Inspect(("k",)), do.TakeSnapshot(), do.Expire("k")):
        assert rig.effects.run(command) == []


def test_commits_and_pauses_go_to_kafka(rig):
    class Reader:
        def __init__(self):
            self.said = []

        def commit(self, marks):
            self.said.append(marks)

        def pause(self, partitions):
            self.said.append(("pause", partitions))

        def resume(self, partitions):
            self.said.append(("resume", partitions))

    reader, partition = Reader(), Partition("t", 0)
    rig.effects.attach(reader)
    for command in (
        do.Commit(partition, 4, "note"),
        do.Pause((partition,)),
        do.Resume((partition,)),
    ):
        rig.effects.run(command)
    assert reader.said == [
        {partition: Mark(4, "note")},
        ("pause", (partition,)),
        ("resume", (partition,)),
    ]


def test_a_new_configuration_reaches_ledger_and_queues(rig):
    before = rig.revision
    rig.effects.adopt(Rules(settings(capacity=1)))
    assert rig.revision > before
    assert rig.doorbells.known == ["m"]


def test_while_redis_does_not_answer_only_one_step_in_a_while_is_tried():
    rig = Rig()
    tried = []

    def hang(*_):
        tried.append(1)
        raise LedgerUnavailable("time-out")

    rig.open()
    rig.ledger.withdraw = hang
    for _ in range(5):
        rig.effects.run(do.Withdraw(("k",)))
    assert len(tried) == 1
    rig.now_ms += 1_000
    rig.effects.run(do.Withdraw(("k",)))
    assert len(tried) == 2


def test_while_celerys_broker_does_not_answer_it_is_asked_once_in_a_while(rig):
    tried = []

    def hang(*_):
        tried.append(1)
        raise DoorbellFailed("time-out")

    rig.doorbells.ring = hang
    for _ in range(5):
        rig.effects.run(do.Ring((bell("k"),)))
    assert len(tried) == 1
    rig.now_ms += 1_000
    rig.effects.run(do.Ring((bell("k"),)))
    assert len(tried) == 2


def test_an_epoch_that_cannot_be_opened_is_not_tried_with_every_step(rig):
    tried = []

    def gone(*_):
        raise EpochChanged("another one")

    def hang(*_):
        tried.append(1)
        raise LedgerUnavailable("time-out")

    rig.ledger.admit, rig.ledger.membership.beat = gone, hang
    for _ in range(5):
        rig.admit("k")
    assert len(tried) == 1


def test_the_calls_of_each_model_are_counted(rig):
    done(rig)
    assert rig.effects.run(do.CountCalls()) == [ev.CallsCounted({"m": 1}, 7)]


def test_what_had_an_effect_is_counted_and_nothing_else(rig):
    rig.admit("k")
    rig.effects.run(do.Ring((bell("k"), bell("other")), (("m", 1),)))
    rig.plan("k")
    assert rig.meters.value(metrics.ADMITTED, "m", "medium") == 1
    assert rig.meters.value(metrics.DOORBELLS_RUNG, "m") == 2
    assert rig.meters.value(metrics.DOORBELLS_RUNG_AGAIN, "m") == 1


def test_a_lease_that_is_not_over_is_no_expiry(rig):
    rig.admit("k")
    rig.take("k")
    rig.effects.run(do.Expire("k"))
    assert rig.meters.value(metrics.LEASE_EXPIRIES) == 0


def test_a_doorbell_that_was_not_sent_counts_as_a_failure(rig):
    rig.doorbells.fails = True
    rig.effects.run(do.Ring((bell("k"),)))
    assert rig.meters.value(metrics.DOORBELL_FAILURES) == 1
    assert rig.meters.value(metrics.DOORBELLS_RUNG, "m") is None


def test_a_step_without_an_answer_says_that_redis_is_gone():
    rig = Rig(Unreachable())
    rig.effects.run(do.MeetPeers(lead=True))
    assert rig.redis().detail == "no answer"


def test_a_bridge_that_is_too_old_for_the_ledger_does_nothing_more_in_it(rig):
    def refuse(*_):
        raise NewerFormat("upgrade this process")

    rig.ledger.admit, admit = refuse, rig.ledger.admit
    (answer,) = rig.admit("k")
    assert [one.outcome for one in answer.answers] == [AdmitOutcome.FULL]
    assert isinstance(rig.effects.refused, NewerFormat)
    assert rig.redis().detail == "upgrade this process"
    rig.ledger.admit = admit
    rig.now_ms += 60_000
    rig.admit("k")
    assert state_of(rig) is None


def test_a_bridge_that_is_too_old_at_its_start_says_why():
    def beat(*_):
        raise NewerFormat("upgrade this process")

    ledger = MemoryLedger(lambda: 1)
    ledger.membership.beat = beat
    with pytest.raises(NewerFormat):
        Rig(ledger).effects.open()


def test_a_cancel_record_marks_its_request_and_settles_its_offset(rig):
    rig.admit("k")
    events = rig.effects.run(do.Cancel("k", 60, "s", 5))
    assert events == [ev.OffsetSettled("s", 5)]
    assert rig.ledger.inspect(rig.epoch, ["k"])[0].ending == "cancelled"
    assert rig.ledger.partition(rig.epoch, "s", 0, 9).done == (range(5, 6),)


def test_a_cancel_without_redis_is_told_to_have_failed():
    command = do.Cancel("k", 60, "s", 5)
    assert Rig(ledger=Unreachable()).effects.run(command) == [ev.SettleFailed(command)]


def test_answered_offsets_are_told_to_the_ledger(rig):
    assert rig.effects.run(do.RestoreDone("s", (range(2), range(5, 7)))) == []
    assert rig.ledger.partition(rig.epoch, "s", 0, 9).done == (range(2), range(5, 7))


def test_what_is_answered_is_open_no_more_though_a_paused_bridge_admitted_it(rig):
    rig.admit("k")
    facts = rig.ledger.snapshot(rig.epoch).ready[0].facts
    at = range(facts.offset, facts.offset + 1)
    rig.effects.run(do.RestoreDone(facts.source, (at,)))
    assert rig.ledger.inspect(rig.epoch, ["k"]) == [None]


def test_what_the_ledger_did_not_take_is_told_again_later():
    rig = Rig(ledger=Unreachable())
    command = do.RestoreDone("s", (range(2),))
    assert rig.effects.run(command) == [ev.SettleFailed(command)]


LOOK_UP = do.LookUpReplies(
    "e", (do.OffsetRange("s", 3, 9), do.OffsetRange("t", 0, 2)), 77
)


def test_a_look_up_asks_kafka_for_ranges_and_brings_its_answer(rig):
    rig.answers = {"s": {4}}
    assert rig.effects.run(LOOK_UP) == []
    assert rig.inboxed() == [ev.LookedUp(LOOK_UP, {"s": {4}}, rig.now_ms)]
    assert rig.asked == [({"s": range(3, 9), "t": range(2)}, 77)]


def test_a_look_up_that_failed_is_told(rig):
    rig.answers = DeliveryFailed("no Kafka")
    rig.effects.run(LOOK_UP)
    assert rig.inboxed() == [ev.LookUpFailed(LOOK_UP, "no Kafka")]


def test_a_snapshot_has_the_time_after_it_was_taken(rig, monkeypatch):
    """Else the board lists too early what the ledger's clock does not let start."""
    snapshot = rig.ledger.snapshot

    def slow(epoch):
        taken = snapshot(epoch)
        rig.now_ms += 700
        return taken

    monkeypatch.setattr(rig.ledger, "snapshot", slow)
    (synced,) = rig.effects.run(do.TakeSnapshot())
    assert synced.now_ms == rig.now_ms
