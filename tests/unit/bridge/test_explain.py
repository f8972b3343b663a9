"""What a bridge says of a request that an operator asks for."""

import pytest

from agentsched.ledger.bridge_reports import Question
from agentsched.ledger.operator_orders import Controls
from agentsched.ledger.values import AdmitOutcome, State
from agentsched.wire.records import Partition
from bridge.core import commands as do
from bridge.core import events as ev
from bridge.core import explain, index
from bridge.core.explain import MAX_COUNTED, MAX_FOUND
from tests.support.requests import ARRIVAL_MS
from tests.unit.bridge.driver import PARTITION, SOURCE, Driver


def ask(driver, correlation_id, agent_id=None):
    question = Question(id="1", correlation_id=correlation_id, agent_id=agent_id)
    driver.feed(ev.OrdersSeen(Controls(), (question,), driver.now_ms))
    (told,) = driver.of(do.AnswerQuestion)
    assert told.question_id == "1"
    return told.findings


@pytest.fixture
def driver():
    driver = Driver(limits={"ready_max_entries": 2})
    driver.own()
    return driver


def test_a_request_that_waits_in_kafka_is_found_where_it_stands(driver):
    driver.now_ms = ARRIVAL_MS + 3_000
    driver.tick()
    driver.read(*range(4), agent_id="a")
    driver.admitted()
    (found,) = ask(driver, "c3", "a").found
    assert (found.topic, found.partition, found.offset) == ("medium_priority", 0, 3)
    assert (found.stage, found.cls, found.models) == ("waiting", "medium", ("m",))
    assert (found.waiting_ms, found.deadline_ms) == (3_000, 597_000)
    assert not found.loading


def test_what_stands_before_it_is_counted_over_index_and_ready_set(driver):
    driver.read(*range(4), agent_id="a")
    driver.admitted()
    assert [ask(driver, f"c{n}").found[0].before for n in range(4)] == [0, 1, 2, 3]


def test_a_more_urgent_class_stands_before_it(driver):
    driver.read(0, priority="low")
    driver.read(1, priority="high")
    assert ask(driver, "c0").found[0].before == 1
    assert ask(driver, "c1").found[0].before == 0


def test_what_runs_has_nothing_before_it(driver):
    driver.read(0, 1)
    driver.admitted(state=State.RUNNING)
    (found,) = ask(driver, "c1").found
    assert (found.stage, found.before) == ("in_flight", None)


def test_without_an_agent_every_agent_is_looked_through(driver):
    driver.read(0, agent_id="a", correlation_id="same")
    driver.read(1, agent_id="b", correlation_id="same")
    findings = ask(driver, "same")
    assert {found.agent_id for found in findings.found} == {"a", "b"}
    assert findings.complete


def test_with_an_agent_only_its_request_is_found(driver):
    driver.read(0, agent_id="a", correlation_id="same")
    driver.read(1, agent_id="b", correlation_id="same")
    assert [one.agent_id for one in ask(driver, "same", "b").found] == ["b"]


def test_what_is_unknown_is_answered_too(driver):
    findings = ask(driver, "nobody")
    assert (findings.found, findings.complete, findings.loading) == ((), True, 0)


def test_more_than_fit_are_said_to_be_more(driver):
    for number in range(MAX_FOUND + 1):
        driver.read(number, agent_id=f"a{number}", correlation_id="same")
    findings = ask(driver, "same")
    assert (len(findings.found), findings.complete) == (MAX_FOUND, False)
    counted = [one.before is not None for one in findings.found]
    assert counted == [True] * MAX_COUNTED + [False] * (MAX_FOUND - MAX_COUNTED)


def test_many_questions_are_answered_a_few_at_a_time(driver):
    asked = tuple(Question(id=f"{n}", correlation_id="c") for n in range(9))
    driver.feed(ev.OrdersSeen(Controls(), asked, driver.now_ms))
    told = [command.question_id for command in driver.of(do.AnswerQuestion)]
    assert told == ["0", "1", "2"]


def test_too_many_agents_are_said_to_be_too_many(driver):
    for number in range(explain.AGENTS_TRIED + 1):
        driver.state.agents[f"a{number}"] = index.AgentCount(waiting=1)
    assert not ask(driver, "c0").complete
    assert ask(driver, "c0", "a").complete


def test_a_partition_that_is_not_loaded_is_told():
    driver = Driver()
    driver.feed(ev.Assigned(PARTITION, SOURCE, 0, 1))
    driver.read(0)
    driver.own(source="other:t:0", partition=Partition("other", 0))
    findings = ask(driver, "c0")
    assert (findings.loading, findings.found[0].loading) == (1, True)


def test_a_repeated_request_is_found(driver):
    driver.read(0)
    driver.admitted(AdmitOutcome.CONFLICT, state=None)
    assert ask(driver, "c0", "default").found[0].stage == "repeating"
