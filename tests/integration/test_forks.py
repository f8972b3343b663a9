"""Whatever a parent used works in a forked child, and goes on in the parent.

confluent-kafka-python #1122 (row G of the cases that users of other products reported):
gunicorn with preload, Celery's prefork, multiprocessing. There the child stood still.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.answerer import Answerer, completed
from tests.support.forked import CASES

ROOT = Path(__file__).parents[2]
DEADLINE_S = 100

pytestmark = pytest.mark.timeout(150)


def run(kind, *arguments):
    """Run a program with a deadline; no child of it is left."""
    command = [sys.executable, "-m", "tests.support.forked", kind, *arguments]
    program = subprocess.Popen(
        command,
        cwd=ROOT,
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        output, _ = program.communicate(timeout=DEADLINE_S)
    except subprocess.TimeoutExpired:
        os.killpg(program.pid, signal.SIGKILL)
        output, _ = program.communicate()
        pytest.fail(f"{kind}: the program stood still\n{output}")
    assert program.returncode == 0, output


@pytest.mark.parametrize("broker", ["embedded"], indirect=True)
@pytest.mark.parametrize("kind", CASES)
def test_what_was_used_before_a_fork_works_in_the_child_and_in_the_parent(
    kind, broker, topic_prefix
):
    inputs = [f"{topic_prefix}{cls}_priority" for cls in ("high", "medium", "low")]
    replies = f"{topic_prefix}results"
    broker.create_topics(dict.fromkeys([*inputs, replies], 2))
    kept = []

    def script(request):
        if request.content == "wait":
            kept.append(request)
            return []
        waiting = kept if request.content == "go on" else []
        return [completed(each) for each in [request, *waiting]]

    with Answerer(broker.bootstrap, inputs, replies, script):
        run(kind, broker.bootstrap, topic_prefix)
