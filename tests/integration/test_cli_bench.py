"""`agentsched bench`, as a person or a script uses it."""

import json
import signal
import subprocess

import pytest

from tests.support.command import run_agentsched, start_agentsched
from tests.support.guides import blocks, commands, words
from tests.support.model_server import Answer, ModelServer, Refuse
from tests.support.system import System
from tests.support.waiting import eventually

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(120)]
CALL_S = 0.05


def script(asked):
    prompt = asked["messages"][-1]["content"]
    if asked.get("stop") == "slow" and not prompt.startswith("Request 0 "):
        return Answer(delay_s=60)
    wrong = {"all": "Request", "later": "Request 2 "}.get(asked.get("stop"))
    is_bad = wrong is not None and prompt.startswith(wrong)
    return Refuse(400) if is_bad else Answer(delay_s=CALL_S)


@pytest.fixture(scope="module")
def system(tmp_path_factory, kafka):
    root = tmp_path_factory.mktemp("bench")
    with (
        ModelServer(script=script) as server,
        System(root, kafka, server, {"m": 4}) as system,
    ):
        yield system.start()


def bench(system, *arguments):
    return run_agentsched(system.root, "bench", *arguments)


def test_a_batch_is_sent_and_its_latency_is_split(system):
    before = len(system.server.calls)
    done = bench(system, "--count", "24", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["sent"], found["completed"], found["failed"]) == (24, 24, {})
    assert found["model_s"]["p50"] >= CALL_S
    assert found["latency_s"]["max"] >= found["model_s"]["p50"]
    # The last ones wait for the first ones: 24 calls on 4 slots.
    assert found["queued_s"]["max"] >= 4 * CALL_S
    calls = system.server.calls[before:]
    assert len({call.prompt for call in calls}) == 25
    assert {len(call.prompt) for call in calls} == {400}


def test_a_rate_is_kept_and_what_is_asked_is_as_said(system):
    before = len(system.server.calls)
    options = ["--rate", "10", "--class", "high", "--prompt-characters", "100"]
    done = bench(system, "-n", "11", *options, "--param", "max_tokens=3")
    assert done.returncode == 0, done.stderr
    assert "11 sent, 11 completed, 0 failed" in done.stdout
    assert "waits for its turn" in done.stdout
    calls = system.server.calls[before:]
    # Ten intervals of 100 ms lie between the first and the last; one came before.
    assert len(calls) == 12
    assert calls[-1].started_s - calls[1].started_s > 0.7
    assert {call.request["max_tokens"] for call in calls} == {3}
    assert {len(call.prompt) for call in calls} == {100}


def test_the_commands_of_performance_md_do_what_it_says(system):
    for line in commands("docs/performance.md"):
        done = run_agentsched(system.root, *words(line)[1:])
        assert done.returncode == 0, done.stderr
        if "--json" not in line:
            titles = [text.split("  ")[0] for text in done.stdout.splitlines()]
            (shown,) = blocks("docs/performance.md", "text")
            # The first two lines have figures.
            assert titles[2:] == [
                text.split("  ")[0] for text in shown.splitlines()[2:]
            ]


def test_what_fails_is_counted_by_its_code_and_is_no_success(system):
    done = bench(system, "--count", "3", "--param", "stop=later")
    assert done.returncode == 1
    assert "3 sent, 2 completed, 1 failed" in done.stdout
    assert "1 failed: MODEL_REJECTED" in done.stdout


def test_nothing_more_is_sent_when_the_first_one_fails(system):
    before = len(system.server.calls)
    done = bench(system, "--count", "3", "--param", "stop=all")
    assert done.returncode == 1
    assert "Error: MODEL_REJECTED" in done.stderr
    assert len(system.server.calls) == before + 1


def test_a_parameter_that_is_none_is_a_usage_error(system):
    done = bench(system, "--param", "temperature")
    assert done.returncode == 2
    assert "write name=value" in done.stderr


def test_an_interrupt_cancels_what_has_no_reply(system):
    before = len(system.server.calls)
    arguments = ["bench", "-n", "6", "--param", "stop=slow"]
    command = start_agentsched(system.root, *arguments, stderr=subprocess.PIPE)
    eventually(lambda: len(system.server.calls) == before + 5, timeout_s=30)
    command.send_signal(signal.SIGINT)
    command.communicate(timeout=60)
    assert command.returncode == 130
    # Else the four slots would be taken for a minute.
    after = bench(system, "-n", "4", "--json")
    assert json.loads(after.stdout)["latency_s"]["max"] < 50
