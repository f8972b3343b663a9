"""docs/how-to/agents.md and examples/ do what they say, on a stack of `agentsched up`."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from agentsched.config.loading import parse_settings
from tests.support.up import Up

pytestmark = pytest.mark.timeout(150)

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/how-to/agents.md").read_text("utf-8")


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    with Up(tmp_path_factory.mktemp("up") / "root").running() as up:
        up.wait_for("all ends with Ctrl-C")
        yield up


@pytest.fixture(scope="module")
def bootstrap(stack):
    text = (stack.root / "agentsched.yaml").read_text("utf-8")
    return parse_settings(text).settings.kafka.bootstrap_servers[0]


@pytest.fixture
def run(stack, bootstrap, tmp_path):
    """Run something as the page's reader would, with its two variables set."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "BOOTSTRAP_SERVERS": bootstrap,
        "AGENTSCHED_CONFIG": str(stack.root / "agentsched.yaml"),
    }

    def run_it(*command):
        done = subprocess.run(
            command,
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    return run_it


def test_the_examples_are_answered(run):
    submitted = run(sys.executable, "examples/submit.py").splitlines()
    assert len(submitted) == 3
    assert all(" says: this is a made up answer" in line for line in submitted)
    asked = run(sys.executable, "examples/with_asyncio.py").splitlines()
    assert [line.split(":")[0] for line in asked] == [
        "cloud",
        "river",
        "mountain",
        "forest",
    ]
    assert "made up answer" in run(sys.executable, "examples/with_time_out.py")


def test_the_example_with_a_time_out_gives_up_in_time(run):
    assert run(sys.executable, "examples/with_time_out.py", "0.001").startswith(
        ("no answer: ", "failed: DEADLINE_EXCEEDED")
    )


@pytest.mark.parametrize("number", range(len(blocks("python"))))
def test_its_programs_are_answered(run, bootstrap, number):
    program = blocks("python")[number].replace("localhost:9092", bootstrap)
    assert "this is a made up answer" in run(sys.executable, "-c", program)


@pytest.mark.parametrize("number", range(len(blocks("sh"))))
def test_its_commands_work_one_after_the_other(run, number):
    for line in blocks("sh")[number].splitlines():
        run("bash", "-c", line)


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(([^)#:]+)\)", PAGE))))
def test_its_links_lead_somewhere(link):
    assert (ROOT / "docs/how-to" / link).exists()
