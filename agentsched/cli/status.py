"""Owns `agentsched status`: the whole system at a glance, once or again and again."""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from typing import Any

import click
from rich.console import Console, RenderableType
from rich.live import Live

from agentsched.cli.operator_orders import opened
from agentsched.cli.status_tables import away, page
from agentsched.config.settings import Settings
from agentsched.errors import LedgerUnavailable
from agentsched.kafka.admin.backlog import Backlog
from agentsched.ledger.redis.ledger import RedisLedger
from agentsched.operations.status.reader import look
from agentsched.operations.status.status import Status

Sight = Status | LedgerUnavailable
"""What a look brings: Redis may be away."""


@click.command("status")
@click.option("--json", "as_json", is_flag=True, help="One line of JSON, for programs.")
@click.option("--watch", is_flag=True, help="Again and again, until Ctrl-C.")
@click.option(
    "--interval-s",
    type=click.FloatRange(0.2, 3600),
    default=1.0,
    show_default=True,
    help="With --watch: seconds between two looks.",
)
def command(*, as_json: bool, watch: bool, interval_s: float) -> None:
    """Show models and workers, what waits, who runs, and what is paused or blocked.

    Bridges say once a second what they know. "Waits" is what was not started, in Kafka
    or in the ready set. Exit code 0: all is well; 1: something keeps requests from being
    answered (no bridge, requests but no worker, Redis does not answer), and is named.
    """
    with opened() as (settings, ledger), closing(Backlog(settings.kafka)) as backlog:
        looking = partial(_look, settings, ledger, backlog)
        if watch:
            _watch(looking, interval_s, as_json=as_json)
            return
        seen = looking()
    if as_json:
        click.echo(_line(seen))
    else:
        Console().print(_page(seen))
    sys.exit(0 if isinstance(seen, Status) and not seen.problems else 1)


def _look(settings: Settings, ledger: RedisLedger, backlog: Backlog) -> Sight:
    try:
        return look(settings, ledger, backlog)
    except LedgerUnavailable as error:
        return error


def _watch(looking: Callable[[], Sight], interval_s: float, *, as_json: bool) -> None:
    """Show it until Ctrl-C, which ends it well; Redis may go and come back."""
    try:
        with _screen(as_json=as_json) as show:
            while True:
                show(looking())
                time.sleep(interval_s)
    except KeyboardInterrupt:
        return


@contextmanager
def _screen(*, as_json: bool) -> Iterator[Callable[[Sight], None]]:
    """Give what shows one look: in place of the last on a terminal, else below it."""
    if as_json:
        yield lambda seen: click.echo(_line(seen))
    elif not sys.stdout.isatty():
        console = Console()
        yield lambda seen: console.print(_page(seen))
    else:
        with Live(screen=True, auto_refresh=False) as live:
            yield lambda seen: live.update(_page(seen), refresh=True)


def _page(seen: Sight) -> RenderableType:
    return page(seen) if isinstance(seen, Status) else away(seen)


def _line(seen: Sight) -> str:
    if isinstance(seen, Status):
        return seen.to_json()
    gone: dict[str, Any] = {"problems": [str(seen)]}
    return json.dumps(gone)
