"""What `Operations` promises, on every adapter: controls, reports, questions."""

import pytest

from agentsched.errors import EpochChanged, LedgerError
from agentsched.ledger.bridge_reports import (
    BridgeReport,
    FlowLoad,
    IndexAnswer,
    IndexedRequest,
    OldestRequest,
    Question,
)
from agentsched.ledger.operator_orders import (
    MAX_CONTROLS,
    Control,
    ControlKind,
    Controls,
)
from agentsched.ledger.operator_protocol import MAX_QUESTIONS
from tests.support.ledgers import LONG_MS, World

PAUSE = Control(ControlKind.PAUSE, "gpt-4", "ana@ops", "vendor is down")
BLOCK = Control(ControlKind.BLOCK, "gpt-4", "bo@ops", "loops")
DRAIN = Control(ControlKind.DRAIN, by="cy@ops", reason="new kernel")
REPORT = BridgeReport(
    software="0.1",
    leading=True,
    flows=(FlowLoad(models=("gpt-4",), waiting={"high": 3}, in_flight=2),),
    oldest=OldestRequest(correlation_id="c", agent_id="a", cls="high", arrival_ms=7),
)
FOUND = IndexAnswer(
    found=(
        IndexedRequest(
            agent_id="a",
            correlation_id="c",
            cls="high",
            models=("gpt-4",),
            stage="waiting",
            topic="high_priority",
            partition=0,
            offset=4,
            waiting_ms=9,
            deadline_ms=90,
        ),
    )
)


def question(id_="1", **changed):
    return Question(id=id_, correlation_id="c", **changed)


def asked(world, bridge="b1"):
    orders = world.ledger.operations.orders(world.epoch, bridge)
    return [question.id for question in orders.questions]


def test_at_first_nothing_is_controlled(world: World):
    assert world.ledger.operations.controls() == Controls()


def test_a_control_says_who_when_and_why(world: World):
    before_ms = world.backend.now_ms()
    world.ledger.operations.impose(PAUSE)
    (control,) = world.ledger.operations.controls().paused.values()
    assert (control.name, control.by, control.reason) == (
        "gpt-4",
        "ana@ops",
        "vendor is down",
    )
    assert before_ms <= control.at_ms <= world.backend.now_ms()


def test_controls_of_each_kind_stand_side_by_side(world: World):
    for control in (PAUSE, BLOCK, DRAIN):
        world.ledger.operations.impose(control)
    controls = world.ledger.operations.controls()
    assert (list(controls.paused), list(controls.blocked)) == (["gpt-4"], ["gpt-4"])
    assert controls.drain is not None
    assert controls.drain.reason == "new kernel"


def test_a_name_may_hold_blanks_and_any_letter(world: World):
    name = 'the agent "ä" | 7'
    world.ledger.operations.impose(Control(ControlKind.BLOCK, name))
    assert list(world.ledger.operations.controls().blocked) == [name]
    assert world.ledger.operations.lift(ControlKind.BLOCK, name)


def test_a_control_of_the_same_name_replaces_the_earlier_one(world: World):
    world.ledger.operations.impose(PAUSE)
    world.ledger.operations.impose(
        Control(ControlKind.PAUSE, "gpt-4", "bo@ops", "again")
    )
    (control,) = world.ledger.operations.controls()
    assert (control.by, control.reason) == ("bo@ops", "again")


def test_a_lifted_control_is_gone_and_the_others_stay(world: World):
    world.ledger.operations.impose(PAUSE)
    world.ledger.operations.impose(BLOCK)
    assert world.ledger.operations.lift(ControlKind.PAUSE, "gpt-4")
    assert not world.ledger.operations.lift(ControlKind.PAUSE, "gpt-4")
    assert [control.kind for control in world.ledger.operations.controls()] == [
        ControlKind.BLOCK
    ]


def test_there_are_only_so_many_controls(world: World):
    for number in range(MAX_CONTROLS):
        world.ledger.operations.impose(Control(ControlKind.BLOCK, f"agent-{number}"))
    with pytest.raises(LedgerError, match=str(MAX_CONTROLS)):
        world.ledger.operations.impose(PAUSE)
    world.ledger.operations.impose(
        Control(ControlKind.BLOCK, "agent-0", reason="known already")
    )


def test_bridges_read_the_controls_with_their_orders(world: World):
    world.ledger.operations.impose(PAUSE)
    orders = world.ledger.operations.orders(world.epoch, "b1")
    assert orders.controls == world.ledger.operations.controls()


def test_controls_outlive_an_epoch_only_where_redis_kept_them(world: World):
    world.ledger.operations.impose(PAUSE)
    world.backend.lose()
    with pytest.raises(EpochChanged):
        world.ledger.operations.orders(world.epoch, "b1")
    world.epoch = world.ledger.membership.beat().pulse.epoch
    assert world.ledger.operations.orders(world.epoch, "b1").controls == Controls()


def test_what_was_lost_is_restored_as_it_was(world: World):
    world.ledger.operations.impose(PAUSE)
    known = world.ledger.operations.controls()
    world.backend.lose()
    world.ledger.operations.restore(known)
    assert world.ledger.operations.controls() == known


def test_restoring_changes_nothing_that_is_in_force(world: World):
    world.ledger.operations.impose(PAUSE)
    old = Control(ControlKind.PAUSE, "gpt-4", "old", "old", at_ms=1)
    world.ledger.operations.restore([old])
    assert world.ledger.operations.controls().paused["gpt-4"].by == "ana@ops"


@pytest.mark.parametrize("change", ["impose", "lift", "restore", "ask"])
def test_every_change_wakes_who_follows_the_change_log(world: World, change):
    world.ledger.operations.impose(BLOCK)
    cursor = world.cursor()
    match change:
        case "impose":
            world.ledger.operations.impose(PAUSE)
        case "lift":
            world.ledger.operations.lift(ControlKind.BLOCK, "gpt-4")
        case "restore":
            world.ledger.operations.restore([Control(ControlKind.PAUSE, "x", at_ms=5)])
        case "ask":
            world.ledger.operations.ask(question(), LONG_MS)
    assert world.kinds_since(cursor) == ["orders"]


def test_what_changes_nothing_wakes_nobody(world: World):
    world.ledger.operations.impose(PAUSE)
    cursor = world.cursor()
    world.ledger.operations.lift(ControlKind.BLOCK, "gpt-4")
    world.ledger.operations.restore(world.ledger.operations.controls())
    assert world.kinds_since(cursor) == []


def test_without_an_epoch_a_control_is_kept_all_the_same(world: World):
    world.backend.lose()
    world.ledger.operations.impose(PAUSE)
    assert list(world.ledger.operations.controls().paused) == ["gpt-4"]


def test_a_report_is_read_as_it_was_written(world: World):
    world.ledger.membership.beat_bridge("b1", LONG_MS)
    world.ledger.operations.report("b1", REPORT, LONG_MS)
    (reported,) = world.ledger.operations.reports()
    assert (reported.bridge_id, reported.report) == ("b1", REPORT)


def test_a_report_has_an_age(world: World):
    world.ledger.membership.beat_bridge("b1", LONG_MS)
    world.ledger.operations.report("b1", REPORT, LONG_MS)
    world.backend.advance(20)
    (reported,) = world.ledger.operations.reports()
    assert reported.age_ms >= 20


def test_a_live_bridge_without_a_report_is_there(world: World):
    world.ledger.membership.beat_bridge("b2", LONG_MS)
    world.ledger.membership.beat_bridge("b1", LONG_MS)
    world.ledger.operations.report("b1", REPORT, LONG_MS)
    reported = {one.bridge_id: one.report for one in world.ledger.operations.reports()}
    assert reported == {"b1": REPORT, "b2": None}


def test_a_report_that_is_too_old_is_not_shown(world: World):
    world.ledger.membership.beat_bridge("b1", LONG_MS)
    world.ledger.operations.report("b1", REPORT, 20)
    world.backend.advance(25)
    (reported,) = world.ledger.operations.reports()
    assert reported.report is None


def test_a_silent_bridge_has_no_report(world: World):
    world.ledger.membership.beat_bridge("b1", 20)
    world.ledger.operations.report("b1", REPORT, LONG_MS)
    world.backend.advance(25)
    assert world.ledger.operations.reports() == []


def test_a_question_is_in_the_orders_of_every_bridge(world: World):
    world.ledger.operations.ask(question(agent_id="planner"), LONG_MS)
    for bridge in ("b1", "b2"):
        (found,) = world.ledger.operations.orders(world.epoch, bridge).questions
        assert found == question(agent_id="planner")


def test_an_answered_question_is_in_its_orders_no_more(world: World):
    world.ledger.operations.ask(question(), LONG_MS)
    world.ledger.operations.answer("1", "b1", FOUND, LONG_MS)
    assert (asked(world, "b1"), asked(world, "b2")) == ([], ["1"])


def test_every_answer_is_told(world: World):
    world.ledger.operations.ask(question(), LONG_MS)
    assert world.ledger.operations.answers("1") == {}
    world.ledger.operations.answer("1", "b1", FOUND, LONG_MS)
    world.ledger.operations.answer("1", "b2", IndexAnswer(), LONG_MS)
    assert world.ledger.operations.answers("1") == {"b1": FOUND, "b2": IndexAnswer()}


def test_a_question_ends(world: World):
    world.ledger.operations.ask(question(), 20)
    world.ledger.operations.answer("1", "b1", FOUND, 20)
    world.backend.advance(25)
    assert (asked(world, "b2"), world.ledger.operations.answers("1")) == ([], {})


def test_there_are_only_so_many_open_questions(world: World):
    for number in range(MAX_QUESTIONS + 5):
        world.ledger.operations.ask(question(f"{number:x}"), LONG_MS + number * 1_000)
    kept = asked(world)
    assert len(kept) == MAX_QUESTIONS
    assert "0" not in kept
    assert f"{MAX_QUESTIONS + 4:x}" in kept
