"""Owns `agentsched block`: has the requests of an agent refused."""

import click

from agentsched.cli.operator_orders import control, opened, said_why, tell_who_follows
from agentsched.ledger.operator_orders import ControlKind
from agentsched.types import label_problem


@click.command("block")
@click.argument("agents", nargs=-1, required=True, metavar="AGENT...")
@said_why
def command(agents: tuple[str, ...], *, reason: str, by: str) -> None:
    """Have the requests of an agent refused, until `agentsched unblock AGENT`.

    New requests, and those that wait, are answered AGENT_BLOCKED; what is in flight
    ends by itself. It holds for all bridges, within a second, and outlives them. To
    block an agent for good: `blocked: true` in agentsched.yaml.

    \b
      agentsched block crawler --reason "sends the same request in a loop"
    """  # noqa: D301  (click's mark for lines that stay)
    for name in agents:
        if (problem := label_problem(name)) is not None:
            raise click.BadParameter(f"an agent {problem}")
    with opened() as (_, ledger):
        for name in agents:
            ledger.operations.impose(control(ControlKind.BLOCK, name, by, reason))
            click.echo(f"agent {name} is blocked: its requests get AGENT_BLOCKED")
        tell_who_follows(ledger)
