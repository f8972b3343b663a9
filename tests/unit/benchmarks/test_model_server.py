"""The suite's model server, and what its processes use."""

import http.client
import json
import os
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest

from benchmarks.suite.model import Model
from benchmarks.suite.numbers import most_at_once
from benchmarks.suite.systems import python_path
from benchmarks.suite.usage import Usage, trees
from tests.support.waiting import eventually


@pytest.fixture
def model(tmp_path):
    with Model(tmp_path, python_path()) as model:
        yield model


def ask(model, request_id):
    body = {
        "model": "m",
        "messages": [{"role": "user", "content": f"[id:{request_id}] hello"}],
    }
    url = f"{model.base_url}/chat/completions"
    with urllib.request.urlopen(url, json.dumps(body).encode(), timeout=30) as answer:
        return json.load(answer)


def test_it_answers_and_notes_the_call(model):
    assert ask(model, "r1")["choices"][0]["message"]["content"]
    (call,) = model.take_calls()
    assert call.id == "r1"
    assert 0 < call.started_ns <= call.ended_ns
    assert model.take_calls() == []


def test_a_call_takes_as_long_as_it_was_told_and_many_run_at_once(model):
    model.set_delay(200)
    with ThreadPoolExecutor(5) as pool:
        list(pool.map(lambda n: ask(model, f"r{n}"), range(5)))
    calls = model.take_calls()
    assert all(call.ended_ns - call.started_ns >= 199_000_000 for call in calls)
    assert most_at_once(calls) > 1


def test_a_client_that_goes_away_leaves_a_call_without_an_end(model):
    model.set_delay(60_000)
    port = int(model.base_url.split(":")[2].partition("/")[0])
    client = http.client.HTTPConnection("127.0.0.1", port)
    client.request("POST", "/v1/chat/completions", b'{"x": "[id:gone]"}')
    eventually(lambda: model.running() == 1)
    client.close()
    (call,) = model.take_calls()
    assert (call.id, call.ended_ns) == ("gone", 0)


def test_cpu_time_and_memory_of_a_process_are_its_own(model):
    usage = Usage({"model": model.child.pid, "test": os.getpid()})
    for _ in range(20):
        ask(model, "r")
    assert usage.used_s()["test"] < 60
    memory_mb = usage.memory_mb()
    assert 1 < memory_mb["model"] < 1000
    below = trees([os.getpid(), model.child.pid])
    assert model.child.pid not in below[os.getpid()]
    assert below[model.child.pid] == [model.child.pid]
