"""Owns `agentsched up`: keeps the local stack running until Ctrl-C or SIGTERM."""

import sys
import time
from pathlib import Path
from shlex import quote

import click
from rich.console import Console

from agentsched.cli.progress import steps
from agentsched.embedded.demo_models import DEMO_MODELS
from agentsched.embedded.servers import KafkaKind
from agentsched.embedded.stack import EmbeddedStack

WATCH_S = 0.5
LAST_LINE = {
    KafkaKind.MOCK: "Kafka is a mock in memory: all ends with Ctrl-C, nothing is kept.",
    KafkaKind.APACHE: "Ctrl-C ends all; records and ledger stay in the folder.",
}
FIRST_REQUEST = """\
export AGENTSCHED_CONFIG={config}
{python} -m agentsched send "How does the internet work?"

{python} - <<'END'
from agentsched.client import AgentClient
from agentsched.config.loader import load_settings
with AgentClient.of(load_settings().settings) as client:
    reply = client.request("How does the internet work?", priority="high")
print(reply.model_id, "says:", reply.content)
END
"""


@click.command("up")
@click.option(
    "--dir",
    "root",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".agentsched"),
    show_default=True,
    help="Folder for configuration, data and logs.",
)
@click.option(
    "--kafka",
    type=click.Choice([kind.value for kind in KafkaKind]),
    default=KafkaKind.MOCK.value,
    show_default=True,
    help="mock: needs nothing, keeps nothing. apache: one real node on localhost:9092;"
    " needs Java, and Maven for its jars (43 MB, once); keeps its records in --dir.",
)
@click.option(
    "--servers-only",
    is_flag=True,
    help="Kafka, Redis and the demo model server only: for a Scheduler of your own,"
    " such as examples/quick_start.py (with --kafka apache).",
)
def command(root: Path, kafka: str, *, servers_only: bool) -> None:
    """Start everything and keep it running until Ctrl-C.

    Prints the addresses of Kafka, Redis, the demo model server and Flower, and first
    requests to paste. What dies is started again, with a growing pause.
    """
    stack = EmbeddedStack(
        root, KafkaKind(kafka), servers_only=servers_only, with_flower=True
    )
    run_up(Console(), stack, KafkaKind(kafka), servers_only=servers_only)


def run_up(
    console: Console, stack: EmbeddedStack, kind: KafkaKind, *, servers_only: bool
) -> None:
    """Start the stack and watch it; returns after KeyboardInterrupt.

    Raises:
        EmbeddedError: a part did not start; everything is stopped then.
    """
    try:
        with steps(console, "Starting") as report:
            stack.start(report)
        _show(console, stack)
        if not servers_only:
            _show_first_request(console, stack.config_path)
        console.print(LAST_LINE[kind])
        while True:
            time.sleep(WATCH_S)
            for line in stack.tend():
                console.print(line, markup=False, highlight=False)
    except KeyboardInterrupt:
        console.print()
    finally:
        with steps(console, "Stopping") as report:
            stack.stop(report)


def _show(console: Console, stack: EmbeddedStack) -> None:
    models = ", ".join(f"{m.name} ({m.capacity} at once)" for m in DEMO_MODELS)
    rows = {
        "Kafka": stack.bootstrap,
        "Redis": stack.redis_url,
        "model server": stack.base_url,
        "models": models,
        "Flower": _flower(stack),
        "configuration": str(stack.config_path),
        "logs": str(stack.log_dir),
    }
    for name, value in rows.items():
        if value:
            # Not wrapped: what is cut in two cannot be copied.
            console.print(f"{name:<14} {value}", soft_wrap=True, markup=False)
    if stack.flower_problem:
        text = f"Flower does not run: {stack.flower_problem}"
        console.print(text, soft_wrap=True, style="red", markup=False)


def _flower(stack: EmbeddedStack) -> str:
    if stack.flower is None or stack.flower.login is None or stack.flower_problem:
        return ""
    login = stack.flower.login
    # Where the password is, not what it is: this output may well go into a file.
    return f"{stack.flower.address}  user {login.user}, password in {login.path}"


def _show_first_request(console: Console, config_path: Path) -> None:
    console.print(
        "\nIn another terminal: a first request from the shell, then one from Python:\n"
    )
    text = FIRST_REQUEST.format(
        python=quote(sys.executable), config=quote(str(config_path))
    )
    # As it is: a wrapped line could not be pasted.
    console.print(text, soft_wrap=True, highlight=False, markup=False)
