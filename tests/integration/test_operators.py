"""What operators see and order, on the real system: two bridges, a worker per model."""

import contextlib
import json
import shlex
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest
import redis

from agentsched.operations.explain.search import find
from tests.support.command import run_agentsched, start_agentsched
from tests.support.guides import commands
from tests.support.model_server import Hold, ModelServer
from tests.support.ports import free_ports
from tests.support.system import System
from tests.support.waiting import eventually

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]

SMALL = {
    "limits": {"ready_max_entries": 4},
    "agents": [{"id": "one"}, {"id": "two"}, {"id": "planner"}],
}
GUIDES = Path(__file__).parents[2] / "docs" / "how-to"


class Gate:
    """Holds the calls of model `m` while it is shut."""

    def __init__(self):
        self._open = threading.Event()
        self._open.set()
        self.shut, self.open = self._open.clear, self._open.set

    def __call__(self, asked):
        return Hold(self._open.is_set) if asked["model"] == "m" else None


@pytest.fixture(scope="module")
def gate():
    return Gate()


@pytest.fixture(scope="module")
def system(tmp_path_factory, kafka, gate):
    root = tmp_path_factory.mktemp("operators")
    with (
        ModelServer(script=gate) as server,
        System(root, kafka, server, {"m": 1, "n": 1}, config=SMALL) as system,
    ):
        yield system.start(bridges=2)
        gate.open()


@pytest.fixture
def held(system, gate):
    """One request of model `m` that runs until the gate opens."""
    eventually(lambda: waiting_and_in_flight(system) == (0, 0), timeout_s=20)
    gate.shut()
    (running,) = system.send("high", 1, label="runs", model_id="m", agent_id="one")
    eventually(lambda: system.server.in_flight("m") == 1, timeout_s=20)
    yield running
    gate.open()


def run(system, *arguments, code=0):
    done = system.agentsched(*arguments)
    assert done.returncode == code, (done.stdout, done.stderr)
    return done.stdout


def status(system, code=0):
    return json.loads(run(system, "status", "--json", code=code))


def waiting_and_in_flight(system):
    """What the status would say, without a process for each look."""
    reports = [one.report for one in system.ledger.operations.reports() if one.report]
    waiting = sum(sum(report.waiting.values()) for report in reports)
    return waiting, sum(report.in_flight for report in reports)


def answered_per_s(system):
    return sum(
        one.report.answered_per_s
        for one in system.ledger.operations.reports()
        if one.report
    )


def place_of(system, id_, agent_id=None):
    answer = find(system.settings, system.ledger, id_, agent_id, time.sleep)
    return answer.found[0].place if len(answer.found) == 1 else None


def explain(system, id_, *options, code=0):
    return json.loads(run(system, "explain", id_, "--json", *options, code=code))


def only(answer):
    (found,) = answer["found"]
    return found


def model(status, name="m"):
    return next(one for one in status["models"] if one["model"] == name)


def calls(system, name="m"):
    return [call.prompt for call in system.server.calls if call.model == name]


def code_of(reply):
    return reply["error"]["code"] if reply["error"] else "completed"


def test_a_paused_model_starts_nothing_until_it_is_resumed(system, gate, held):
    before = len(calls(system))
    assert "m is paused; in flight now: 1" in run(
        system, "pause", "m", "--reason", "vendor incident", "--by", "ana@ops"
    )
    gate.open()
    (waits,) = system.send("high", 1, model_id="m", agent_id="one")
    either = system.send("high", 2, label="either")
    # What runs ends, and what another model may answer goes there.
    replies = system.replies.wait_for({held, *either}, 30)
    assert [replies[id_]["model_id"] for id_ in either] == ["n", "n"]

    # It outlives the bridges.
    for name in ("bridge0", "bridge1"):
        system.stop(name)
    system.bridge("bridge2")
    (after,) = system.send("high", 1, model_id="n")
    system.replies.wait_for({after}, 40)
    assert len(calls(system)) == before
    found = only(explain(system, waits, "--agent", "one"))
    ((why, text),) = found["reasons"]
    assert (found["place"], why) == ("ready", "MODEL_PAUSED")
    assert text.endswith("by ana@ops: vendor incident")
    assert "m is paused" in run(system, "status")

    assert "vendor incident" in run(system, "resume", "m")
    system.replies.wait_for({waits}, 30)
    assert status(system)["orders"] == []


def test_a_blocked_agent_is_refused_wherever_its_requests_wait(system, gate, held):
    before = len(calls(system))
    bad = system.send("medium", 8, model_id="m", agent_id="two")
    good = system.send("low", 1, model_id="m", agent_id="one")
    eventually(lambda: waiting_and_in_flight(system) == (9, 1), timeout_s=20)
    run(system, "block", "two", "--reason", "loops")
    refused = system.replies.wait_for(set(bad), 30)
    assert {code_of(reply) for reply in refused.values()} == {"AGENT_BLOCKED"}
    new = system.send("high", 1, agent_id="two")
    assert code_of(system.replies.wait_for(set(new), 30)[new[0]]) == "AGENT_BLOCKED"
    gate.open()
    others = system.replies.wait_for({held, *good}, 30)
    assert {code_of(reply) for reply in others.values()} == {"completed"}
    assert calls(system)[before:] == good

    assert "loops" in run(system, "unblock", "two")
    again = system.send("high", 1, agent_id="two")
    assert code_of(system.replies.wait_for(set(again), 30)[again[0]]) == "completed"


def test_a_drain_waits_until_nothing_is_in_flight_and_holds_the_rest(
    system, gate, held
):
    before = len(system.server.calls)
    waiting = system.send("high", 2, model_id="m", agent_id="one")
    late = run(system, "drain", "--timeout-s", "2", "--reason", "new Redis", code=1)
    assert "Still in flight: m 1" in late
    (elsewhere,) = system.send("high", 1, model_id="n")
    gate.open()
    assert "Nothing is in flight" in run(system, "drain", "--reason", "new Redis")
    shown = status(system)
    assert (shown["in_flight"], sum(shown["waiting"].values())) == (0, 3)
    assert len(system.server.calls) == before
    assert only(explain(system, elsewhere))["reasons"][0][0] == "DRAINING"

    assert "new Redis" in run(system, "resume", "--all")
    system.replies.wait_for({held, *waiting, elsewhere}, 30)
    assert "there was no drain" in run(system, "drain", "--end")


def test_the_status_is_true_while_requests_wait_run_and_end(system, gate, held):
    calls_before = model(status(system))["calls"]
    high = system.send("high", 2, model_id="m", agent_id="one")
    low = system.send("low", 7, model_id="m", agent_id="two")
    eventually(lambda: waiting_and_in_flight(system) == (9, 1), timeout_s=20)
    shown = status(system)
    assert shown["waiting"] == {"high": 2, "medium": 0, "low": 7}
    assert (model(shown)["in_flight"], model(shown)["capacity"]) == (1, 1)
    assert (model(shown)["workers"], model(shown)["waiting"]) == (1, 9)
    agents = {a["agent_id"]: (a["waiting"], a["in_flight"]) for a in shown["agents"]}
    assert agents == {"two": (7, 0), "one": (2, 1)}
    assert shown["oldest"]["correlation_id"] == high[0]
    assert shown["problems"] == []
    assert [bridge["leading"] for bridge in shown["bridges"]].count(True) == 1
    table = run(system, "status")
    assert max(map(len, table.splitlines())) <= 80

    gate.open()
    system.replies.wait_for({held, *high, *low}, 30)
    eventually(lambda: waiting_and_in_flight(system) == (0, 0), timeout_s=20)
    # Before a process starts: the rate is that of the last seconds.
    assert eventually(lambda: answered_per_s(system) > 0, timeout_s=20)
    shown = status(system)
    assert (shown["waiting"], shown["in_flight"]) == (
        {"high": 0, "medium": 0, "low": 0},
        0,
    )
    assert model(shown)["calls"] == calls_before + 10


def test_a_request_is_explained_wherever_it_is(system, held):
    runs = only(explain(system, held))
    assert (runs["place"], runs["model"], runs["attempts"]) == ("running", "m", 1)
    assert runs["agent_id"] == "one"

    waiting = system.send("high", 6, model_id="m", agent_id="one", content="secret")
    eventually(lambda: place_of(system, waiting[5], "one") == "kafka", timeout_s=20)
    first = only(explain(system, waiting[0]))
    assert (first["place"], first["before"]) == ("ready", 0)
    assert [why for why, _ in first["reasons"]] == ["SLOTS_IN_USE"]
    last = only(explain(system, waiting[5]))
    assert (last["topic"], last["before"]) == (system.topics["high"], 5)
    text = run(system, "explain", waiting[5])
    assert "all 1 slots of m are in use" in text
    assert "secret" not in text


def test_an_answered_request_is_explained_by_where_its_reply_is(system):
    (id_,) = system.send("high", 1, agent_id="one", content="secret")
    system.replies.wait_for({id_}, 30)
    eventually(lambda: place_of(system, id_) == "answered", timeout_s=10)
    reply_at = only(explain(system, id_, "--agent", "one"))["reply_at"]
    assert reply_at["topic"] == system.output_topic
    assert "nobody knows nothing-like-this" in run(
        system, "explain", "nothing-like-this", code=1
    )


def test_a_model_that_does_not_exist_is_refused_with_the_nearest(system):
    done = system.agentsched("pause", "mm")
    assert done.returncode == 2
    assert "did you mean 'm'?" in done.stderr
    assert system.agentsched("pause").returncode == 2
    assert system.agentsched("pause", "m", "--all").returncode == 2


@pytest.mark.parametrize(
    ("interrupted", "first"),
    [(["--watch"], "AgentSched"), (["--watch", "--json"], "{")],
)
def test_it_watches_until_it_is_interrupted(system, interrupted, first):
    process = start_agentsched(
        system.root, "status", *interrupted, stdout=subprocess.PIPE
    )
    with process, contextlib.ExitStack() as stack:
        stack.callback(process.kill)
        assert process.stdout.readline().startswith(first)
        process.send_signal(signal.SIGINT)
        assert process.wait(240) == 0


def test_every_command_of_the_guide_works_as_it_stands_there(system):
    ids = {"correlation_id": "4711", "agent_id": "planner"}
    system.producer.produce(ids | {"content": "x"}, system.topics["high"]).result(20)
    system.replies.wait_for({"4711"}, 30)
    eventually(lambda: waiting_and_in_flight(system) == (0, 0), timeout_s=20)
    for line in commands("docs/how-to/operate.md"):
        program, *arguments = shlex.split(line.replace("gpt-4", "m"))
        if program == "kill":
            assert arguments == ["-HUP", "PID_OF_THE_BRIDGE"]
            bridge = next(it for it in system.children if it.startswith("bridge"))
            system.children[bridge].signal(signal.SIGHUP)
        else:
            run(system, *arguments)
    assert status(system)["orders"] == []


def test_what_is_ordered_outlives_a_redis_that_loses_its_data(system):
    run(system, "pause", "m", "--reason", "vendor incident", "--by", "ana@ops")
    ordered = system.ledger.operations.controls()
    eventually(lambda: "vendor incident" in system.log("bridge2"), timeout_s=10)
    with redis.Redis.from_url(system.valkey.url) as client:
        client.flushall()
    eventually(lambda: system.ledger.operations.controls() == ordered, timeout_s=20)
    assert "m is resumed" in run(system, "resume", "m")


def test_without_bridge_worker_or_redis_it_says_so(tmp_path, kafka):
    with ModelServer() as server, System(tmp_path, kafka, server, {"m": 1}) as bare:
        shown = status(bare, code=1)
        assert [problem.split(":")[0] for problem in shown["problems"]] == [
            "no bridge runs"
        ]
        assert shown["notices"] == [
            "no live worker serves m, and nothing waits for one"
        ]
        assert "no bridge runs" in run(bare, "status", code=1)
        run(bare, "explain", "anything", code=1)
        assert "No bridge runs now" in run(bare, "pause", "--all")
        assert bare.ledger.views.epoch() is None
        bare.send("low", 3)
        (low,) = [t for t in status(bare, code=1)["topics"] if t["unread"]]
        assert (low["topic"], low["unread"]) == (bare.topics["low"], 3)
        assert "3 are not read yet" in run(bare, "status", code=1)
        bare.valkey.stop()
        (problem,) = status(bare, code=1)["problems"]
        assert problem.startswith("Redis did not answer")
        assert "Redis is away" in run(bare, "status", code=1)
        assert bare.agentsched("drain").returncode == 1


def test_a_kafka_that_is_away_is_a_problem_and_the_rest_is_shown(tmp_path, redis_url):
    nowhere = f"127.0.0.1:{free_ports(1)[0]}"
    text = json.dumps(
        {"kafka": {"bootstrap_servers": [nowhere]}, "redis": {"url": redis_url}}
    )
    (tmp_path / "agentsched.yaml").write_text(text)
    done = run_agentsched(tmp_path, "status", "--json")
    shown = json.loads(done.stdout)
    assert done.returncode == 1
    assert any(one.startswith("Kafka did not answer") for one in shown["problems"])
    assert shown["topics"] is None
    assert done.stderr == ""
