"""What a bridge reports each second, and that it is true."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from agentsched.ledger.operator_orders import Control, ControlKind, Controls
from agentsched.ledger.values import Admission, AdmitOutcome, Change, ChangeKind, State
from agentsched.wire.records import Partition
from bridge.core import commands as do
from bridge.core import events as ev
from bridge.core import index
from bridge.core.rate import INTERVAL_MS, Rate
from bridge.core.report import AGENTS_LISTED, report, waiting_of
from bridge.core.state import WAITS, BridgeState, Stage
from tests.support.requests import ARRIVAL_MS, facts, record
from tests.unit.bridge.driver import PARTITION, SOURCE, Driver

SMALL = {"limits": {"ready_max_entries": 2}}


def reported(driver):
    (command,) = driver.of(do.Report)
    return command.report


def said(driver, after_ms=1_000):
    driver.tick(after_ms)
    return reported(driver)


def waiting(one):
    return {flow.models: flow.waiting for flow in one.flows}


def test_a_bridge_reports_every_second():
    driver = Driver()
    driver.tick()
    assert len(driver.of(do.Report)) == 1
    driver.tick(999)
    assert driver.of(do.Report) == []
    driver.tick(1)
    assert len(driver.of(do.Report)) == 1


def test_what_waits_in_kafka_and_what_is_ready_wait_alike():
    driver = Driver(**SMALL)
    driver.own()
    driver.read(*range(5), priority="high")
    driver.admitted()
    assert waiting(said(driver)) == {("m",): {"high": 5, "medium": 0, "low": 0}}


def test_what_was_started_is_in_flight():
    driver = Driver()
    driver.own()
    driver.read(0)
    (admission,) = driver.admitted()
    taken = Change(ChangeKind.TAKEN, "1-0", key=admission.facts.key)
    driver.feed(ev.Changed((taken,), driver.now_ms))
    (flow,) = said(driver).flows
    assert (flow.in_flight, sum(flow.waiting.values())) == (1, 0)


def test_an_answered_request_is_not_reported():
    driver = Driver()
    driver.own()
    driver.read(0)
    settled = Change(ChangeKind.SETTLED, "1-0", source=SOURCE, offset=0)
    driver.feed(ev.Changed((settled,), driver.now_ms))
    report = said(driver)
    assert (report.flows, report.agents, report.oldest) == ((), (), None)


def test_the_agents_with_most_requests_are_listed():
    driver = Driver()
    driver.own()
    driver.read(0, agent_id="small")
    driver.read(1, 2, 3, agent_id="large")
    report = said(driver)
    assert [(a.agent_id, a.waiting) for a in report.agents] == [
        ("large", 3),
        ("small", 1),
    ]
    assert (report.other_agents, report.other_agents_waiting) == (0, 0)


def test_agents_beyond_the_listed_are_summed():
    driver = Driver()
    driver.own()
    for number in range(AGENTS_LISTED + 3):
        driver.read(number, agent_id=f"agent-{number}")
    report = said(driver)
    assert len(report.agents) == AGENTS_LISTED
    assert (report.other_agents, report.other_agents_waiting) == (3, 3)


def test_many_agents_are_looked_through_less_often():
    driver = Driver()
    driver.own()
    for number in range(20_000):
        driver.state.agents[f"agent-{number}"] = index.AgentCount(waiting=1)
    said(driver)
    driver.state.agents["huge"] = index.AgentCount(waiting=9)
    assert "huge" not in [agent.agent_id for agent in said(driver).agents]
    assert "huge" in [agent.agent_id for agent in said(driver).agents]


def test_the_oldest_is_the_one_that_arrived_first_and_has_not_started():
    driver = Driver()
    driver.now_ms = ARRIVAL_MS + 4_000
    driver.own()
    early = Partition("low_priority", 0)
    driver.own(source="low_priority:t2:0", partition=early)
    records = (
        record(5, {"correlation_id": "runs"}, timestamp_ms=ARRIVAL_MS - 9_000),
        record(6, {"correlation_id": "old"}, timestamp_ms=ARRIVAL_MS),
        record(0, {}, topic="low_priority", timestamp_ms=ARRIVAL_MS + 1_000),
    )
    driver.feed(ev.Read(records, driver.now_ms))
    driver.admitted()
    runs = driver.state.partitions[SOURCE].entries[5]
    index.move(driver.state, runs, Stage.IN_FLIGHT)
    oldest = said(driver).oldest
    assert (oldest.correlation_id, oldest.arrival_ms) == ("old", ARRIVAL_MS)


def test_a_partition_tells_how_far_it_is():
    driver = Driver()
    driver.own(start=3)
    driver.read(3, 4, 5)
    (one,) = said(driver).partitions
    assert (one.topic, one.watermark, one.next_offset, one.unanswered) == (
        "medium_priority",
        3,
        6,
        3,
    )
    assert one.paused == ""


def test_a_full_index_is_the_reason_of_a_paused_partition():
    driver = Driver(limits={"index_max_records": 2})
    driver.own()
    driver.read(0, 1)
    driver.tick(1_000)
    (one,) = said(driver).partitions
    assert one.paused == "its share of the index is full: 2 records, 0 MB"


def test_a_partition_that_redis_has_not_told_of_says_so():
    driver = Driver()
    driver.feed(ev.Assigned(PARTITION, SOURCE, 0, 1))
    (one,) = said(driver).partitions
    assert "Redis" in one.paused


def test_who_leads_says_so():
    driver = Driver()
    assert not said(driver).leading
    driver.lead(m=1)
    assert said(driver).leading


def test_a_drain_that_was_seen_is_reported_at_once():
    driver = Driver()
    assert not said(driver).draining
    orders = Controls.of([Control(ControlKind.DRAIN)])
    driver.feed(ev.OrdersSeen(orders, (), driver.now_ms))
    assert reported(driver).draining


def test_orders_that_change_nothing_are_not_reported():
    driver = Driver()
    driver.feed(ev.OrdersSeen(Controls(), (), driver.now_ms))
    assert driver.of(do.Report) == []


def test_answers_a_second_are_of_the_last_interval():
    driver = Driver()
    driver.own()
    driver.read(*range(20))
    said(driver)
    for offset in range(20):
        settled = Change(ChangeKind.SETTLED, "1-0", source=SOURCE, offset=offset)
        driver.feed(ev.Changed((settled,), driver.now_ms))
    assert said(driver).answered_per_s == 20
    assert said(driver).answered_per_s == 10


def test_what_was_answered_before_a_take_over_is_no_answer_of_now():
    driver = Driver()
    driver.feed(ev.Assigned(PARTITION, SOURCE, 0, 1))
    driver.read(0)
    said(driver)
    driver.own(done=[0])
    assert said(driver).answered_per_s == 0


def test_only_the_dispatcher_counts_calls():
    driver = Driver()
    driver.tick(1_000)
    assert driver.of(do.CountCalls) == []
    driver.lead(m=1)
    driver.tick(1_000)
    assert driver.of(do.CountCalls) == [do.CountCalls()]
    for calls in (10, 13):
        driver.feed(ev.CallsCounted({"m": calls}, driver.now_ms))
        report = said(driver)
    assert report.calls_per_s == {"m": 3.0}


def test_a_rate_forgets_what_is_older_than_the_interval():
    rate = Rate()
    rate.add(0, 0)
    rate.add(1_000, 1_000)
    rate.add(1_000, 1_000 + INTERVAL_MS)
    assert rate.per_s == 0


def test_a_total_that_shrinks_begins_anew():
    rate = Rate()
    rate.add(1_000, 0)
    rate.add(5, 1_000)
    assert rate.per_s == 0
    rate.add(7, 2_000)
    assert rate.per_s == 2


MOVES = st.lists(
    st.tuples(st.integers(0, 7), st.sampled_from([*Stage, "settle"])), max_size=60
)


@given(MOVES)
def test_the_counts_are_those_of_a_look_at_every_request(moves):
    driver = Driver()
    driver.own()
    state = driver.state
    partition = state.partitions[SOURCE]
    for offset, stage in moves:
        entry = partition.entries.get(offset)
        if stage == "settle":
            index.settle(state, SOURCE, offset)
        elif entry is not None:
            index.move(state, entry, stage)
        elif partition.tracker.read(offset):
            index.add(state, partition, record(offset), request(offset))
    assert_counts(state)


def request(offset):
    cls = ("high", "medium", "low")[offset % 3]
    value = facts(str(offset), offset=offset, cls=cls, agent_id=f"a{offset % 2}")
    return Admission(value, b"", "")


def assert_counts(state: BridgeState):
    entries = list(state.partitions[SOURCE].entries.values())
    waits = [entry for entry in entries if entry.stage in WAITS]
    flies = [entry for entry in entries if entry.stage is Stage.IN_FLIGHT]
    for cls, wanted in Counter(e.admission.facts.cls for e in waits).items():
        assert waiting_of(state, ("m",), cls) == wanted
    (flow,) = report(state).flows or (None,)
    assert (sum(flow.waiting.values()) if flow else 0) == len(waits)
    assert state.in_flight == len(flies)
    by_agent = {name: (c.waiting, c.in_flight) for name, c in state.agents.items()}
    assert by_agent == {
        name: (
            sum(entry.admission.facts.agent_id == name for entry in waits),
            sum(entry.admission.facts.agent_id == name for entry in flies),
        )
        for name in {entry.admission.facts.agent_id for entry in waits + flies}
    }


def test_what_the_ledger_gave_back_waits_again():
    driver = Driver()
    driver.own()
    driver.read(0)
    driver.admitted(AdmitOutcome.SAME, state=State.RUNNING)
    assert driver.state.in_flight == 1
    driver.feed(ev.EpochOpened("e2"))
    assert driver.state.in_flight == 0
    assert sum(said(driver).flows[0].waiting.values()) == 1
