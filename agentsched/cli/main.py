"""Owns the command line `agentsched`: arguments, signals, exit codes; nothing else.

What the commands need is imported when they run, so that `--help` is quick.
"""

import sys
from pathlib import Path

import click
from rich.console import Console

from agentsched import __version__
from agentsched.cli.interrupts import orderly_end
from agentsched.errors import AgentSchedError

INTERRUPTED = 130


@click.group(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="With your own Kafka, Redis and models: write an agentsched.yaml (README),"
    " then run `python -m bridge` and, for each model, `celery -A agentsched worker"
    " -Q QUEUE`.",
)
@click.version_option(__version__)
def cli() -> None:
    """Schedule requests of AI agents to LLMs: Kafka in, Celery pools, Kafka out.

    \b
    agentsched demo    see it work once, on this machine, in half a minute
    agentsched up      keep it running here, to send requests of your own
    """  # noqa: D301  (click needs the character itself)


@cli.command()
@click.option(
    "--requests",
    "number",
    type=click.IntRange(1, 5000),
    default=60,
    show_default=True,
    help="How many to send.",
)
@click.option("--seed", default=1, show_default=True, help="Same seed, same mixture.")
def demo(number: int, seed: int) -> None:
    """Start everything, send requests, show what became of them, stop everything.

    It needs no Kafka, Redis or model of yours, and leaves nothing behind. The exit
    code is 0 when every request was answered.
    """
    from agentsched.cli.demo import run_demo  # noqa: PLC0415

    console = Console()
    sys.exit(0 if run_demo(console, number, seed) else 1)


@cli.command()
@click.option(
    "--dir",
    "root",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".agentsched"),
    show_default=True,
    help="Folder for configuration and logs.",
)
def up(root: Path) -> None:
    """Start everything and keep it running until Ctrl-C.

    Prints the addresses of Kafka, Redis and the demo model server, and a first
    request to paste. The embedded Kafka lives in memory: nothing is kept.
    """
    from agentsched.cli.up import run_up  # noqa: PLC0415

    run_up(Console(), root)


def main() -> None:
    """Run the command; errors of ours become one message and exit code 1."""
    with orderly_end():
        try:
            cli(standalone_mode=False)
        except click.ClickException as error:
            error.show()
            sys.exit(error.exit_code)
        except (click.Abort, KeyboardInterrupt):
            sys.exit(INTERRUPTED)
        except AgentSchedError as error:
            click.secho(f"Error: {error}", fg="red", err=True)
            sys.exit(1)
