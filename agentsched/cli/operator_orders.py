"""Owns what the commands of operators share: who orders it and why, and the ledger."""

import contextlib
import difflib
import getpass
import socket
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, TypeVar

import click

from agentsched.config.loader import load_settings
from agentsched.config.settings import Settings
from agentsched.ledger.operator_orders import Control, ControlKind, plain
from agentsched.ledger.redis.ledger import RedisLedger

Command = TypeVar("Command", bound=Callable[..., Any])


@contextlib.contextmanager
def opened() -> Iterator[tuple[Settings, RedisLedger]]:
    """Open the configuration's ledger, and close it afterwards.

    Raises:
        ConfigurationError: the configuration is wrong.
    """
    settings = load_settings().settings
    with contextlib.closing(RedisLedger.of(settings)) as ledger:
        yield settings, ledger


def who() -> str:
    """Return `USER@HOST` of who runs this."""
    try:
        user = getpass.getuser()
    except OSError:  # in a container the user may have no name
        user = "unknown"
    return f"{user}@{socket.gethostname()}"


def said_why(command: Command) -> Command:
    """Add --reason and --by to a command."""
    reason = click.option(
        "--reason", default="", help="Why; everybody sees it in `agentsched status`."
    )
    by = click.option("--by", default=who, help="Who orders it. Default: USER@HOST.")
    return reason(by(command))


def control(kind: ControlKind, name: str, by: str, reason: str) -> Control:
    """Make a control of what was typed."""
    return Control(kind, name, plain(by), plain(reason))


def insist_on_models(models: Sequence[str], known: Collection[str]) -> None:
    """Refuse names that are no models.

    Raises:
        BadParameter: names the nearest that there is.
    """
    for name in models:
        if name not in known:
            near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.4)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {_listed(known)}"
            raise click.BadParameter(f"there is no model {name!r}; {hint}")


def insist_on_one_way(models: Sequence[str], *, every: bool) -> None:
    """Refuse no model, and models beside --all.

    Raises:
        UsageError: says what to type.
    """
    if bool(models) == every:
        raise click.UsageError("name one model or more, or say --all")


def tell_who_follows(ledger: RedisLedger) -> None:
    """Say so where no bridge is there that could follow."""
    if not ledger.operations.reports():
        click.echo("No bridge runs now: it holds as soon as one starts.")


def _listed(names: Collection[str]) -> str:
    return ", ".join(sorted(names)) or "none"
