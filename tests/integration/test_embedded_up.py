"""`agentsched up`: what it prints works, it guards its folder, it ends in order."""

import os
import re
import signal
import subprocess
import sys

import pytest

from agentsched.flower.login import flower_login
from tests.support.flower_server import ask
from tests.support.processes import writers
from tests.support.up import Up
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(120)


def processes(up, words):
    """Ids of the processes of an `up`, not of their guards, whose command has these."""
    return [
        pid
        for pid, command in writers(up.root).items()
        if words in command and "guard.py" not in command
    ]


def status(url, login):
    """Of a page; None while nobody answers."""
    try:
        return ask(url, login.basic_auth).status
    except OSError:
        return None


def flower_of(up):
    """What `up` printed: Flower's address; and the login that it keeps."""
    (address,) = re.findall(r"^ *Flower +(http\S+)", up.output, re.MULTILINE)
    return address, flower_login(up.environ)


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """One that is complete; ended by Ctrl-C, which is a test of its own."""
    folder = tmp_path_factory.mktemp("up")
    # A home that has a space, and no login yet; options that must not count.
    environ = {
        "XDG_STATE_HOME": str(folder / "my state"),
        "FLOWER_ADDRESS": "0.0.0.0",
        "FLOWER_URL_PREFIX": "elsewhere",
    }
    with Up(folder / "root", environ=environ).running() as up:
        up.wait_for("all ends with Ctrl-C")
        yield up
        up.end()


def test_the_printed_first_requests_are_answered_as_they_stand(shared, tmp_path):
    lines = shared.output.splitlines()
    start = next(n for n, line in enumerate(lines) if line.startswith("export "))
    text = "\n".join(lines[start : lines.index("END") + 1])
    done = subprocess.run(
        ["bash", "-ec", text + "\n"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert '"content":"this is a made up answer' in done.stdout
    assert " says: this is a made up answer" in done.stdout


def test_a_second_start_in_the_same_folder_is_refused(shared):
    second = subprocess.run(
        [sys.executable, "-m", "agentsched", "up", "--dir", str(shared.root)],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert second.returncode == 1
    assert "another Valkey uses" in second.stderr
    assert shared.process.poll() is None


def test_a_child_that_dies_is_named_with_its_log_and_starts_again(shared):
    (victim,) = processes(shared, "-m bridge")
    os.kill(victim, signal.SIGKILL)
    shared.wait_for("bridge has ended and starts again in 0.5 s")
    assert "logs/bridge.log" in shared.output
    eventually(
        lambda: processes(shared, "-m bridge") not in ([], [victim]), timeout_s=20
    )


def test_flower_shows_the_workers_to_who_has_the_login(shared):
    address, login = flower_of(shared)
    assert address.startswith("http://127.0.0.1:")
    assert ask(f"{address}/workers").status == 401
    assert ask(f"{address}/workers", f"{login.user}:wrong").status == 401
    eventually(
        lambda: all(
            f"{queue}@" in ask(f"{address}/workers?json=1", login.basic_auth).text
            for queue in ("gpt4", "llama3", "qwenvl")
        ),
        timeout_s=40,
        message="Flower shows the three workers",
    )


def test_flowers_password_is_in_no_output_and_no_log(shared):
    _, login = flower_of(shared)
    assert str(login.path) in shared.output
    assert login.password not in shared.output
    logs = list((shared.root / "logs").iterdir())
    assert shared.root / "logs" / "flower.log" in logs
    assert [log for log in logs if login.password in log.read_text("utf-8")] == []


def test_a_flower_that_dies_starts_again(shared):
    address, login = flower_of(shared)
    victims = processes(shared, "celery -A agentsched flower")
    assert victims
    for pid in victims:
        os.kill(pid, signal.SIGKILL)
    shared.wait_for("Flower starts again in 0.5 s")
    shared.wait_for(f"Flower starts at {address}")
    eventually(
        lambda: status(f"{address}/workers", login) == 200,
        timeout_s=40,
        message="Flower answers again",
    )


def test_where_flower_cannot_start_the_rest_does(tmp_path):
    """Its password cannot be kept: a file stands where the folder should be."""
    nowhere = {"XDG_STATE_HOME": "/dev/null"}
    with Up(tmp_path / "root", environ=nowhere).running() as up:
        up.wait_for("all ends with Ctrl-C")
        assert "Flower does not run: Flower needs a password" in up.output
        assert processes(up, "celery -A agentsched flower") == []
        assert len(processes(up, "celery -A agentsched worker")) == 3
        up.end()


def test_sigterm_while_it_starts_leaves_no_process(tmp_path):
    with Up(tmp_path / "root").running() as up:
        up.wait_for("the worker of")
        up.end(signal.SIGTERM)
