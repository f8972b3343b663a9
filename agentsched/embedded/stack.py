"""Owns the whole local stack: starts its parts in order, watches them, stops them.

The order of the stop is the one that loses nothing: first nothing new is taken in
(bridge), then running calls end (workers), then the stores go.
"""

import contextlib
import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import redis

from agentsched.embedded.demo_models import DEMO_MODELS
from agentsched.embedded.flower import EmbeddedFlower
from agentsched.embedded.restarts import Restarts
from agentsched.embedded.servers import KafkaKind, Servers
from agentsched.embedded.services import Services
from agentsched.embedded.stack_config import (
    DRAIN_S,
    EMBEDDED_KAFKA_NEEDS,
    write_config,
)
from agentsched.embedded.stoppable import Stoppable
from agentsched.errors import AgentSchedError, EmbeddedError
from agentsched.ledger.redis.ledger import RedisLedger

WORKERS_START_S = 60.0

Report = Callable[[str], None]

logger = logging.getLogger("agentsched.stack")


class EmbeddedStack(Stoppable):
    """Kafka, Redis, a demo model server, one bridge and one worker for each model.

    Args:
        root: its folder: configuration, logs, data. One stack at a time.
        kafka: which Kafka. Apache's keeps its records from run to run, and Redis is
            kept with it; the mock forgets, and so must Redis.
        servers_only: no bridge and no workers: for a `Scheduler` of one's own.
        with_flower: Flower beside the workers.
    """

    def __init__(
        self,
        root: Path,
        kafka: KafkaKind = KafkaKind.MOCK,
        *,
        servers_only: bool = False,
        with_flower: bool = False,
    ) -> None:
        self.root = root.resolve()
        self.config_path = self.root / "agentsched.yaml"
        self.servers = Servers(self.root, kafka)
        self._kind = kafka
        self._servers_only = servers_only
        self._services = Services(self.root, self.config_path, DRAIN_S)
        self.flower = (
            EmbeddedFlower(self.root, self.config_path)
            if with_flower and not servers_only
            else None
        )
        self.flower_problem = ""
        """Why Flower did not start; empty where it did, or is not wanted."""
        self._restarts = Restarts()

    @property
    def bootstrap(self) -> str:
        """Kafka's address; empty before `start`."""
        return self.servers.bootstrap

    @property
    def redis_url(self) -> str:
        """Redis's address; empty before `start`."""
        return self.servers.redis_url

    @property
    def base_url(self) -> str:
        """The demo model server's address; empty before `start`."""
        return self.servers.base_url

    @property
    def log_dir(self) -> Path:
        """Every part writes its own log here."""
        return self.root / "logs"

    def start(self, report: Report = lambda _: None) -> None:
        """Start everything; returns when every model has a live worker. Blocks.

        Args:
            report: is told what is being started, a few words at a time.

        Raises:
            EmbeddedError: a part did not start; what had started is stopped again.
        """
        try:
            self.servers.start(report)
            if self._kind is KafkaKind.MOCK:
                self._forget_former_run()
            self._write_config()
            if not self._servers_only:
                self._start_services(report)
                self._start_flower(report)
                self._wait_for_workers(report)
                self._wait_for_flower(report)
        except BaseException:
            self.stop()
            raise

    def failure(self) -> EmbeddedError | None:
        """The error that names the first part that has ended, or None."""
        return self.servers.failure() or self._services.failure()

    def tend(self, report: Report = lambda _: None) -> list[str]:
        """Start again what has died, with a growing pause; call it now and then.

        Returns:
            A line for each death that was noticed now, and each start that failed.
        """
        noticed, now_s = [], time.monotonic()
        for name, failure in self.servers.dead().items():
            pause_s = self._restarts.noticed(name, now_s)
            if pause_s is not None:
                noticed.append(f"{failure}\n{name} starts again in {pause_s:g} s")
            if self._restarts.due(name, now_s):
                try:
                    noticed += self._restart_server(name, report)
                except EmbeddedError as error:
                    noticed.append(str(error))
        noticed += self._services.restart_dead()
        return noticed + (self.flower.tend() if self.flower else [])

    def stop(self, report: Report = lambda _: None) -> None:
        """Stop everything in order; blocks. May be called twice."""
        if self.flower:
            self.flower.ask_to_stop()
        report("the bridge drains, then the workers end")
        self._services.stop()
        if self.flower:
            self.flower.stop()
        report("Redis, Kafka and the model server end")
        self.servers.stop()

    def _restart_server(self, name: str, report: Report) -> list[str]:
        if not self.servers.forgets(name):
            self.servers.start_again(name, report)
            return []
        # The mock's records and its port are gone: all that knows them starts anew.
        self._services.stop()
        self.servers.start_again(name, report)
        self._forget_former_run()
        self._write_config()
        if not self._servers_only:
            self._start_services(report)
        return [
            f"the embedded Kafka forgot all its records; it is at {self.bootstrap} now"
        ]

    def _forget_former_run(self) -> None:
        """Kafka has forgotten its offsets: a ledger that knows them would mislead."""
        with redis.Redis.from_url(self.redis_url) as client:
            client.flushall()

    def _write_config(self) -> None:
        write_config(
            self.config_path,
            bootstrap=self.bootstrap,
            redis_url=self.redis_url,
            base_url=self.base_url,
            kafka=EMBEDDED_KAFKA_NEEDS if self._kind is KafkaKind.MOCK else {},
        )

    def _start_services(self, report: Report) -> None:
        report("the bridge")
        self._services.start_bridge()
        for model in DEMO_MODELS:
            report(f"the worker of {model.name}")
            self._services.start_worker(model.queue)

    def _start_flower(self, report: Report) -> None:
        if self.flower:
            report("Flower")
            self._spare_the_rest(self.flower.launch)

    def _wait_for_flower(self, report: Report) -> None:
        if self.flower and not self.flower_problem:
            report("waiting for Flower")
            self._spare_the_rest(self.flower.wait)

    def _spare_the_rest(self, step: Callable[[], None]) -> None:
        """Flower only shows things: where it does not start, the rest does."""
        try:
            step()
        except AgentSchedError as error:
            self.flower_problem = str(error)

    def _wait_for_workers(self, report: Report) -> None:
        names = [model.name for model in DEMO_MODELS]
        with contextlib.closing(RedisLedger.from_url(self.redis_url)) as ledger:

            def live_slots() -> Mapping[str, int]:
                live = ledger.membership.live_slots()
                missing = [name for name in names if name not in live]
                if missing:
                    report(f"waiting for workers of {', '.join(missing)}")
                return live

            self._services.wait_for(names, live_slots, WORKERS_START_S)
