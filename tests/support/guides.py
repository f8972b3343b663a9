"""The pages that people read, their blocks, and which test runs which command of them.

Commands stand in `sh` blocks. A page's test takes them from `commands`, which leaves out
only what is listed here: what another test runs, and what cannot be run, with the reason.
"""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = ["README.md", *(str(p.relative_to(ROOT)) for p in ROOT.glob("docs/**/*.md"))]
BIN = Path(sys.executable).parent

RUN_BY = {
    "README.md": "tests/e2e/test_readme.py",
    "docs/tutorial.md": "tests/e2e/test_tutorial.py",
    "docs/how-to/agents.md": "tests/e2e/test_agents_how_to.py",
    "docs/how-to/celery.md": "tests/integration/test_celery_page.py",
    "docs/how-to/dead-letters.md": "tests/integration/test_cli_dead_letters.py",
    "docs/how-to/models.md": "tests/integration/test_models_page.py",
    "docs/how-to/monitor.md": "tests/integration/test_telemetry.py",
    "docs/performance.md": "tests/integration/test_cli_bench.py",
    "docs/how-to/operate.md": "tests/integration/test_operators.py",
    "docs/how-to/upgrade.md": "tests/integration/test_upgrade_page.py",
    "docs/how-to/your-kafka.md": "tests/integration/test_own_servers_pages.py",
    "docs/how-to/your-redis.md": "tests/integration/test_own_servers_pages.py",
}
"""Page -> the test that runs its commands; it names the page."""

ELSEWHERE = {
    "make demo": "tests/e2e/test_demo.py",
    "agentsched up": "tests/integration/test_embedded_up.py",
    "agentsched status --watch": (
        "tests/integration/test_operators.py::test_it_watches_until_it_is_interrupted"
    ),
    "celery -A agentsched flower": "tests/integration/test_flower.py",
    "agentsched dead-letters purge --up-to high_priority:0:12 --yes": (
        "tests/integration/test_cli_dead_letters.py::purged_up_to_a_point"
    ),
    ".venv/bin/python -m tests.simulation 1234": "tests/simulation/test_promises.py",
}
"""Command -> the test that runs it, or what it starts, with other words."""

CONTAINERS = (
    "no container engine runs here; test_compose.py runs what the services run, without"
)
NOT_RUN = {
    "make test": "it is what runs this",
    "make bench": "it takes a quarter of an hour; test_benchmark_suite.py runs its parts",
    "make bench BENCH=--quick": "it takes minutes; test_benchmark_suite.py does its parts",
    "make install": "what runs this was installed by it",
    ". .venv/bin/activate": "what runs this has the folder in its path",
    "cd compose": CONTAINERS,
    "cp .env.example .env": CONTAINERS,
    "docker compose up --build --detach": CONTAINERS,
    ".venv/bin/python -m tests.simulation 1234 --requests 3,7 --faults 1": (
        "the numbers are those that a failing seed prints"
    ),
}
"""Command -> why no test runs it."""


def blocks(page: str, language: str) -> list[str]:
    """The texts of a page's blocks in one language."""
    return [text for found, text in all_blocks(page) if found == language]


def all_blocks(page: str) -> list[tuple[str, str]]:
    """(language, text) of every fenced block; "" where none is said."""
    text = (ROOT / page).read_text("utf-8")
    return re.findall(r"^```(\w*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def all_commands(page: str) -> list[str]:
    """Every command of the `sh` blocks, a here-document with its command."""
    return [one for block in blocks(page, "sh") for one in split(block)]


def commands(page: str) -> list[str]:
    """The commands that the page's own test has to run."""
    spared = ELSEWHERE.keys() | NOT_RUN.keys()
    return [one for one in all_commands(page) if bare(one) not in spared]


def split(block: str) -> list[str]:
    """The commands of one block: a here-document and a backslash belong to one."""
    found: list[str] = []
    end = None
    for line in block.splitlines():
        if end is not None or (found and found[-1].endswith("\\")):
            found[-1] += f"\n{line}"
            end = None if line == end else end
        elif line.strip() and not line.startswith("#"):
            found.append(line)
            here = re.search(r"<<'?(\w+)'?", line)
            end = here[1] if here else None
    return found


def bare(command: str) -> str:
    """Without a comment at its end."""
    return re.sub(r"\s+#\s.*$", "", command)


def words(command: str) -> list[str]:
    """The words that a shell makes of a command without variables."""
    return shlex.split(command.replace("\\\n", ""), comments=True)


class Reader:
    """Does what a page says, in one folder, with our commands in the path.

    Args:
        folder: where.
        environ: more of the environment; `export` in a command adds to it.
    """

    def __init__(self, folder: Path, environ: Mapping[str, str]) -> None:
        self.folder = folder
        self.environ = {
            **os.environ,
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "COLUMNS": "120",
            **environ,
        }

    def run(self, command: str, *, code: int = 0, timeout_s: float = 240) -> str:
        """Run one command in bash; returns stdout. What it exports stays."""
        if exported := re.match(r"export (\w+)=", command):
            command += f'; printf %s "${exported[1]}"'
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", command],
            cwd=self.folder,
            env=self.environ,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout_s,
        )
        assert done.returncode == code, f"{command}: {done.stdout}{done.stderr}"
        if exported:
            self.environ[exported[1]] = done.stdout
        return done.stdout

    def python(self, program: str) -> str:
        """Run a program; returns stdout."""
        (self.folder / "program.py").write_text(program, "utf-8")
        return self.run("python program.py")
