"""Where a request is: the ledger in memory, and bridges that answer in the test."""

import pytest

from agentsched.ledger.bridge_reports import BridgeReport, IndexAnswer, IndexedRequest
from agentsched.ledger.operator_orders import Control, ControlKind
from agentsched.ledger.values import State
from agentsched.operations.explain.search import find
from agentsched.operations.explain.whereabouts import Place
from agentsched.wire.codec import Identity
from tests.support.ledgers import GPT, GPT_AT, LONG_MS, REPLY_AT, InMemory, World
from tests.support.requests import settings

PLANNER = "planner"


@pytest.fixture
def world():
    return World(InMemory())


class Bridges:
    """Live bridges; each answers at the next pause with what it is given."""

    def __init__(self, world, **found):
        self._world, self._found = world, found
        for bridge_id in found:
            world.ledger.membership.beat_bridge(bridge_id, LONG_MS)
            report = BridgeReport(leading=True)
            world.ledger.operations.report(bridge_id, report, LONG_MS)
        world.ledger.membership.beat_worker("w", {GPT: 7}, LONG_MS)
        self.asked = []
        self.pauses = 0

    def pause(self, _seconds):
        self.pauses += 1
        for bridge_id, findings in self._found.items():
            orders = self._world.ledger.operations.orders(self._world.epoch, bridge_id)
            for question in orders.questions if findings else ():
                self.asked.append(question)
                self._world.ledger.operations.answer(
                    question.id, bridge_id, findings, LONG_MS
                )


def finding(agent_id=PLANNER, **changed):
    values = {
        "agent_id": agent_id,
        "correlation_id": "c",
        "cls": "low",
        "models": (GPT,),
        "stage": "waiting",
        "topic": "low_priority",
        "partition": 1,
        "offset": 7,
        "waiting_ms": 41_000,
        "deadline_ms": 9_000,
        "before": 3,
    }
    return IndexedRequest(**(values | changed))


def ask(world, bridges=None, agent_id=PLANNER, **config):
    bridges = bridges or Bridges(world, b1=IndexAnswer())
    return find(settings(**config), world.ledger, "c", agent_id, bridges.pause)


def key(agent_id=PLANNER):
    return Identity(agent_id, "c").key


def only(answer):
    (one,) = answer.found
    return one


def test_what_a_bridge_has_in_its_index_waits_in_kafka(world):
    bridges = Bridges(world, b1=IndexAnswer(found=(finding(),)), b2=IndexAnswer())
    one = only(ask(world, bridges))
    assert (one.place, one.bridge_id, one.since_ms) == (Place.KAFKA, "b1", 41_000)
    assert (one.topic, one.partition, one.offset) == ("low_priority", 1, 7)
    assert (one.deadline_left_ms, one.before) == (9_000, 3)
    assert [code for code, _ in one.reasons] == ["NOT_ADMITTED"]


def test_why_it_waits_is_said_with_it(world):
    world.ledger.operations.impose(Control(ControlKind.PAUSE, GPT, "ana", "incident"))
    bridges = Bridges(world, b1=IndexAnswer(found=(finding(),)))
    ((code, text),) = only(ask(world, bridges)).reasons
    assert code == "MODEL_PAUSED"
    assert text.endswith("by ana: incident")


def test_what_is_ready_is_described_by_the_ledger_and_placed_by_its_bridge(world):
    world.admit(world.admission(key=key(), correlation_id="c"))
    bridges = Bridges(world, b1=IndexAnswer(found=(finding(stage="ready"),)))
    one = only(ask(world, bridges))
    assert (one.place, one.cls, one.before) == (Place.READY, "high", 3)
    assert [code for code, _ in one.reasons] == ["MORE_URGENT"]


def test_what_has_to_end_is_not_said_to_wait(world):
    world.admit(world.admission(key=key(), correlation_id="c"))
    world.ledger.cancel(world.epoch, key(), 60)
    one = only(ask(world))
    assert (one.place, one.ending, one.reasons) == (Place.READY, "cancelled", ())


def test_what_is_overdue_waits_for_its_answer_only(world):
    deadline_ms = world.backend.now_ms() + 5
    one = world.admission(key=key(), correlation_id="c", deadline_ms=deadline_ms)
    world.admit(one)
    world.backend.advance(5)
    ((code, _),) = only(ask(world)).reasons
    assert code == "OVERDUE"


def test_what_was_in_flight_in_two_crashes_waits_for_a_process_of_its_own(world):
    world.admit(world.admission(key=key(), correlation_id="c"))
    for lease in ("L1", "L2"):
        world.beat()
        world.plan(key())
        assert world.takes(lease, lease_ms=1) == [key()]
        world.backend.advance(2)
        assert world.ledger.expire(world.epoch, key())
    one = only(ask(world))
    assert (one.place, one.crashes) == (Place.READY, 2)
    assert [code for code, _ in one.reasons] == ["SUSPECT"]


def test_every_state_of_the_ledger_is_a_place():
    assert {state.value for state in State} <= {place.value for place in Place}


def test_what_is_ready_and_of_no_live_bridge_is_found_all_the_same(world):
    world.admit(world.admission(key=key(), correlation_id="c"))
    one = only(find(settings(), world.ledger, "c", PLANNER, lambda _: None))
    assert (one.place, one.before) == (Place.READY, None)
    assert "NO_DISPATCHER" in [code for code, _ in one.reasons]


def test_what_runs_says_where_and_how_often(world):
    world.running(key=key())
    bridges = Bridges(world, b1=IndexAnswer(found=(finding(stage="in_flight"),)))
    one = only(ask(world, bridges))
    assert (one.place, one.model, one.endpoint) == (Place.RUNNING, GPT, GPT_AT)
    assert (one.attempts, one.reasons, one.before) == (1, (), None)
    assert 0 < (one.lease_left_ms or 0) <= LONG_MS


def test_what_has_its_reply_stored_is_done(world):
    world.done(key=key())
    assert only(ask(world)).place is Place.DONE


def test_what_is_answered_says_where_the_reply_is(world):
    world.answered(key=key())
    one = only(ask(world))
    assert one.place is Place.ANSWERED
    assert one.reply_at is not None
    assert (one.reply_at.topic, one.reply_at.offset) == (
        REPLY_AT.topic,
        REPLY_AT.offset,
    )


def test_the_same_id_sent_again_after_the_answer_is_shown_beside_it(world):
    world.answered(key=key())
    bridges = Bridges(world, b1=IndexAnswer(found=(finding(),)))
    places = {one.place for one in ask(world, bridges).found}
    assert places == {Place.KAFKA, Place.ANSWERED}


def test_what_moves_at_this_moment_says_so(world):
    bridges = Bridges(world, b1=IndexAnswer(found=(finding(stage="in_flight"),)))
    assert only(ask(world, bridges)).place is Place.MOVING


def test_what_nobody_knows_is_not_found(world):
    answer = ask(world)
    assert (answer.found, answer.bridges, answer.silent_bridges) == ((), 1, ())


def test_without_an_agent_all_that_bridges_know_is_found(world):
    both = IndexAnswer(found=(finding("a"), finding("b")))
    answer = ask(world, Bridges(world, b1=both), agent_id=None)
    assert [one.agent_id for one in answer.found] == ["a", "b"]


def test_without_an_agent_configured_ones_and_the_default_are_tried(world):
    world.answered(key=key("writer"))
    world.done(key=key("default"))
    agents = [{"id": "writer"}]
    answer = ask(world, agent_id=None, agents=agents)
    assert {one.agent_id: one.place for one in answer.found} == {
        "writer": Place.ANSWERED,
        "default": Place.DONE,
    }
    assert answer.agents_tried == ("default", "writer")


def test_another_agents_request_is_not_found_where_one_is_named(world):
    world.done(key=key("other"))
    assert ask(world).found == ()


def test_it_asks_no_longer_than_until_all_have_answered(world):
    bridges = Bridges(world, b1=IndexAnswer(), b2=IndexAnswer())
    ask(world, bridges)
    assert bridges.pauses == 1


def test_a_bridge_that_does_not_answer_is_named(world):
    bridges = Bridges(world, b1=IndexAnswer(found=(finding(),)), b2=None)
    answer = ask(world, bridges)
    assert answer.silent_bridges == ("b2",)
    assert len(answer.found) == 1


def test_an_answer_that_is_not_complete_says_so(world):
    bridges = Bridges(world, b1=IndexAnswer(complete=False))
    assert not ask(world, bridges, agent_id=None).complete


def test_the_question_names_the_agent(world):
    bridges = Bridges(world, b1=IndexAnswer())
    ask(world, bridges)
    (question,) = bridges.asked
    assert (question.correlation_id, question.agent_id) == ("c", PLANNER)


def test_without_an_epoch_nothing_is_known_and_none_is_made(world):
    world.backend.lose()
    assert find(settings(), world.ledger, "c", None, lambda _: None).found == ()
    assert world.ledger.views.epoch() is None
