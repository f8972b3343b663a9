"""A guarded child ends with its parent, however that one ends."""

import os
import signal
import subprocess
import sys

import pytest

from agentsched.embedded.child_process import GuardedChild
from agentsched.errors import EmbeddedError
from tests.support.processes import is_running
from tests.support.waiting import eventually

SLEEPER = [sys.executable, "-I", "-S", "-c", "import time; time.sleep(300)"]
PARENT = """
import sys
from pathlib import Path
from agentsched.embedded.child_process import GuardedChild
child = GuardedChild(sys.argv[2:], log_path=Path(sys.argv[1]))
print(child.pid, child._guard.pid, flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_nothing_is_left_when_the_parent_is_killed(tmp_path, number):
    command = [sys.executable, "-c", PARENT, str(tmp_path / "x.log"), *SLEEPER]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parent:
        pids = [int(word) for word in parent.stdout.readline().split()]
        assert all(is_running(pid) for pid in pids)
        parent.send_signal(number)
        eventually(
            lambda: not any(is_running(pid) for pid in pids),
            message="the child or its guard outlived the parent",
        )


def test_the_child_ends_when_its_guard_is_killed(tmp_path):
    with GuardedChild(SLEEPER, log_path=tmp_path / "x.log") as child:
        os.kill(child._guard.pid, signal.SIGKILL)
        eventually(lambda: not is_running(child.pid))


def test_a_grandchild_does_not_outlive_the_child(tmp_path):
    code = (
        "import subprocess, sys, time\n"
        "p = subprocess.Popen(sys.argv[1:])\n"
        "print(p.pid, flush=True)\n"
        "time.sleep(300)\n"
    )
    command = [sys.executable, "-c", code, *SLEEPER]
    with GuardedChild(command, log_path=tmp_path / "x.log", announces=True) as child:
        grandchild = int(child.read_line(timeout_s=10))
        child.signal(signal.SIGKILL)
        eventually(lambda: not is_running(grandchild))


def test_a_signal_reaches_the_process_itself(tmp_path):
    with GuardedChild(SLEEPER, log_path=tmp_path / "x.log") as child:
        child.signal(signal.SIGKILL)
        eventually(lambda: not child.alive)
        assert child.returncode == 128 + signal.SIGKILL


def test_the_exit_code_is_passed_on(tmp_path):
    command = [sys.executable, "-I", "-S", "-c", "raise SystemExit(7)"]
    with GuardedChild(command, log_path=tmp_path / "x.log") as child:
        eventually(lambda: not child.alive)
        assert child.returncode == 7


def test_a_child_that_ignores_sigterm_is_killed(tmp_path):
    code = (
        "import signal, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print('deaf', flush=True)\n"
        "time.sleep(300)\n"
    )
    command = [sys.executable, "-c", code]
    child = GuardedChild(command, log_path=tmp_path / "x.log", announces=True)
    child.read_line(timeout_s=10)
    assert child.stop(timeout_s=0.2) == 128 + signal.SIGKILL


def test_stopping_twice_gives_the_same_exit_code(tmp_path):
    child = GuardedChild(SLEEPER, log_path=tmp_path / "x.log")
    assert child.stop() == child.stop() == 128 + signal.SIGTERM


def test_a_stopped_process_can_still_be_ended_in_order(tmp_path):
    with GuardedChild(SLEEPER, log_path=tmp_path / "x.log") as child:
        child.signal(signal.SIGSTOP)
        assert child.stop(timeout_s=5) == 128 + signal.SIGTERM


def test_a_command_that_does_not_exist_is_named_with_its_log(tmp_path):
    log = tmp_path / "x.log"
    with pytest.raises(EmbeddedError, match=rf"(?s){log}.*no-such-command"):
        GuardedChild(["/no-such-command"], log_path=log)


def test_a_child_that_dies_at_its_start_is_quoted(tmp_path):
    command = [sys.executable, "-I", "-S", "-c", "raise SystemExit('out of luck')"]
    child = GuardedChild(command, log_path=tmp_path / "x.log", announces=True)
    try:
        with pytest.raises(EmbeddedError, match="out of luck"):
            child.read_line(timeout_s=10)
    finally:
        child.stop()


def test_a_former_run_is_not_quoted(tmp_path):
    log = tmp_path / "x.log"
    log.write_text("an old complaint\n", "utf-8")
    with GuardedChild(SLEEPER, log_path=log) as child:
        assert "an old complaint" not in str(child.failure("died"))
