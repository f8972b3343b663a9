"""`agentsched send` and `agentsched replies`, as a person or a script uses them."""

import json
import os
import pty
import signal
import subprocess

import pytest

from tests.support.command import run_agentsched, start_agentsched
from tests.support.model_server import Answer, ModelServer, Refuse, digest
from tests.support.system import System
from tests.support.waiting import eventually

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(120)]


def script(asked):
    prompt = asked["messages"][-1]["content"]
    if prompt.startswith("slow"):
        return Answer(delay_s=60)
    if prompt.startswith("ahead"):
        return Answer(delay_s=0.05)
    return Refuse(400) if prompt.startswith("bad") else None


@pytest.fixture(scope="module")
def system(tmp_path_factory, kafka):
    root = tmp_path_factory.mktemp("send")
    with (
        ModelServer(script=script) as server,
        System(root, kafka, server, {"m": 8}) as system,
    ):
        yield system.start()


def send(system, *arguments, text_in=None):
    return run_agentsched(system.root, "send", *arguments, text_in=text_in)


def show(system, *arguments):
    return run_agentsched(system.root, "replies", *arguments)


def lines(done):
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_prompts_are_answered_as_json_lines_that_name_their_argument(system):
    done = send(system, "first", "second", "--class", "high", "--agent", "planner")
    assert done.returncode == 0, done.stderr
    replies = {reply["id"]: reply for reply in lines(done)}
    assert replies["2"]["content"] == f"m {digest('second')}"
    assert replies["1"]["priority"] == "high"
    assert {reply["agent_id"] for reply in replies.values()} == {"planner"}
    assert "2 sent, 2 completed, 0 failed" in done.stderr


def test_parameters_model_and_time_to_live_reach_the_request(system):
    before = len(system.server.calls)
    options = ["--param", "temperature=0.2", "--param", "max_tokens=5"]
    done = send(system, "with options", "--model", "m", "--ttl", "2m", *options)
    assert done.returncode == 0, done.stderr
    request = system.server.calls[before].request
    assert (request["temperature"], request["max_tokens"]) == (0.2, 5)


def test_plain_lines_come_from_stdin_and_it_says_so(system):
    done = send(system, text_in="one\n\ntwo\n")
    assert done.returncode == 0, done.stderr
    assert {reply["id"] for reply in lines(done)} == {"1", "3"}
    assert "reading plain text, a prompt a line, from <stdin>" in done.stderr


def test_json_lines_come_from_a_file_and_a_bad_one_costs_only_itself(system):
    path = system.root / "requests.jsonl"
    path.write_text(
        '{"content": "a", "id": "mine", "priority": "low"}\n'
        '{"content": "b", "prioirty": "low"}\n'
        '{"content": "c", "priority": "urgent"}\n'
        '{"content": "d"}\n'
    )
    done = send(system, "--file", str(path), "--class", "high")
    assert done.returncode == 1
    assert "reading JSON lines" in done.stderr
    assert "request 2: unknown field 'prioirty'" in done.stderr
    assert "request 3: priority: Input should be" in done.stderr
    classes = {reply["id"]: reply["priority"] for reply in lines(done)}
    assert classes == {"mine": "low", "4": "high"}


def test_a_failed_reply_is_printed_and_is_no_success(system):
    done = send(system, "bad one", "good one")
    assert done.returncode == 1
    status = {reply["id"]: reply["status"] for reply in lines(done)}
    assert status == {"1": "failed", "2": "completed"}
    assert "request 1: MODEL_REJECTED" in done.stderr
    assert "2 sent, 1 completed, 1 failed" in done.stderr


def test_no_more_than_the_run_ahead_is_without_a_reply(system):
    done = send(system, "--run-ahead", "2", *(f"ahead {n}" for n in range(12)))
    assert done.returncode == 0, done.stderr
    calls = [call for call in system.server.calls if call.prompt.startswith("ahead")]
    assert len(calls) == 12
    at_once = [
        sum(other.started_s <= call.started_s < other.ended_s for other in calls)
        for call in calls
    ]
    assert max(at_once) <= 2


def test_without_waiting_the_ids_are_printed_once_kafka_has_them(system):
    done = send(system, "--no-wait", "later 1", "later 2")
    assert done.returncode == 0, done.stderr
    ids = done.stdout.split()
    assert len(ids) == len(set(ids)) == 2
    system.replies.wait_for(set(ids), 30)


def test_ctrl_c_says_what_is_outstanding(system):
    sending = start_agentsched(
        system.root, "send", "fast", "slow one",
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        eventually(lambda: system.server.in_flight("m") == 1, timeout_s=30)
        assert sending.stdout.readline().startswith('{"id":"1"')
        sending.send_signal(signal.SIGINT)
        _, said = sending.communicate(timeout=240)
    finally:
        sending.kill()
    assert sending.returncode == 130
    assert "interrupted: 2 sent, 1 completed, 0 failed, 1 outstanding" in said
    (id_,) = [line.split(":")[0] for line in said.splitlines() if "go on" in line]
    done = run_agentsched(system.root, "cancel", id_)
    assert done.returncode == 0, done.stderr
    assert system.replies.wait_for({id_}, 30)[id_]["error"]["code"] == "CANCELLED"


def test_it_ends_when_nobody_reads_its_output_any_more(system):
    sending = start_agentsched(
        system.root, "send",
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        sending.stdin.write("fast\n")
        sending.stdin.flush()
        assert sending.stdout.readline().startswith('{"id":"1"')
        sending.stdout.close()
        sending.stdin.write("slow to the end\nfast\n")
        sending.stdin.close()
        assert sending.wait(240) == 1
        assert "Traceback" not in sending.stderr.read()
    finally:
        sending.kill()
        sending.wait()
        sending.stderr.close()


def test_progress_is_on_a_terminals_stderr_and_replies_stay_apart(system):
    screen, terminal = pty.openpty()
    with (system.root / "replies.jsonl").open("w+") as file:
        sending = start_agentsched(
            system.root, "send", "one", "two", stdout=file, stderr=terminal
        )
        assert sending.wait(240) == 0
        os.close(terminal)
        file.seek(0)
        assert {json.loads(line)["id"] for line in file} == {"1", "2"}
    assert "2/2" in seen_on(screen)


def seen_on(screen):
    """All that was written to a terminal whose other end is closed."""
    parts = []
    try:
        while part := os.read(screen, 65536):
            parts.append(part)
    except OSError:  # Linux says EIO at the end
        pass
    finally:
        os.close(screen)
    return b"".join(parts).decode()


def test_replies_hide_the_answers_unless_asked_for_them(system):
    done = send(system, "--no-wait", "asked once", "--agent", "privy")
    id_ = done.stdout.strip()
    system.replies.wait_for({id_}, 30)
    answer = f"m {digest('asked once')}"
    hidden = show(system, "--id", id_, "--agent", "privy")
    shown = show(system, "--id", id_, "--agent", "privy", "--content")
    assert (hidden.returncode, shown.returncode) == (0, 0), hidden.stderr
    assert answer not in hidden.stdout
    assert [reply["content"] for reply in lines(shown)] == [answer]


def test_replies_are_filtered_by_agent_status_and_time(system):
    send(system, "bad 1", "good 1", "--agent", "picky")
    failed = lines(show(system, "--agent", "picky", "--status", "failed"))
    assert [reply["error"]["code"] for reply in failed] == ["MODEL_REJECTED"]
    assert len(lines(show(system, "--agent", "picky", "--since", "1h"))) == 2
    assert lines(show(system, "--agent", "nobody")) == []
    assert lines(show(system, "--since", "2030-01-01")) == []


def test_replies_can_be_read_on_a_terminal(system):
    send(system, "bad to read", "--agent", "reader")
    screen, terminal = pty.openpty()
    showing = start_agentsched(
        system.root, "replies", "--agent", "reader", stdout=terminal, stderr=terminal
    )
    assert showing.wait(240) == 0
    os.close(terminal)
    (line,) = seen_on(screen).splitlines()
    assert all(
        text in line for text in ("failed", "reader", "medium", "MODEL_REJECTED")
    )


def test_followed_replies_come_as_they_are_made_until_ctrl_c(system):
    following = start_agentsched(
        system.root, "replies", "--follow", "--agent", "live", "--since", "10m",
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        # The first one may be there before it reads, the second one is not.
        for question in ("before", "now"):
            sent = send(system, question, "--agent", "live")
            (shown, asked) = (following.stdout.readline(), sent.stdout)
            assert json.loads(shown)["correlation_id"] in asked
        following.send_signal(signal.SIGINT)
        assert following.wait(240) == 130
    finally:
        following.kill()
        following.communicate()


def test_wrong_use_is_told_and_sends_nothing(system):
    before = len(system.server.calls)
    for arguments in (
        ["x", "--param", "no pair"],
        ["x", "--file", "-"],
        ["--file", "not-there.txt"],
        ["x", "--class", "urgent"],
    ):
        assert send(system, *arguments, text_in="").returncode == 2
    nothing = send(system, text_in="\n")
    assert (nothing.returncode, "0 sent" in nothing.stderr) == (1, True)
    assert len(system.server.calls) == before
