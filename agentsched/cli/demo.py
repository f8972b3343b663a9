"""Owns `agentsched demo`: the whole system on this machine, once through, then gone."""

import shutil
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from agentsched.cli.demo_outcome import DemoOutcome, demo_outcome
from agentsched.cli.demo_tables import show_classes, show_models, show_verdict
from agentsched.cli.demo_traffic import requests, topic_of
from agentsched.cli.progress import steps
from agentsched.embedded.stack import EmbeddedStack
from agentsched.embedded.stack_config import OUTPUT_TOPIC
from agentsched.errors import DeliveryFailed
from agentsched.kafka.consumer import Consumer
from agentsched.kafka.producer import Producer
from agentsched.ledger.model_totals import totals_now
from agentsched.ledger.redis.ledger import RedisLedger
from agentsched.types import Message, Reply

if TYPE_CHECKING:
    from collections.abc import Mapping
    from concurrent.futures import Future

    from agentsched.ledger.values import ModelTotals
    from agentsched.wire.records import RecordAt

PATIENCE_S = 60.0
"""How long the demo waits while not one more answer comes."""
POLL_S = 0.1


@click.command("demo")
@click.option(
    "--requests",
    "number",
    type=click.IntRange(1, 5000),
    default=60,
    show_default=True,
    help="How many to send.",
)
@click.option("--seed", default=1, show_default=True, help="Same seed, same mixture.")
def command(number: int, seed: int) -> None:
    """Start everything, send requests, show what became of them, stop everything.

    It needs no Kafka, Redis or model of yours, and leaves nothing behind. The exit
    code is 0 when every request was answered.
    """
    sys.exit(0 if run_demo(Console(), number, seed) else 1)


class Demo:
    """One run: sends requests to a running stack and collects the replies."""

    def __init__(self, stack: EmbeddedStack, number: int, seed: int) -> None:
        self._stack = stack
        self._ledger = RedisLedger.from_url(stack.redis_url)
        self._requests = requests(number, seed)
        self._replies: dict[str, Reply] = {}
        self.totals: Mapping[str, ModelTotals] = {}
        self.peaks: dict[str, int] = {}

    def run(self, console: Console) -> DemoOutcome:
        """Send everything at once, so that a backlog forms; wait for the answers.

        Raises:
            EmbeddedError: a part of the stack died meanwhile.
        """
        servers = self._stack.bootstrap
        with (
            closing(self._ledger),
            closing(Producer(bootstrap_servers=servers)) as producer,
            closing(_reply_reader(servers)) as consumer,
        ):
            accepted = self._send(producer)
            self._collect(consumer, accepted, console)
            self._look_at_models()
        return demo_outcome(self._requests, accepted, self._replies.values())

    def _send(self, producer: Producer) -> set[str]:
        sent: dict[str, Future[RecordAt]] = {
            str(request.correlation_id): producer.produce(request, topic_of(request))
            for request in self._requests
        }
        producer.flush()
        return {key for key, future in sent.items() if _is_acknowledged(future)}

    def _collect(
        self, consumer: Consumer, accepted: set[str], console: Console
    ) -> None:
        quiet_since = time.monotonic()
        with _progress(console) as progress:
            bar = progress.add_task("answers", total=len(accepted))
            while accepted - self._replies.keys():
                if failure := self._stack.failure():
                    raise failure
                if time.monotonic() - quiet_since > PATIENCE_S:
                    return
                if self._take(consumer.consume(timeout=POLL_S), accepted):
                    quiet_since = time.monotonic()
                    progress.update(bar, completed=len(self._replies))
                self._look_at_models()

    def _take(self, message: Message | None, accepted: set[str]) -> bool:
        if not isinstance(message, Reply) or message.correlation_id not in accepted:
            return False
        self._replies.setdefault(message.correlation_id, message)
        return True

    def _look_at_models(self) -> None:
        self.totals = totals_now(self._ledger).models
        for name, total in self.totals.items():
            self.peaks[name] = max(self.peaks.get(name, 0), total.in_flight)


def run_demo(console: Console, number: int, seed: int) -> bool:
    """Start the stack in a temporary folder, run, stop; returns whether all is well.

    The folder is removed, unless something went wrong: then its logs are needed.

    Raises:
        EmbeddedError: a part of the stack did not start, or died.
    """
    folder = Path(tempfile.mkdtemp(prefix="agentsched-demo-"))
    stack = EmbeddedStack(folder)
    try:
        with steps(console, "Starting") as report:
            stack.start(report)
        console.print(f"Sending {number} requests of three classes to three models")
        demo = Demo(stack, number, seed)
        result = demo.run(console)
    finally:
        with steps(console, "Stopping") as report:
            stack.stop(report)
    show_classes(console, result)
    show_models(console, demo.totals, demo.peaks)
    show_verdict(console, result)
    if result.is_good:
        shutil.rmtree(folder)
    else:
        console.print(f"The logs are in {stack.log_dir}", highlight=False)
    return result.is_good


def _reply_reader(servers: str) -> Consumer:
    consumer = Consumer(
        bootstrap_servers=servers,
        group_id="agentsched-demo",
        auto_offset_reset="earliest",
    )
    consumer.subscribe([OUTPUT_TOPIC])
    return consumer


def _is_acknowledged(future: "Future[RecordAt]") -> bool:
    try:
        future.result(timeout=0)
    except (DeliveryFailed, TimeoutError):
        return False
    return True


def _progress(console: Console) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    return Progress(*columns, console=console)
