"""Owns `agentsched unblock`: lets an agent's requests in again."""

import click

from agentsched.cli.operator_orders import opened
from agentsched.ledger.operator_orders import ControlKind
from agentsched.operations.explain.reasons import order_of


@click.command("unblock")
@click.argument("agents", nargs=-1, required=True, metavar="AGENT...")
def command(agents: tuple[str, ...]) -> None:
    """Let the requests of a blocked agent in again.

    What was refused stays refused: the agent has to send it again.
    """
    with opened() as (_, ledger):
        blocked = ledger.operations.controls().blocked
        for name in agents:
            ledger.operations.lift(ControlKind.BLOCK, name)
            if one := blocked.get(name):
                since = order_of(one, ledger.membership.now_ms())
                click.echo(f"agent {name} is unblocked; it was blocked {since}")
            else:
                click.echo(f"agent {name} was not blocked by `agentsched block`")
