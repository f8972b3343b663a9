"""The status: what ledger and bridges say, put together."""

from agentsched.config.settings import Settings
from agentsched.ledger.bridge_reports import (
    AgentLoad,
    BridgeReport,
    FlowLoad,
    OldestRequest,
    PartitionReport,
    Reported,
)
from agentsched.ledger.operator_orders import Control, ControlKind, Controls
from agentsched.ledger.values import ModelTotals
from agentsched.ledger.views import LiveWorker, Pool
from agentsched.operations.drain import Left
from agentsched.operations.status.summary import AGENTS_LISTED, Seen, put_together
from agentsched.wire.records import Depth, Partition

SETTINGS = Settings.model_validate(
    {
        "models": [
            {"name": "gpt-4", "endpoints": [{"base_url": "http://a/v1"}]},
            {"name": "llama3", "endpoints": [{"base_url": "http://b/v1"}]},
        ]
    }
)
NOW_MS = 1_000_000
POOLS = (Pool("gpt-4", "a", 3, 4), Pool("llama3", "b", 0, 4))
WORKERS = (LiveWorker("w1@h/1", {"gpt-4": 4}), LiveWorker("w2@h/1", {"llama3": 4}))


def flow(*models, high=0, low=0, in_flight=0):
    waiting = {"high": high, "medium": 0, "low": low}
    return FlowLoad(models=models, waiting=waiting, in_flight=in_flight)


def report(*flows, **changed):
    waiting = {
        cls: sum(one.waiting[cls] for one in flows) for cls in ("high", "medium", "low")
    }
    values = {"leading": True, "flows": flows, "waiting": waiting}
    return BridgeReport(**(values | changed))


def status(*reports, **changed):
    bridges = tuple(
        Reported(bridge_id=f"host/{number}/x", report=one)
        for number, one in enumerate(reports or (report(),))
    )
    seen = {"pools": POOLS, "workers": WORKERS, "bridges": bridges}
    return put_together(SETTINGS, Seen(NOW_MS, **(seen | changed)))


def model(status, name="gpt-4"):
    return next(one for one in status.models if one.model == name)


def test_a_system_that_works_has_no_problem_and_no_notice():
    assert (status().problems, status().notices) == ((), ())


def test_a_model_has_its_queue_workers_slots_and_capacity():
    one = model(status())
    assert (one.queue, one.workers, one.slots) == ("gpt4", 1, 4)
    assert (one.in_flight, one.capacity) == (3, 4)


def test_every_live_worker_is_listed_with_its_slots():
    listed = {one.worker_id: one.slots for one in status().worker_processes}
    assert listed == {"w1@h/1": {"gpt-4": 4}, "w2@h/1": {"llama3": 4}}


def test_a_model_of_the_bridges_only_is_shown_too():
    pools = (*POOLS, Pool("mystery", "c", 1, 2))
    one = model(status(pools=pools), "mystery")
    assert (one.queue, one.capacity) == ("", 2)


def test_what_waits_is_summed_over_bridges():
    both = status(report(flow("gpt-4", high=2)), report(flow("gpt-4", high=3, low=1)))
    assert both.waiting == {"high": 5, "medium": 0, "low": 1}
    (only,) = both.flows
    assert (only.models, only.waiting["high"]) == (("gpt-4",), 5)


def test_a_model_counts_all_that_it_may_answer():
    shown = status(report(flow("gpt-4", high=2), flow("gpt-4", "llama3", low=5)))
    assert (model(shown).waiting, model(shown, "llama3").waiting) == (7, 5)


def test_a_model_has_its_mean_and_its_rate():
    totals = {"gpt-4": ModelTotals(in_flight=3, calls=4, failed=1, model_ms=6_000)}
    one = model(status(report(calls_per_s={"gpt-4": 1.5}), totals=totals))
    assert (one.calls, one.failed, one.mean_s, one.calls_per_s) == (4, 1, 1.5, 1.5)
    assert model(status()).mean_s is None


def test_rates_are_summed_and_the_oldest_is_the_oldest_of_all():
    def oldest(age_ms):
        at = NOW_MS - age_ms
        return OldestRequest(
            correlation_id=f"c{age_ms}", agent_id="a", cls="low", arrival_ms=at
        )

    both = status(
        report(answered_per_s=1.5, oldest=oldest(10)),
        report(answered_per_s=2.0, oldest=oldest(30)),
    )
    assert both.answered_per_s == 3.5
    assert both.oldest is not None
    assert (both.oldest.correlation_id, both.oldest_age_ms) == ("c30", 30)


def test_agents_are_summed_over_bridges_and_ordered_by_what_waits():
    first = report(agents=(AgentLoad(agent_id="a", waiting=2, in_flight=1),))
    second = report(
        agents=(
            AgentLoad(agent_id="b", waiting=3),
            AgentLoad(agent_id="a", waiting=2),
        )
    )
    shown = [(x.agent_id, x.waiting, x.in_flight) for x in status(first, second).agents]
    assert shown == [("a", 4, 1), ("b", 3, 0)]


def test_agents_beyond_the_listed_are_summed():
    many = tuple(
        AgentLoad(agent_id=f"a{number:02}", waiting=1)
        for number in range(AGENTS_LISTED + 2)
    )
    shown = status(report(agents=many, other_agents_waiting=5))
    assert (len(shown.agents), shown.other_agents_waiting) == (AGENTS_LISTED, 7)


def test_what_is_ordered_is_noticed_with_who_when_and_why():
    control = Control(ControlKind.PAUSE, "gpt-4", "ana", "incident", NOW_MS - 60_000)
    shown = status(controls=Controls.of([control]))
    assert shown.notices == ("gpt-4 is paused for 1 min, by ana: incident",)
    assert shown.problems == ()
    paused = model(shown).paused
    assert paused is not None
    assert (paused.by, paused.reason) == ("ana", "incident")
    assert [order.kind for order in shown.orders] == ["pause"]


def test_a_drain_and_a_block_are_noticed():
    drain = Control(ControlKind.DRAIN, "", "ana", "new kernel", NOW_MS)
    block = Control(ControlKind.BLOCK, "crawler", "bo", "loops", NOW_MS)
    assert status(controls=Controls.of([block, drain])).notices == (
        "drained for 0.0 s, by ana: new kernel",
        "agent crawler is blocked for 0.0 s, by bo: loops",
    )


def test_an_order_that_is_not_known_is_noticed():
    one = Control(ControlKind.UNKNOWN, "throttle x", reason="upgrade", at_ms=NOW_MS)
    shown = status(controls=Controls.of([one]))
    assert shown.notices == ("drained for 0.0 s, by unknown: upgrade",)


def test_a_partition_that_is_not_read_is_noticed():
    one = PartitionReport(
        topic="low_priority",
        partition=2,
        watermark=1,
        next_offset=9,
        unanswered=8,
        paused="its share of the index is full",
    )
    assert status(report(partitions=(one,))).notices == (
        "low_priority 2 is not read: its share of the index is full",
    )


def test_without_a_bridge_that_is_the_problem():
    (problem,) = status(bridges=()).problems
    assert problem.startswith("no bridge runs")


def test_bridges_of_which_none_leads_are_a_problem():
    (problem,) = status(report(leading=False)).problems
    assert "dispatcher" in problem


def test_a_silent_bridge_is_a_problem():
    silent = Reported(bridge_id="host/9/x")
    leading = Reported(bridge_id="host/1/x", report=report())
    (problem,) = status(bridges=(leading, silent)).problems
    assert problem.startswith("bridge host/9/x has not reported")


def test_requests_that_wait_for_a_worker_are_a_problem_with_the_command_that_helps():
    shown = status(report(flow("llama3", low=3)), workers=WORKERS[:1])
    (problem,) = shown.problems
    assert problem == (
        "no live worker serves llama3: 3 wait for one;"
        " celery -A agentsched worker -Q llama3"
    )
    assert shown.notices == ()


def test_a_pool_that_is_scaled_to_zero_while_nothing_waits_is_no_problem():
    shown = status(report(flow("gpt-4", high=1)), workers=WORKERS[:1])
    assert shown.problems == ()
    assert shown.notices == ("no live worker serves llama3, and nothing waits for one",)


def test_what_another_model_can_answer_waits_for_no_worker():
    either = report(flow("gpt-4", "llama3", high=1))
    assert status(either, workers=WORKERS[:1]).problems == ()
    assert len(status(either, workers=()).problems) == 2


def test_a_model_that_operators_stopped_needs_no_worker():
    waiting = report(flow("llama3", low=3), flow("gpt-4", "llama3", low=1))
    pause = Control(ControlKind.PAUSE, "llama3", "ana", "incident", NOW_MS)
    drain = Control(ControlKind.DRAIN, "", "ana", "new kernel", NOW_MS)
    for orders in ([pause], [drain]):
        shown = status(waiting, workers=WORKERS[:1], controls=Controls.of(orders))
        assert shown.problems == ()
    # What also another model may answer waits for that one.
    (problem,) = status(waiting, workers=(), controls=Controls.of([pause])).problems
    assert problem.startswith("no live worker serves gpt-4: 1 wait")


def test_a_status_is_json_and_back():
    shown = status(report(flow("gpt-4", high=2)))
    assert type(shown).from_json(shown.to_json()) == shown


def test_a_drain_is_over_when_nothing_is_left():
    assert Left().is_empty
    assert str(Left()) == "nothing"


def test_a_drain_waits_for_slots_replies_and_bridges_that_do_not_know():
    assert not Left({"m": 1}).is_empty
    assert not Left(unanswered=1).is_empty
    assert not Left(unaware=1).is_empty
    assert str(Left({"m": 2}, unanswered=3, unaware=1)) == (
        "m 2, replies on their way to Kafka 1, bridges that do not know of it yet 1"
    )


DEEP = {
    Partition("high_priority", 0): Depth(committed=4, low=0, end=20),
    Partition("high_priority", 1): Depth(committed=None, low=3, end=8),
}


def test_what_no_bridge_reads_is_unread_from_the_committed_offset_on():
    (topic,) = status(depths=DEEP).topics
    assert (topic.topic, topic.partitions) == ("high_priority", 2)
    assert (topic.behind, topic.unread) == (16 + 5, 16 + 5)


def test_what_a_bridge_has_read_is_not_unread():
    one = PartitionReport(
        topic="high_priority", partition=0, watermark=9, next_offset=18, unanswered=4
    )
    (topic,) = status(report(partitions=(one,)), depths=DEEP).topics
    assert (topic.behind, topic.unread) == (11 + 5, 2 + 5)


def test_a_bridge_that_has_read_beyond_an_older_look_leaves_nothing_unread():
    one = PartitionReport(
        topic="high_priority", partition=0, watermark=30, next_offset=30, unanswered=0
    )
    depths = {Partition("high_priority", 0): DEEP[Partition("high_priority", 0)]}
    (topic,) = status(report(partitions=(one,)), depths=depths).topics
    assert (topic.behind, topic.unread) == (0, 0)


def test_a_kafka_that_does_not_answer_is_a_problem():
    shown = status(kafka_problem="Kafka did not answer")
    assert (shown.topics, shown.problems) == (None, ("Kafka did not answer",))
