"""Owns `agentsched resume`: ends pauses, and with --all a drain."""

import click

from agentsched.cli.operator_orders import insist_on_models, insist_on_one_way, opened
from agentsched.config.settings import Settings
from agentsched.ledger.operator_orders import Control, ControlKind, Controls
from agentsched.ledger.redis.ledger import RedisLedger
from agentsched.operations.explain.reasons import order_of


@click.command("resume")
@click.argument("models", nargs=-1, metavar="[MODEL]...")
@click.option("--all", "every", is_flag=True, help="Every pause, and the drain.")
def command(models: tuple[str, ...], *, every: bool) -> None:
    """Let requests of a paused model start again.

    `--all` ends every pause, and a drain (`agentsched drain`). Blocked agents stay
    blocked: `agentsched unblock AGENT`.
    """
    insist_on_one_way(models, every=every)
    with opened() as (settings, ledger):
        controls = ledger.operations.controls()
        if every:
            _resume_all(ledger, controls)
        else:
            _resume(settings, ledger, controls, models)


def _resume(
    settings: Settings,
    ledger: RedisLedger,
    controls: Controls,
    models: tuple[str, ...],
) -> None:
    known = {model.name for model in settings.models} | controls.paused.keys()
    insist_on_models(models, known)
    for name in models:
        if paused := controls.paused.get(name):
            _lift(ledger, paused, name)
        else:
            click.echo(f"{name} was not paused")
    if any(controls.stopping_all()):
        click.echo(
            "Nothing starts all the same: the system is drained"
            " (`agentsched drain --end` or `agentsched resume --all`)."
        )


def _resume_all(ledger: RedisLedger, controls: Controls) -> None:
    for stop in controls.stopping_all():
        _lift(ledger, stop, "the drained system")
    for name, paused in controls.paused.items():
        _lift(ledger, paused, name)
    if not (controls.paused or any(controls.stopping_all())):
        click.echo("nothing was paused or drained")


def _lift(ledger: RedisLedger, control: Control, name: str) -> None:
    ledger.operations.lift(control.kind, control.name)
    stopped = "paused" if control.kind is ControlKind.PAUSE else "drained"
    since = order_of(control, ledger.membership.now_ms())
    click.echo(f"{name} is resumed; it was {stopped} {since}")
