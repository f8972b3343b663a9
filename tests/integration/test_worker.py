"""A worker process as it is started by users, against real servers."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentsched.ledger.values import CallOutcome, State
from agentsched.wire.codec import decode_message
from tests.integration.worker_rig import WorkerRig
from tests.support.model_server import Answer, Hang, Refuse, digest
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(90)


@pytest.fixture(scope="module")
def shared(
    redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[WorkerRig]:
    """One worker for the tests that leave it alive."""
    root = tmp_path_factory.mktemp("worker")
    with WorkerRig(root, redis_url, {"gpt-4": 7, "llama3": 3}) as rig:
        rig.ready_worker("-Q", "gpt4", "-l", "DEBUG")
        yield rig


@pytest.fixture
def make_rig(redis_url: str, tmp_path: Path) -> Iterator[object]:
    rigs = []

    def make(models: dict[str, int] | None = None, **timing: float) -> WorkerRig:
        rig = WorkerRig(tmp_path, redis_url, models or {"gpt-4": 1}, **timing)
        rigs.append(rig.__enter__())
        return rig

    yield make
    for rig in rigs:
        rig.__exit__()


def test_a_request_is_answered_on_kafka(shared: WorkerRig) -> None:
    key = shared.request(session_id="s-1")

    reply = shared.reply_to(key)

    assert reply["status"] == "completed"
    assert reply["content"] == f"gpt-4 {digest(f'prompt of {key}')}"
    assert (reply["id"], reply["session_id"], reply["model_id"]) == (
        key,
        "s-1",
        "gpt-4",
    )
    assert (reply["token_count"], reply["attempts"]) == (7, 1)


def test_an_answered_request_is_marked_as_published(shared: WorkerRig) -> None:
    key = shared.request()
    shared.wait_for_state(key, State.ANSWERED)


def test_the_pool_has_the_capacity_of_its_queue(shared: WorkerRig) -> None:
    stats = shared.inspect()
    assert [node["pool"]["max-concurrency"] for node in stats.values()] == [7]


def test_the_node_is_named_after_its_queue(shared: WorkerRig) -> None:
    (name,) = shared.inspect()
    assert name.startswith("gpt4@")


def test_only_the_models_of_its_queues_have_slots(shared: WorkerRig) -> None:
    assert shared.ledger.membership.live_slots() == {"gpt-4": 7}


def test_a_doorbell_that_comes_twice_makes_one_call(shared: WorkerRig) -> None:
    key = shared.admitted()
    shared.ring(key, key)
    shared.reply_to(key)
    eventually(lambda: shared.doorbells.waiting("gpt4") == 0)
    asked = [call for call in shared.server.calls if key in call.prompt]
    assert len(asked) == 1


def test_no_prompt_is_in_the_log_at_debug_level(shared: WorkerRig) -> None:
    key = shared.request(content="the-secret-prompt")
    shared.reply_to(key)
    # The line after the reply says that the doorbell is done with.
    eventually(lambda: f"c-{key}" in shared.log(), message="the log names the request")
    assert "the-secret-prompt" not in shared.log()


def odd_answer(usage: object = None, **choice: object) -> Refuse:
    message = {"role": "assistant", "content": "four"}
    choices = [{"message": message, "finish_reason": "stop"} | choice]
    return Refuse(200, json.dumps({"choices": choices, "usage": usage}))


def deep(levels: int) -> object:
    return {"a": deep(levels - 1)} if levels else 1


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        # Case E: async-openai #404.
        (odd_answer({"completion_tokens": -35}), ("completed", "four", None)),
        (odd_answer({"completion_tokens": 10**400}), ("completed", "four", None)),
        # Case F: our own client could not read it.
        (odd_answer(deep(99)), ("completed", "four", None)),
        (odd_answer(message={"content": "\ud800"}), ("completed", "\ufffd", None)),
        # Case D: agent-framework, genkit PR 6259.
        (odd_answer(finish_reason="error"), ("failed", None, "MODEL_UNAVAILABLE")),
    ],
    ids=["negative", "huge", "deep", "half a pair", "error"],
)
def test_whatever_a_server_answers_is_one_call_and_a_reply_that_can_be_read(
    shared: WorkerRig, answer: Refuse, expected: tuple[str, str | None, str | None]
) -> None:
    shared.server.then("gpt-4", answer)
    key = shared.request()
    reply = shared.reply_to(key)
    error = reply["error"] and reply["error"]["code"]
    assert (reply["status"], reply["content"], error) == expected
    decode_message(json.dumps(reply).encode())
    assert len([call for call in shared.server.calls if key in call.prompt]) == 1
    assert (reply["attempts"], reply["token_count"]) == (1, None)


def test_a_call_ends_with_the_time_to_live(shared: WorkerRig) -> None:
    shared.server.then("gpt-4", Hang())
    key = shared.request(ttl_s=3)

    reply = shared.reply_to(key)

    assert reply["error"]["code"] == "DEADLINE_EXCEEDED"
    eventually(lambda: shared.server.in_flight() == 0, message="the call is closed")


def test_two_queues_have_the_sum_of_their_capacities(make_rig) -> None:
    rig = make_rig({"gpt-4": 7, "llama3": 3, "qwen": 2})
    rig.ready_worker("-Q", "gpt4,llama3")
    (node,) = rig.inspect().values()
    assert node["pool"]["max-concurrency"] == 10


def test_an_explicit_concurrency_wins(make_rig) -> None:
    rig = make_rig({"gpt-4": 7})
    rig.ready_worker("-Q", "gpt4", "-c", "2")
    assert rig.ledger.membership.live_slots() == {"gpt-4": 2}


def test_an_unknown_queue_is_refused_with_one_line(make_rig) -> None:
    rig = make_rig({"gpt-4": 1, "llama3": 1})
    process = rig.worker("-Q", "gpt5")
    assert process.wait(240) != 0
    assert rig.log().strip().splitlines() == [
        "agentsched worker: no model has the queue 'gpt5'; known queues: gpt4, llama3"
    ]


def test_high_overtakes_low_in_a_queue(make_rig) -> None:
    rig = make_rig({"gpt-4": 1})
    low = [rig.admitted(cls="low") for _ in range(3)]
    high = [rig.admitted(cls="high") for _ in range(2)]
    rig.ring(*low, cls="low")
    rig.ring(*high, cls="high")

    rig.ready_worker("-Q", "gpt4")
    for key in low:
        rig.reply_to(key)

    asked = [call.prompt.removeprefix("prompt of ") for call in rig.server.calls]
    assert asked == high + low


def test_sigterm_lets_the_running_call_finish(make_rig) -> None:
    rig = make_rig()
    process = rig.ready_worker("-Q", "gpt4")
    rig.server.then("gpt-4", Answer(delay_s=1))
    key = rig.request()
    rig.wait_for_calls(1)

    assert rig.stop(process) == 0

    assert rig.reply_to(key)["status"] == "completed"


def test_sigterm_takes_the_slots_away_at_once(make_rig) -> None:
    rig = make_rig(drain_s=600, heartbeat_ttl_s=600)
    process = rig.ready_worker("-Q", "gpt4")
    rig.server.then("gpt-4", Hang())
    rig.request()
    rig.wait_for_calls(1)

    process.send_signal(signal.SIGTERM)

    # Long before a heartbeat would run out.
    eventually(lambda: not rig.ledger.membership.live_slots())
    assert process.poll() is None


def test_sigterm_puts_back_what_outlasts_the_drain(make_rig) -> None:
    rig = make_rig(drain_s=0.3)
    process = rig.ready_worker("-Q", "gpt4")
    rig.server.then("gpt-4", Hang())
    key = rig.request()
    rig.wait_for_calls(1)

    assert rig.stop(process) == 0

    assert rig.state(key) is State.READY
    eventually(lambda: rig.server.in_flight() == 0, message="the call is closed")
    assert rig.replies.all() == []


def test_sigquit_puts_back_at_once(make_rig) -> None:
    rig = make_rig(drain_s=600)
    process = rig.ready_worker("-Q", "gpt4")
    rig.server.then("gpt-4", Hang())
    key = rig.request()
    rig.wait_for_calls(1)

    process.send_signal(signal.SIGQUIT)
    process.wait(240)

    assert rig.state(key) is State.READY


def test_a_call_whose_lease_is_lost_is_closed_and_hands_nothing_in(make_rig) -> None:
    rig = make_rig(lease_s=2, renew_s=0.2)
    rig.ready_worker("-Q", "gpt4")
    rig.server.then("gpt-4", Hang())
    key = rig.request()
    rig.wait_for_calls(1)

    # As a bridge does at the deadline: complete without a lease, which voids ours.
    outcome = CallOutcome(ok=False, called=False)
    assert rig.ledger.complete(rig.epoch, key, None, b"{}", outcome)

    eventually(lambda: rig.server.in_flight() == 0, message="the call is closed")
    eventually(lambda: rig.ledger.totals(rig.epoch)["gpt-4"].in_flight == 0)
    assert rig.replies.all() == []


def test_a_killed_worker_leaves_its_request_to_the_lease(make_rig) -> None:
    rig = make_rig(lease_s=0.5, renew_s=0.2)
    process = rig.ready_worker("-Q", "gpt4")
    rig.server.then("gpt-4", Hang())
    key = rig.request()
    rig.wait_for_calls(1)

    process.kill()

    eventually(lambda: rig.ledger.expire(rig.epoch, key), message="the lease ends")
