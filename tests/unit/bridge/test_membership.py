"""A bridge among others: its epoch, its heartbeat and lease, the orders of operators."""

from agentsched.errors import LedgerUnavailable
from agentsched.ledger.bridge_reports import BridgeReport, IndexAnswer, Question
from agentsched.ledger.operator_orders import Control, ControlKind
from agentsched.ledger.turns import PlanOutcome
from agentsched.ledger.values import Admission, AdmitOutcome, State
from agentsched.wire.epoch import NO_EPOCH, EpochCounter
from bridge.core import commands as do
from bridge.core import events as ev
from tests.support.requests import facts
from tests.unit.bridge.effects_rig import Unreachable, state_of


def test_a_lost_ledger_begins_a_new_epoch_with_its_limits(rig):
    rig.admit("k")
    rig.ledger.server.lose()
    events = rig.admit("k")
    (opened,) = (event for event in events if isinstance(event, ev.EpochOpened))
    assert opened.epoch == rig.effects.epoch != rig.epoch
    rig.epoch = opened.epoch
    rig.effects.run(do.MeetPeers(lead=True))
    rig.admit("k")
    assert rig.plan("k").outcome is PlanOutcome.PLANNED


def test_what_was_decided_before_a_new_epoch_is_not_done_in_it(rig):
    before = rig.epoch
    rig.ledger.server.lose()
    rig.effects.run(do.ReadOrders())
    rig.epoch = rig.effects.epoch
    admit = do.Admit((Admission(facts("k"), b"{}", "k"),))
    (answer,) = rig.effects.run(admit, before)
    assert answer.answers[0].outcome is AdmitOutcome.FULL
    assert state_of(rig) is None
    rig.effects.run(admit, rig.epoch)
    assert state_of(rig) is State.READY


def test_a_bridge_that_leaves_gives_the_lease_to_the_next(rig):
    assert rig.ledger.membership.lead("b2", 3_000) is False
    rig.effects.close()
    assert rig.ledger.membership.lead("b2", 3_000) is True


def test_a_new_epoch_is_ours_only_together_with_its_limits(rig):
    rig.ledger.server.lose()
    write, failures = rig.ledger.set_limits, [LedgerUnavailable("time-out")]

    def flaky(*arguments):
        if failures:
            raise failures.pop()
        write(*arguments)

    rig.ledger.set_limits = flaky
    assert not any(isinstance(e, ev.EpochOpened) for e in rig.admit("k"))
    rig.now_ms += 1_000
    assert any(isinstance(e, ev.EpochOpened) for e in rig.admit("k"))


def test_the_orders_of_operators_are_read(rig):
    rig.ledger.operations.impose(Control(ControlKind.PAUSE, "m"))
    rig.ledger.operations.ask(Question(id="1", correlation_id="c"), 1_000)
    (seen,) = rig.effects.run(do.ReadOrders())
    assert list(seen.controls.paused) == ["m"]
    assert [question.id for question in seen.questions] == ["1"]


def test_what_operators_ordered_is_put_back_after_a_loss(rig):
    rig.ledger.operations.impose(Control(ControlKind.PAUSE, "m", "ana", "why"))
    (before,) = rig.effects.run(do.ReadOrders())
    rig.ledger.server.lose()
    rig.effects.run(do.ReadOrders())
    (after,) = rig.effects.run(do.ReadOrders())
    assert after.controls == before.controls


def test_what_was_lifted_before_a_loss_is_not_put_back(rig):
    rig.ledger.operations.impose(Control(ControlKind.PAUSE, "m"))
    rig.effects.run(do.ReadOrders())
    rig.ledger.operations.lift(ControlKind.PAUSE, "m")
    rig.effects.run(do.ReadOrders())
    rig.ledger.server.lose()
    rig.effects.run(do.ReadOrders())
    (after,) = rig.effects.run(do.ReadOrders())
    assert list(after.controls) == []


def test_a_report_is_written_for_this_bridge(rig):
    report = BridgeReport(leading=True)
    assert rig.effects.run(do.Report(report)) == []
    (reported,) = rig.ledger.operations.reports()
    assert (reported.bridge_id, reported.report) == ("b1", report)


def test_an_answer_to_an_operator_is_told_for_this_bridge(rig):
    rig.effects.run(do.AnswerQuestion("1", IndexAnswer(loading=2)))
    assert rig.ledger.operations.answers("1") == {"b1": IndexAnswer(loading=2)}


def test_redis_is_well_while_the_heartbeat_is_taken(rig):
    assert rig.redis().ok


def test_a_beat_tells_how_far_the_epoch_has_got(rig):
    known = rig.ledger.membership.beat().pulse
    (beaten,) = rig.effects.run(do.BeatEpoch(known, ""))
    assert beaten == ev.EpochBeaten(EpochCounter(known.epoch, known.beats + 1))


def test_a_rollback_that_the_counter_shows_begins_an_epoch(rig):
    saved = rig.ledger.server.save()
    rig.effects.run(do.BeatEpoch(NO_EPOCH, ""))
    rig.ledger.server.rollback(saved)
    (opened,) = rig.effects.run(do.BeatEpoch(NO_EPOCH, ""))
    assert isinstance(opened, ev.EpochOpened)
    assert opened.epoch == rig.effects.epoch > rig.epoch


def test_a_rollback_that_kafka_shows_begins_an_epoch(rig):
    newer = EpochCounter(rig.epoch, 1_000)
    (opened,) = rig.effects.run(do.BeatEpoch(newer, ""))
    assert opened.epoch > rig.epoch


def test_after_an_outage_nothing_is_done_before_the_epoch_is_checked(rig):
    saved = rig.ledger.server.save()
    rig.effects.run(do.BeatEpoch(NO_EPOCH, ""))
    rig.ledger.withdraw, works = Unreachable().withdraw, rig.ledger.withdraw
    rig.effects.run(do.Withdraw(("k",)))
    rig.ledger.withdraw = works
    rig.ledger.server.rollback(saved)
    rig.now_ms += 1_000
    events = rig.admit("k")
    assert [type(event) for event in events] == [ev.EpochOpened, ev.AdmitAnswered]
    assert [one.outcome for one in events[1].answers] == [AdmitOutcome.FULL]


def test_a_ledger_that_is_lost_again_at_once_is_tried_later(rig):
    rig.ledger.server.lose()
    write = rig.ledger.set_limits

    def lost_again(*arguments):
        rig.ledger.set_limits = write
        rig.ledger.server.lose()
        write(*arguments)

    rig.ledger.set_limits = lost_again
    assert not any(isinstance(e, ev.EpochOpened) for e in rig.admit("k"))
    rig.now_ms += 1_000
    assert any(isinstance(e, ev.EpochOpened) for e in rig.admit("k"))
