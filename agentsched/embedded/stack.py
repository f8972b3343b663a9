"""Owns the whole local stack: starts its parts in order, watches them, stops them.

The order of the stop is the one that loses nothing: first nothing new is taken in
(bridge), then running calls end (workers), then the stores go.
"""

import contextlib
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import redis

from agentsched.embedded.child import GuardedChild
from agentsched.embedded.demo_models import DEMO_MODELS
from agentsched.embedded.kafka import EmbeddedKafka
from agentsched.embedded.services import Services, environment
from agentsched.embedded.stack_config import DRAIN_S, topics, write_config
from agentsched.embedded.stoppable import Stoppable
from agentsched.embedded.valkey import EmbeddedValkey
from agentsched.errors import EmbeddedError
from agentsched.ledger.redis import RedisLedger

MODEL_SERVER_START_S = 30.0
WORKERS_START_S = 60.0

Report = Callable[[str], None]


class EmbeddedStack(Stoppable):
    """Kafka, Redis, a demo model server, one bridge and one worker for each model.

    Args:
        root: its folder: configuration, logs, Redis's data. One stack at a time.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self.config_path = self.root / "agentsched.yaml"
        self.base_url = ""
        self._valkey: EmbeddedValkey | None = None
        self._kafka: EmbeddedKafka | None = None
        self._model_server: GuardedChild | None = None
        self._services = Services(self.root, self.config_path, DRAIN_S)

    @property
    def bootstrap(self) -> str:
        """Kafka's address; empty before `start`."""
        return self._kafka.bootstrap if self._kafka else ""

    @property
    def redis_url(self) -> str:
        """Redis's address; empty before `start`."""
        return self._valkey.url if self._valkey else ""

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
            self._start_servers(report)
            self._start_agentsched(report)
            self._wait_for_workers(report)
        except BaseException:
            self.stop()
            raise

    def failure(self) -> EmbeddedError | None:
        """The error that names the first part that has ended, or None."""
        valkey = [self._valkey.child] if self._valkey else []
        for part in (*valkey, self._kafka, self._model_server):
            if part is not None and not part.alive:
                return part.failure("has ended")
        return self._services.failure()

    def stop(self, report: Report = lambda _: None) -> None:
        """Stop everything in order; blocks. May be called twice."""
        report("the bridge drains, then the workers end")
        self._services.stop()
        report("Redis, Kafka and the model server end")
        for part in (self._valkey, self._kafka, self._model_server):
            if part is not None:
                part.stop()

    def _start_servers(self, report: Report) -> None:
        self.log_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        report("Redis (Valkey)")
        # First, because its lock keeps a second stack out of this folder.
        self._valkey = EmbeddedValkey(self.root / "valkey", self.log_dir / "valkey.log")
        self._forget_former_run()
        report("Kafka (librdkafka's mock)")
        self._kafka = EmbeddedKafka(topics(), self.log_dir / "kafka.log")
        report("the demo model server")
        self._model_server = GuardedChild(
            [sys.executable, "-m", "agentsched.embedded.model_server"],
            log_path=self.log_dir / "model_server.log",
            env=environment(os.environ, self.config_path, {}),
            cwd=self.root,
            announces=True,
        )
        self.base_url = self._model_server.read_line(MODEL_SERVER_START_S)

    def _forget_former_run(self) -> None:
        """Kafka has forgotten its offsets: a ledger that knows them would mislead."""
        with redis.Redis.from_url(self.redis_url) as client:
            client.flushall()

    def _start_agentsched(self, report: Report) -> None:
        write_config(
            self.config_path,
            bootstrap=self.bootstrap,
            redis_url=self.redis_url,
            base_url=self.base_url,
        )
        report("the bridge")
        self._services.start_bridge()
        for model in DEMO_MODELS:
            report(f"the worker of {model.name}")
            self._services.start_worker(model.queue)

    def _wait_for_workers(self, report: Report) -> None:
        names = [model.name for model in DEMO_MODELS]
        with contextlib.closing(RedisLedger.from_url(self.redis_url)) as ledger:

            def live_slots() -> Mapping[str, int]:
                live = ledger.live_slots()
                missing = [name for name in names if name not in live]
                if missing:
                    report(f"waiting for workers of {', '.join(missing)}")
                return live

            self._services.wait_for(names, live_slots, WORKERS_START_S)
