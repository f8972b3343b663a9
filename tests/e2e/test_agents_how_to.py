"""docs/how-to/agents.md and examples/ do what they say, on a stack of `agentsched up`."""

import re

import pytest

from agentsched.config.loader import parse_settings
from tests.support.guides import ROOT, Reader, blocks, commands
from tests.support.up import Up

pytestmark = pytest.mark.timeout(150)

PAGE = "docs/how-to/agents.md"
TEXT = (ROOT / PAGE).read_text("utf-8")
PROGRAMS = [text for text in blocks(PAGE, "python") if "import" in text]
COMMANDS = [one for one in commands(PAGE) if not one.startswith("export ")]


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
    values = {
        "BOOTSTRAP_SERVERS": bootstrap,
        "AGENTSCHED_CONFIG": str(stack.root / "agentsched.yaml"),
    }
    exported = [one for one in commands(PAGE) if one.startswith("export ")]
    assert {one.split()[1].split("=")[0] for one in exported} == set(values)
    return Reader(tmp_path, values).run


def test_the_examples_are_answered(run):
    submitted = run("python examples/submit.py").splitlines()
    assert len(submitted) == 3
    assert all(" says: this is a made up answer" in line for line in submitted)
    asked = run("python examples/with_asyncio.py").splitlines()
    assert [line.split(":")[0] for line in asked] == [
        "cloud",
        "river",
        "mountain",
        "forest",
    ]
    assert "made up answer" in run("python examples/with_time_out.py")


def test_the_example_with_a_time_out_gives_up_in_time(run):
    assert run("python examples/with_time_out.py 0.001").startswith(
        ("no answer: ", "failed: DEADLINE_EXCEEDED")
    )


@pytest.mark.parametrize("number", range(len(PROGRAMS)))
def test_its_programs_are_answered(run, bootstrap, number, tmp_path):
    program = PROGRAMS[number].replace("localhost:9092", bootstrap)
    (tmp_path / "program.py").write_text(program, "utf-8")
    assert "this is a made up answer" in run("python program.py")


def test_what_is_no_program_is_python_all_the_same():
    for text in blocks(PAGE, "python"):
        compile(text, PAGE, "exec")


def test_its_commands_work_one_after_the_other(run):
    for command in COMMANDS:
        run(command)


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(([^)#:]+)\)", TEXT))))
def test_its_links_lead_somewhere(link):
    assert (ROOT / "docs/how-to" / link).exists()
