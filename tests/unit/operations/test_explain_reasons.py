"""Why a request waits: every reason by itself, and which comes first."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from agentsched.ledger.operator_orders import Control, ControlKind, Controls
from agentsched.ledger.views import Pool
from agentsched.operations.explain.reasons import Surroundings, Wait, Why, reasons

NOW_MS = 1_000_000
WAIT = Wait(models=("gpt-4",), agent_id="planner")
EITHER = Wait(models=("gpt-4", "llama3"), agent_id="planner")
FREE = Surroundings(
    now_ms=NOW_MS,
    pools=(Pool("gpt-4", "a", 6, 7), Pool("llama3", "b", 15, 16)),
    live_slots={"gpt-4": 7, "llama3": 16},
)


def ordered(kind, name=""):
    control = Control(kind, name, "ana@ops", "vendor incident", NOW_MS - 200_000)
    return Controls.of([control])


def controlled(*controls, **changed):
    at = tuple(Control(kind, name, "ana", "why", NOW_MS) for kind, name in controls)
    return replace(FREE, controls=Controls.of(at), **changed)


def full(*models, **changed):
    pools = tuple(
        replace(pool, in_flight=pool.capacity) if pool.model in models else pool
        for pool in FREE.pools
    )
    return replace(FREE, pools=pools, **changed)


def whys(wait, around):
    return [reason.why for reason in reasons(wait, around)]


def text(wait, around):
    return [reason.text for reason in reasons(wait, around)]


def test_with_a_free_slot_nothing_keeps_it():
    assert text(WAIT, FREE) == [
        "a slot of gpt-4 is free: it starts when those before it have"
    ]


def test_a_paused_model_is_the_reason_with_who_when_and_why():
    around = replace(FREE, controls=ordered(ControlKind.PAUSE, "gpt-4"))
    assert text(WAIT, around) == [
        "model gpt-4 is paused for 3 min 20 s, by ana@ops: vendor incident"
    ]


def test_all_slots_in_use_are_the_reason():
    assert text(WAIT, full("gpt-4")) == ["all 7 slots of gpt-4 are in use"]


def test_of_several_endpoints_one_free_slot_is_enough():
    pools = (Pool("gpt-4", "a", 4, 4), Pool("gpt-4", "b", 2, 3))
    assert whys(WAIT, replace(FREE, pools=pools)) == [Why.NEXT]
    pools = (Pool("gpt-4", "a", 4, 4), Pool("gpt-4", "b", 3, 3))
    assert text(WAIT, replace(FREE, pools=pools)) == ["all 7 slots of gpt-4 are in use"]


def test_no_live_worker_is_the_reason():
    around = replace(FREE, live_slots={"llama3": 16})
    assert text(WAIT, around) == ["no live worker serves gpt-4"]


def test_workers_with_fewer_slots_than_the_capacity_are_named():
    around = replace(FREE, live_slots={"gpt-4": 6})
    assert text(WAIT, around) == [
        "all 6 slots of the live workers of gpt-4 are in use (its capacity is 7)"
    ]


def test_a_model_that_no_bridge_knows_is_the_reason():
    assert whys(replace(WAIT, models=("gone",)), FREE) == [Why.MODEL_REMOVED]


def test_every_model_that_may_answer_has_its_reason():
    around = controlled((ControlKind.PAUSE, "gpt-4"), live_slots={"gpt-4": 7})
    assert whys(EITHER, around) == [Why.MODEL_PAUSED, Why.NO_WORKER]


def test_one_model_that_can_take_it_is_enough():
    around = controlled((ControlKind.PAUSE, "gpt-4"))
    assert text(EITHER, around) == [
        "a slot of llama3 is free: it starts when those before it have"
    ]


@pytest.mark.parametrize("kind", [ControlKind.DRAIN, ControlKind.UNKNOWN])
def test_what_stops_all_is_the_only_reason_that_counts(kind):
    around = replace(full("gpt-4"), controls=ordered(kind))
    assert text(WAIT, around) == [
        "the system is drained for 3 min 20 s, by ana@ops: vendor incident"
    ]


def test_a_blocked_agent_is_answered_also_in_a_drain():
    around = controlled((ControlKind.DRAIN, ""), (ControlKind.BLOCK, "planner"))
    assert whys(WAIT, around) == [Why.AGENT_BLOCKED]


def test_another_agents_block_is_no_reason():
    assert whys(WAIT, controlled((ControlKind.BLOCK, "other"))) == [Why.NEXT]


def test_the_limit_over_all_models_is_a_reason():
    assert text(WAIT, replace(FREE, max_in_flight=21)) == [
        "all 21 slots of limits.max_in_flight are in use"
    ]
    assert whys(WAIT, replace(FREE, max_in_flight=22)) == [Why.NEXT]


def test_a_retry_says_when():
    wait = replace(WAIT, not_before_ms=12_000)
    assert text(wait, FREE) == ["it may not start before its next attempt, in 12 s"]
    assert whys(wait, full("gpt-4")) == [Why.SLOTS_IN_USE, Why.NOT_BEFORE]


def test_a_partition_that_is_not_loaded_is_the_reason():
    assert whys(replace(WAIT, loading=True), full("gpt-4")) == [Why.LOADING]


def test_what_is_looked_up_in_kafka_waits_for_that():
    assert whys(replace(WAIT, doubted=True), full("gpt-4")) == [Why.DOUBTED]


def test_what_cannot_run_is_answered():
    assert whys(replace(WAIT, models=()), FREE) == [Why.REFUSED]


def test_what_is_overdue_never_starts():
    assert text(replace(WAIT, overdue=True), full("gpt-4")) == [
        "its time to live has ended: it is answered DEADLINE_EXCEEDED"
    ]


def test_beside_a_free_slot_what_is_not_in_the_ready_set_says_so():
    wait = replace(WAIT, admitted=False, before=3)
    assert whys(wait, FREE) == [Why.NOT_ADMITTED]
    assert "not in the ready set" in text(wait, FREE)[0]
    assert whys(wait, full("gpt-4")) == [Why.SLOTS_IN_USE]


def test_beside_a_free_slot_a_suspect_waits_for_a_process_of_its_own():
    assert whys(replace(WAIT, crashes=1, before=3), FREE) == [Why.MORE_URGENT]
    assert whys(replace(WAIT, crashes=2, before=3), FREE) == [Why.SUSPECT]
    assert whys(replace(WAIT, crashes=2), full("gpt-4")) == [Why.SLOTS_IN_USE]


def test_beside_a_free_slot_more_urgent_ones_are_counted():
    assert text(replace(WAIT, before=1_420), FREE) == [
        "a slot of gpt-4 is free: it starts when the 1,420 before it have"
    ]
    assert whys(replace(WAIT, before=3), FREE) == [Why.MORE_URGENT]
    assert whys(replace(WAIT, before=3), full("gpt-4")) == [Why.SLOTS_IN_USE]
    assert whys(replace(WAIT, before=0), FREE) == [Why.NEXT]


def test_without_a_dispatcher_nothing_starts():
    assert whys(WAIT, replace(FREE, dispatcher=False)) == [Why.NO_DISPATCHER]


def test_the_how_to_says_what_helps_for_each_reason():
    page = Path(__file__).parents[3] / "docs" / "how-to" / "operate.md"
    rows = re.findall(r"^\| `([A-Z_]+)` \|", page.read_text("utf-8"), re.MULTILINE)
    assert sorted(rows) == sorted(Why)


@pytest.mark.parametrize(("by", "reason"), [("", ""), ("x", ""), ("", "y")])
def test_an_order_without_a_name_or_a_reason_says_so(by, reason):
    control = Control(ControlKind.DRAIN, "", by, reason, NOW_MS)
    (one,) = text(WAIT, replace(FREE, controls=Controls.of([control])))
    assert one.endswith(f"by {by or 'unknown'}: {reason or 'no reason'}")
