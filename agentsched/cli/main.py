"""Owns the command line `agentsched`: the table of commands, signals, exit codes.

A command lives in a file of its own and is imported when it is called, so that
`--help` is quick.
"""

import importlib
import sys
from dataclasses import dataclass

import click

from agentsched import __version__
from agentsched.cli.signals import orderly_end
from agentsched.errors import AgentSchedError, ConfigurationError

INTERRUPTED = 130
WRONG = 2
"""Wrong usage or configuration."""


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a command is, and what `--help` says of it."""

    module: str
    """The module of `agentsched.cli` whose `command` it is."""
    section: str
    help: str


COMMANDS: dict[str, Entry] = {
    "demo": Entry("demo", "Try it", "See it work once, on this machine."),
    "up": Entry("up", "Try it", "Keep it running here, for requests of your own."),
    "send": Entry("send", "Use", "Send requests, and print their replies."),
    "bench": Entry("bench", "Use", "Measure your own system, with requests."),
    "status": Entry("status", "Look", "What waits, what runs, what is wrong."),
    "explain": Entry("explain", "Look", "Where a request is, and why it waits."),
    "replies": Entry("replies", "Look", "Show the replies that are in Kafka."),
    "dead-letters": Entry(
        "dead_letters", "Look", "What could not be answered; replay it, delete it."
    ),
    "pause": Entry("pause", "Steer", "Let no new request of a model start."),
    "resume": Entry("resume", "Steer", "End a pause, or with --all a drain."),
    "block": Entry("block", "Steer", "Have the requests of an agent refused."),
    "unblock": Entry("unblock", "Steer", "Let an agent's requests in again."),
    "drain": Entry("drain", "Steer", "Start nothing new, wait until all has ended."),
    "cancel": Entry("cancel", "Steer", "Cancel a request, wherever it is."),
    "doctor": Entry("doctor", "Set up", "Check everything, and say what to do."),
    "config": Entry("config", "Set up", "Check, show and explain the configuration."),
    "topics": Entry("topics", "Set up", "Create the Kafka topics, and look at them."),
}
"""By name, in the order of `--help`."""


class Commands(click.Group):
    """Lists the commands by section, and imports one only when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Return all names."""
        return list(COMMANDS)

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002
        cmd_name: str,
    ) -> click.Command | None:
        """Import a command; None where there is none of that name."""
        if (entry := COMMANDS.get(cmd_name)) is None:
            return None
        module = importlib.import_module(f"agentsched.cli.{entry.module}")
        command: click.Command = module.command
        return command

    def format_commands(
        self,
        ctx: click.Context,  # noqa: ARG002
        formatter: click.HelpFormatter,
    ) -> None:
        """Write the sections of `--help`."""
        for section in dict.fromkeys(entry.section for entry in COMMANDS.values()):
            rows = [(n, e.help) for n, e in COMMANDS.items() if e.section == section]
            with formatter.section(section):
                formatter.write_dl(rows)


@click.command(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="With your own Kafka, Redis and models: write an agentsched.yaml (README),"
    " then run `python -m bridge` and, for each model, `celery -A agentsched worker"
    " -Q QUEUE`.",
)
@click.version_option(__version__)
def cli() -> None:
    """Schedule requests of AI agents to LLMs: Kafka in, Celery pools, Kafka out."""


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
            sys.exit(WRONG if isinstance(error, ConfigurationError) else 1)
