"""Owns `agentsched pause`: lets no new request of a model start."""

import click

from agentsched.cli.operator_orders import (
    control,
    insist_on_models,
    insist_on_one_way,
    opened,
    said_why,
    tell_who_follows,
)
from agentsched.ledger.operator_orders import ControlKind
from agentsched.operations.status.reader import see


@click.command("pause")
@click.argument("models", nargs=-1, metavar="[MODEL]...")
@click.option("--all", "every", is_flag=True, help="Every model, each by itself.")
@said_why
def command(models: tuple[str, ...], *, every: bool, reason: str, by: str) -> None:
    """Let no new request of a model start, until `agentsched resume MODEL`.

    What is in flight ends by itself. Requests that another model may answer, too, go
    there; the others wait, and are answered DEADLINE_EXCEEDED when their time to live
    is over. It holds for all bridges, within a second, and outlives them.

    \b
      agentsched pause gpt-4 --reason "vendor incident 4711"
      agentsched pause --all --reason "new model server"
    """  # noqa: D301  (click's mark for lines that stay)
    insist_on_one_way(models, every=every)
    with opened() as (settings, ledger):
        seen = see(ledger)
        in_flight = {model.name: 0 for model in settings.models}
        for pool in seen.pools:
            in_flight[pool.model] = in_flight.get(pool.model, 0) + pool.in_flight
        insist_on_models(models, in_flight)
        for name in in_flight if every else models:
            ledger.operations.impose(control(ControlKind.PAUSE, name, by, reason))
            click.echo(f"{name} is paused; in flight now: {in_flight[name]}")
        tell_who_follows(ledger)
