"""How status and explain look on a terminal."""

from io import StringIO

import click
import pytest
from rich.console import Console

from agentsched.cli.explain import _lines
from agentsched.cli.operator_orders import insist_on_models, insist_on_one_way
from agentsched.cli.status_tables import page
from agentsched.ledger.bridge_reports import AgentLoad, OldestRequest
from agentsched.ledger.operator_orders import MAX_TEXT_CHARACTERS, plain
from agentsched.operations.explain.whereabouts import Place, ReplyPlace, Whereabouts
from agentsched.operations.status.status import (
    BridgeStatus,
    EndpointStatus,
    FlowStatus,
    ModelStatus,
    Status,
    TopicStatus,
)

LONG = "a-name-that-somebody-thought-would-be-a-good-idea-at-the-time-" * 2


def model(name="gpt-4", **changed):
    values = {
        "model": name,
        "queue": "gpt4",
        "workers": 1,
        "slots": 7,
        "in_flight": 7,
        "capacity": 7,
        "endpoints": (EndpointStatus(endpoint="http://a", in_flight=7, capacity=7),),
        "waiting": 1_234_567,
        "calls": 5,
        "failed": 0,
        "mean_s": 2.5,
        "calls_per_s": 12.5,
    }
    return ModelStatus(**(values | changed))


def status(name="gpt-4", **changed):
    waiting = {"high": 3, "medium": 40, "low": 1_234_524}
    values = {
        "at_ms": 1_763_940_000_000,
        "models": (model(name),),
        "waiting": waiting,
        "flows": (FlowStatus(models=(name, "llama3"), waiting=waiting, in_flight=7),),
        "agents": (AgentLoad(agent_id=name, waiting=1_234_000, in_flight=7),),
        "other_agents_waiting": 567,
        "oldest": OldestRequest(
            correlation_id=name, agent_id=name, cls="low", arrival_ms=7
        ),
        "oldest_age_ms": 41_000,
        "in_flight": 7,
        "answered_per_s": 3.25,
        "bridges": (
            BridgeStatus(
                bridge_id=f"{name}/4711/x", reports=True, leading=True, unanswered=9
            ),
        ),
    }
    return Status(**(values | changed))


def shown(status, width=80):
    out = StringIO()
    Console(file=out, width=width, highlight=False).print(page(status))
    return out.getvalue()


@pytest.mark.parametrize("width", [80, 120])
def test_it_fits_the_terminal_also_with_long_names(width):
    text = shown(status(LONG, problems=(LONG,), notices=(LONG,)), width)
    assert max(map(len, text.splitlines())) <= width
    assert "7/7" in text
    assert "1,234,567" in text


def test_a_name_is_shown_as_it_is_and_never_read_as_markup():
    text = shown(status("[/red][bold]x"))
    assert text.count("[/red][bold]x") >= 5


def test_at_a_glance_it_says_what_waits_runs_and_is_answered():
    head = shown(status()).splitlines()[:2]
    assert "1,234,567 wait, 7 in flight, 3.2 answered a second" in head[0]
    assert head[1] == "The oldest waits for 41 s: gpt-4 of gpt-4 (low)"


def test_what_is_not_read_yet_is_in_the_headline():
    topics = (TopicStatus(topic="low", partitions=1, behind=9, unread=5),)
    assert "wait and 5 are not read yet," in shown(status(topics=topics))


def test_problems_and_notices_stand_before_the_tables():
    text = shown(status(problems=("no bridge runs",), notices=("m is paused",)))
    assert text.index("! no bridge runs") < text.index("* m is paused")
    assert text.index("* m is paused") < text.index("Models")


def test_agents_that_are_not_listed_are_one_row():
    row = next(x for x in shown(status()).splitlines() if "(others)" in x)
    assert row.split()[-1] == "567"


def test_several_endpoints_of_a_model_are_shown_by_themselves():
    two = tuple(
        EndpointStatus(endpoint=f"http://{name}", in_flight=n, capacity=4)
        for n, name in enumerate("ab")
    )
    text = shown(status(models=(model(endpoints=two),)))
    assert "http://a" in text
    assert "1/4" in text
    assert "http://a" not in shown(status())


def test_what_is_refused_waits_for_no_model():
    refused = FlowStatus(models=(), waiting={"high": 2}, in_flight=0)
    assert "(refused)" in shown(status(flows=(refused,)))


def test_a_model_that_made_no_call_has_no_mean():
    row = next(
        line
        for line in shown(status(models=(model(mean_s=None),))).splitlines()
        if line.startswith("gpt-4")
    )
    assert row.split()[-1] == "-"


def test_many_notices_are_cut_and_said_to_be():
    text = shown(status(notices=tuple(f"notice {n}" for n in range(20))))
    assert "notice 11" in text
    assert "notice 12" not in text
    assert "and 8 more" in text


def explained(**changed):
    values = {
        "agent_id": "planner",
        "correlation_id": "c",
        "place": Place.KAFKA,
        "since_ms": 41_000,
    }
    return _lines(Whereabouts(**(values | changed)))


def test_a_wait_is_explained_by_place_age_deadline_and_reason():
    assert explained(
        cls="low",
        models=("gpt-4", "llama3"),
        topic="low_priority",
        partition=1,
        offset=7,
        deadline_left_ms=200_000,
        before=1_420,
        reasons=(("SLOTS_IN_USE", "all 7 slots of gpt-4 are in use"),),
    ) == [
        "waits in Kafka, indexed by a bridge, for 41 s",
        "class low, for gpt-4 or llama3",
        "request: low_priority, partition 1, offset 7",
        "its time to live ends in 3 min 20 s",
        "1,420 requests of the same models come before it",
        "why it waits:",
        "  - all 7 slots of gpt-4 are in use",
    ]


def test_a_run_is_explained_by_its_lease():
    lines = explained(
        place=Place.RUNNING, model="m", endpoint="http://a", lease_left_ms=12_000
    )
    assert lines[1:] == [
        "model m at http://a",
        "the worker's lease ends in 12 s, unless it is renewed",
    ]


def test_a_lease_that_is_over_and_crashes_are_told():
    lines = explained(place=Place.RUNNING, attempts=3, crashes=2, lease_left_ms=-2_000)
    assert "started 3 times, 2 ended in a crash" in lines
    assert "the worker's lease ended 2.0 s ago: it runs again in a moment" in lines


def test_an_answer_is_explained_by_its_place():
    at = ReplyPlace(topic="results", partition=2, offset=9)
    lines = explained(place=Place.ANSWERED, reply_at=at, ending="cancelled")
    assert lines[1:] == ["reply: results, partition 2, offset 9"]


def test_a_cancelled_request_is_said_to_end():
    assert "cancelled" in explained(place=Place.RUNNING, ending="cancelled")[1]


def test_a_deadline_that_has_passed_says_so():
    assert "its time to live ended 5.0 s ago" in explained(deadline_left_ms=-5_000)


def test_a_model_that_is_none_is_refused_with_the_nearest():
    with pytest.raises(click.BadParameter, match="did you mean 'gpt-4'"):
        insist_on_models(["gpt4"], ["gpt-4", "llama3"])
    with pytest.raises(click.BadParameter, match="known: gpt-4, llama3"):
        insist_on_models(["x"], ["llama3", "gpt-4"])
    insist_on_models(["gpt-4"], ["gpt-4"])


@pytest.mark.parametrize(("models", "every"), [((), False), (("m",), True)])
def test_one_way_to_name_models_is_enough(models, every):
    with pytest.raises(click.UsageError, match="--all"):
        insist_on_one_way(models, every=every)


def test_a_reason_is_one_plain_line_of_bounded_length():
    assert plain(" two\nlines\x1b[31m ") == "two lines[31m"
    assert len(plain("x" * 999)) == MAX_TEXT_CHARACTERS
