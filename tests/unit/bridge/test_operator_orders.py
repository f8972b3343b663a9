"""What operators ordered: paused models, blocked agents, a drain."""

import json

import pytest

from agentsched.ledger.operator_orders import Control, ControlKind, Controls
from agentsched.ledger.values import (
    AdmitOutcome,
    Change,
    ChangeKind,
    EntryView,
    ReadyEntry,
    Snapshot,
    State,
)
from bridge.core import commands as do
from bridge.core import events as ev
from bridge.core.admission import FULL_RETRY_MS
from bridge.core.rules import Rules
from tests.support.requests import facts, settings
from tests.unit.bridge.driver import PARTITION, SOURCE, Driver

ENDPOINT = {"base_url": "http://127.0.0.1:1/v1", "capacity": 2}
TWO_MODELS = [
    {"name": "m", "endpoints": [ENDPOINT]},
    {"name": "other", "endpoints": [ENDPOINT]},
]
DRAIN = Control(ControlKind.DRAIN)
UNKNOWN = Control(ControlKind.UNKNOWN, "throttle m", written=b"{}")


def pause(model):
    return Control(ControlKind.PAUSE, model)


def block(agent):
    return Control(ControlKind.BLOCK, agent)


def order(driver, *controls):
    """Say what is ordered; a change has another revision, and voids all lists."""
    before, now = driver.state.controls, Controls.of(controls)
    revision = driver.state.revision + (before != now)
    if before != now:
        driver.lists.clear()
    return driver.feed(ev.OrdersSeen(now, (), driver.now_ms, revision))


def snapshot(driver, *entries):
    ready = tuple(ReadyEntry(entry) for entry in entries)
    driver.feed(ev.Synced(Snapshot("5-0", 0, ready, ()), driver.now_ms))


def dispatcher(*entries, controls=(), **changes):
    driver = Driver(**changes)
    order(driver, *controls)
    driver.tick()
    driver.lead(m=2, other=2)
    driver.tick()
    snapshot(driver, *entries)
    return driver


def placed(driver):
    """(key, model) of all that is listed."""
    return [(key, model) for (model, _), keys in driver.lists.items() for key in keys]


def code_of(admission):
    return json.loads(admission.reply)["error"]["code"] if admission.reply else ""


def admitted(driver):
    """(offset, code of the reply that it comes with) of every admission."""
    return [
        (admission.facts.offset, code_of(admission))
        for command in driver.of(do.Admit)
        for admission in command.admissions
    ]


def test_the_orders_are_read_every_second():
    driver = Driver()
    driver.tick()
    assert driver.of(do.ReadOrders) == [do.ReadOrders()]
    driver.tick(999)
    assert driver.of(do.ReadOrders) == []
    driver.tick(1)
    assert driver.of(do.ReadOrders) == [do.ReadOrders()]


def test_the_orders_are_read_at_once_when_the_change_log_says_so():
    driver = Driver()
    driver.tick()
    driver.feed(ev.Changed((Change(ChangeKind.ORDERS, "1-0"),), driver.now_ms))
    assert driver.of(do.ReadOrders) == [do.ReadOrders()]


def test_as_long_as_the_orders_are_unknown_nothing_starts():
    driver = Driver()
    driver.state.controls = None
    driver.tick()
    driver.lead(m=2)
    driver.tick()
    snapshot(driver, facts("a"))
    assert placed(driver) == []
    order(driver)
    assert placed(driver) == [("a", "m")]


def test_no_request_of_a_paused_model_starts():
    assert placed(dispatcher(facts("a"), controls=[pause("m")])) == []


def test_another_model_goes_on():
    driver = dispatcher(
        facts("a"),
        facts("b", models=("other",)),
        controls=[pause("m")],
        models=TWO_MODELS,
    )
    assert placed(driver) == [("b", "other")]


def test_a_request_that_another_model_may_answer_goes_there():
    entry = facts("a", models=("m", "other"))
    driver = dispatcher(entry, controls=[pause("m")], models=TWO_MODELS)
    assert placed(driver) == [("a", "other")]


def test_a_resumed_model_starts_what_has_waited():
    driver = dispatcher(facts("a"), controls=[pause("m")])
    order(driver)
    assert placed(driver) == [("a", "m")]


@pytest.mark.parametrize("control", [DRAIN, UNKNOWN])
def test_a_drain_and_an_unknown_order_start_nothing_of_any_model(control):
    entries = facts("a"), facts("b", models=("other",))
    assert placed(dispatcher(*entries, controls=[control], models=TWO_MODELS)) == []


def test_a_pause_earns_no_floor_that_would_be_paid_afterwards():
    driver = dispatcher(facts("low", cls="low"), controls=[pause("m")])
    driver.tick(600_000)
    assert driver.state.lead.floors["m"].owed(lambda _: True) == []


def test_what_runs_is_left_alone_while_its_model_is_paused():
    driver = Driver()
    driver.own()
    driver.read(0)
    driver.admitted(state=State.RUNNING)
    order(driver, pause("m"), block("default"))
    (key,) = driver.state.by_key
    running = EntryView(State.RUNNING, since_ms=9, lease_left_ms=9, model="m")
    assert driver.feed(ev.Inspected((key,), (running,), driver.now_ms)) == []


def test_a_new_request_of_a_blocked_agent_is_admitted_with_its_refusal():
    driver = Driver()
    driver.own()
    order(driver, block("bad"))
    driver.read(0, agent_id="bad")
    assert admitted(driver) == [(0, "AGENT_BLOCKED")]


BAD = {"agents": [{"id": "bad", "blocked": True}]}


def test_an_agent_that_the_configuration_blocks_is_refused():
    driver = Driver(**BAD)
    driver.own()
    order(driver)
    driver.read(0, agent_id="bad")
    assert admitted(driver) == [(0, "AGENT_BLOCKED")]
    driver.admitted(state=State.DONE)
    driver.read(1, agent_id="good")
    assert admitted(driver) == [(1, "")]


def test_no_order_unblocks_what_the_configuration_blocks():
    driver = Driver(**BAD)
    driver.own()
    order(driver, block("other"))
    order(driver)
    assert driver.state.blocked == {"bad"}


def test_an_agent_that_a_new_configuration_blocks_is_refused_from_then_on():
    driver = Driver()
    driver.own()
    order(driver)
    driver.feed(ev.RulesChanged(Rules(settings(**BAD))))
    driver.read(0, agent_id="bad")
    assert admitted(driver) == [(0, "AGENT_BLOCKED")]


def test_requests_of_other_agents_are_admitted_to_run():
    driver = Driver()
    driver.own()
    order(driver, block("bad"))
    driver.read(0, agent_id="good")
    assert admitted(driver) == [(0, "")]


def test_what_waits_in_kafka_is_refused_when_its_agent_is_blocked():
    driver = Driver(limits={"ready_max_entries": 1})
    driver.own()
    driver.read(0, 1, 2, agent_id="bad")
    driver.admitted()
    order(driver, block("bad"))
    assert admitted(driver) == [(1, "AGENT_BLOCKED"), (2, "AGENT_BLOCKED")]


def test_what_is_refused_is_refused_once():
    driver = Driver()
    driver.own()
    order(driver, block("bad"))
    driver.read(0, agent_id="bad")
    driver.admitted(state=State.DONE)
    driver.tick(50)
    assert admitted(driver) == []


def test_a_refusal_that_the_ledger_did_not_take_is_tried_again():
    driver = Driver()
    driver.own()
    order(driver, block("bad"))
    driver.read(0, agent_id="bad")
    driver.admitted(AdmitOutcome.FULL, state=None)
    assert admitted(driver) == []  # not at once: Redis may be gone
    driver.tick(FULL_RETRY_MS)
    assert admitted(driver) == [(0, "AGENT_BLOCKED")]


def test_nothing_is_refused_before_it_is_known_what_was_answered():
    driver = Driver()
    order(driver, block("bad"))
    driver.feed(ev.Assigned(PARTITION, SOURCE, 0, 1))
    driver.read(0, agent_id="bad")
    assert admitted(driver) == []
    driver.own()
    driver.read(0, agent_id="bad")
    assert admitted(driver) == [(0, "AGENT_BLOCKED")]


def test_what_was_given_up_meanwhile_is_not_refused():
    driver = Driver(limits={"ready_max_entries": 1})
    order(driver, block("bad"))
    driver.feed(ev.Assigned(PARTITION, SOURCE, 0, 1))
    driver.read(0, agent_id="bad")
    driver.feed(ev.Revoked(SOURCE))
    driver.tick(50)
    assert admitted(driver) == []
    assert not driver.state.to_refuse


def test_what_is_ready_is_answered_when_its_agent_is_blocked():
    driver = Driver()
    driver.own()
    driver.read(0, agent_id="bad")
    driver.admitted()
    order(driver, block("bad"))
    (key,) = driver.state.by_key
    ready = EntryView(State.READY, since_ms=9)
    driver.feed(ev.Inspected((key,), (ready,), driver.now_ms))
    (answer,) = driver.of(do.EndRequest)
    assert json.loads(answer.value)["error"]["code"] == "AGENT_BLOCKED"


def test_what_is_ready_of_a_blocked_agent_does_not_start():
    driver = dispatcher(
        facts("a", agent_id="bad"), facts("b"), controls=[block("bad")], capacity=1
    )
    assert placed(driver) == [("b", "m")]


def test_what_becomes_ready_of_a_blocked_agent_does_not_start():
    driver = dispatcher(controls=[block("bad")])
    entry = ReadyEntry(facts("a", agent_id="bad"))
    driver.feed(ev.Changed((Change(ChangeKind.READY, "9-0", ready=entry),), 0))
    assert placed(driver) == []


def test_a_new_block_has_the_dispatcher_look_anew_before_anything_starts():
    driver = dispatcher(facts("a", agent_id="bad"), controls=[pause("m")])
    order(driver, block("bad"))
    assert placed(driver) == []
    driver.tick(50)
    assert driver.of(do.TakeSnapshot) == [do.TakeSnapshot()]


def test_an_unblocked_agent_starts_again():
    driver = dispatcher(facts("a", agent_id="bad"), controls=[block("bad")])
    order(driver)
    driver.tick(50)
    snapshot(driver, facts("a", agent_id="bad"))
    assert placed(driver) == [("a", "m")]


def test_an_unblocked_agents_new_requests_are_admitted_to_run():
    driver = Driver()
    driver.own()
    order(driver, block("bad"))
    order(driver)
    driver.read(0, agent_id="bad")
    assert admitted(driver) == [(0, "")]
