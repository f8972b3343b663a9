"""What our tests rely on of their own run: logs of failures, and nothing left behind."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.support import leftovers
from tests.support.hooks import groups
from tests.support.hooks.groups import group_of
from tests.support.processes import is_running, writers
from tests.support.waiting import eventually

ROOT = Path(__file__).parents[2]
CONFTEST = """
from tests.support import leftovers

pytest_plugins = [
    "tests.support.hooks.failure_logs",
    "tests.support.hooks.no_process_is_left",
]

def pytest_configure(config):
    leftovers.mark()
"""
TESTS = """
import subprocess, sys
from tests.support.hooks import no_process_is_left

no_process_is_left.ENDING_S = 0

def test_fails(tmp_path):
    (tmp_path / "worker.log").write_text("why it failed")
    assert not "the test's own words"

def test_leaves(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    (tmp_path.parent / "pid").write_text(str(process.pid))
    process.returncode = 0  # no warning of Python's
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("run")


@pytest.fixture(scope="module")
def run(folder: Path) -> subprocess.CompletedProcess[str]:
    """A pytest of its own, with what fails in it."""
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "test_it.py").write_text(textwrap.dedent(TESTS))
    options = ["-p", "no:cacheprovider", "--basetemp", str(folder / "temp"), "-rA"]
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-c", os.devnull, *options, str(folder)],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )


def test_a_failed_test_shows_the_logs_that_were_written_meanwhile(run):
    assert run.returncode == 1
    assert "end of " in run.stdout
    assert "why it failed" in run.stdout


def test_a_test_that_leaves_a_process_has_failed_and_the_process_is_ended(run, folder):
    assert "ERROR test_it.py::test_leaves" in run.stdout
    assert "processes were left behind" in run.stdout
    pid = int((folder / "temp" / "pid").read_text())
    eventually(lambda: not is_running(pid))


def test_a_process_is_found_with_the_test_that_started_it():
    with subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE
    ) as process:
        eventually(lambda: process.pid in leftovers.found())
        assert "found_with_the_test_that_started_it" in leftovers.found()[process.pid]
        process.communicate(b"\n")
    assert process.pid not in leftovers.found()


OWNER = """
import os, signal, sys
from tests.support import shared_servers

shared_servers.begin_run()
for _ in range(2):
    url = shared_servers.shared("valkey")["url"]
print(url, os.environ[shared_servers.RUN], flush=True)
if sys.argv[1] == "ends":
    shared_servers.end_run(keep_logs=False)
else:
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("how", ["ends", "is killed"])
def test_a_shared_server_ends_with_its_run(tmp_path: Path, how: str):
    done = subprocess.run(
        [sys.executable, "-c", OWNER, how],
        env=os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    url, folder = done.stdout.split()
    assert url.startswith("redis://127.0.0.1:")
    eventually(lambda: not writers(Path(folder)), message="the server ends")
    assert Path(folder).exists() is (how == "is killed")


@pytest.mark.parametrize(
    ("nodeid", "group"),
    [
        ("tests/e2e/test_demo.py::test_a", "tests/e2e/test_demo.py::test_a"),
        ("tests/e2e/test_readme.py::test_a", "tests/e2e/test_readme.py"),
        (
            "tests/unit/wire/test_topic_class.py::test_a[1]",
            "tests/unit/wire/test_topic_class.py",
        ),
    ],
)
def test_what_shares_a_stack_stays_together(nodeid: str, group: str):
    assert group_of(nodeid) == group


@pytest.mark.parametrize(
    ("arguments", "asked", "runs"),
    [
        (["tests/unit", "tests/contracts"], "", "not long"),
        (["tests"], "long and alone", "long and alone"),
        (["tests/e2e/test_tutorial.py"], "", ""),
    ],
)
def test_what_is_long_runs_when_it_is_asked_for(arguments, asked, runs, monkeypatch):
    monkeypatch.chdir(ROOT)
    option = SimpleNamespace(markexpr=asked)
    groups.pytest_configure(SimpleNamespace(option=option, args=arguments))
    assert option.markexpr == runs
