"""Owns `agentsched drain`: lets nothing new start, and waits until nothing is in flight."""

import sys
import time

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from agentsched.cli.operator_orders import control, opened, said_why
from agentsched.errors import LedgerUnavailable
from agentsched.ledger.operator_orders import ControlKind
from agentsched.ledger.redis.ledger import RedisLedger
from agentsched.operations.drain import Left, left

POLL_S = 0.2


@click.command("drain")
@click.option(
    "--timeout-s",
    type=click.FloatRange(min=0),
    default=600.0,
    show_default=True,
    help="How long to wait, in seconds; the drain goes on afterwards.",
)
@click.option("--end", is_flag=True, help="End the drain; paused models stay paused.")
@said_why
def command(*, timeout_s: float, end: bool, reason: str, by: str) -> None:
    """Let nothing new start anywhere, and wait until nothing is in flight.

    Agents may go on sending: Kafka keeps what they send, and deadlines go on. The
    drain stays in force until `agentsched resume --all` or `agentsched drain --end`,
    also when this command is interrupted. Exit code 0: nothing is in flight; 1: time
    was over before.

    \b
      agentsched drain --reason "Redis 8" && upgrade-redis && agentsched drain --end
    """  # noqa: D301  (click's mark for lines that stay)
    console = Console(highlight=False)
    with opened() as (_, ledger):
        if end:
            ended = ledger.operations.lift(ControlKind.DRAIN)
            console.print("the drain has ended" if ended else "there was no drain")
            return
        ledger.operations.impose(control(ControlKind.DRAIN, "", by, reason))
        empty = _wait(console, ledger, timeout_s)
    if not empty:
        sys.exit(1)


def _wait(console: Console, ledger: RedisLedger, timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    columns = (TextColumn("in flight: {task.description}"), BarColumn())
    now: Left | None = None
    most = 0
    with Progress(*columns, TimeElapsedColumn(), console=console) as progress:
        bar = progress.add_task("?", total=None)
        while True:
            try:
                now = left(ledger)
            except LedgerUnavailable:
                progress.update(bar, description="unknown, Redis does not answer")
            else:
                most = max(most, now.requests)
                done, total = most - now.requests, most or None
                progress.update(bar, completed=done, total=total, description=str(now))
            if now and now.is_empty:
                break
            if time.monotonic() >= deadline:
                break
            time.sleep(POLL_S)
    if now and now.is_empty:
        console.print("Nothing is in flight, and nothing starts until")
    else:
        console.print(f"Still in flight: {now or 'unknown'}. Nothing new starts until")
    console.print("`agentsched resume --all` (or `agentsched drain --end`).")
    return bool(now and now.is_empty)
