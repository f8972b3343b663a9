"""Every command of docs/how-to/celery.md, as it stands there, on a real worker."""

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.worker_rig import WorkerRig
from tests.support.guides import blocks, commands
from tests.support.model_server import Hang
from tests.support.waiting import eventually

PAGE = "docs/how-to/celery.md"
PREFIX = "celery -A agentsched "


def of_page(words: str) -> list[str]:
    return [line.removeprefix(PREFIX) for line in commands(PAGE) if words in line]


ALL_AT_ONCE = """
import shlex, sys
from celery.bin.celery import celery
from celery.bin.control import control, inspect

for command in (control, inspect):
    (timeout,) = [one for one in command.params if one.name == "timeout"]
    timeout.default = 4.0  # a busy machine's worker may need more than a second

for line in sys.stdin.read().splitlines():
    celery.main(["-A", "agentsched", *shlex.split(line)], standalone_mode=False)
"""
"""The `celery` command, many times in one process: it takes seconds to start."""


def run(rig: WorkerRig, *lines: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", ALL_AT_ONCE],
        input="\n".join(lines),
        cwd=rig.root,
        env=rig.environ,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, (lines, done.stdout, done.stderr)
    return done.stdout


@pytest.mark.timeout(150)
def test_the_commands_of_the_page_work(redis_url: str, tmp_path: Path) -> None:
    (settings,) = blocks(PAGE, "python")
    (tmp_path / "my_celery_settings.py").write_text(settings)
    with WorkerRig(tmp_path, redis_url, {"gpt-4": 3}) as rig:
        ours, *others = of_page(" worker ")
        assert ours == "worker -Q gpt4"
        process = rig.ready_worker(*ours.split()[1:])
        rig.server.then("gpt-4", Hang(), Hang())
        keys = [rig.request(), rig.request()]
        rig.wait_for_calls(2)
        ids = [rig.doorbell(key).task_id for key in keys]

        said = run(rig, *of_page(" inspect "))
        assert said.count("1 node online") == len(of_page(" inspect "))
        assert all(task in said for task in ids)
        *steps, last = of_page(" control ")
        run(rig, *(line.replace("TASK_ID", ids[0]) for line in steps))
        assert rig.reply_to(keys[0])["error"]["code"] == "CANCELLED"
        rig.app.control.terminate(ids[1])
        rig.reply_to(keys[1])

        assert last == "control shutdown"
        run(rig, last)
        assert process.wait(240) == 0

        # The other forms of the worker: they come up, each with a name of its own.
        for number, line in enumerate(others):
            words = shlex.split(line)
            words[words.index("worker") + 1 : 0] = ["-n", f"w{number}@%h"]
            rig.start_celery(words)
        eventually(
            lambda: rig.ledger.membership.live_slots() == {"gpt-4": 3 * len(others)},
            timeout_s=60,
            message="they offer slots",
        )
    run_here = of_page(" worker ") + of_page(" inspect ") + of_page(" control ")
    assert {PREFIX + line for line in run_here} == set(commands(PAGE))
