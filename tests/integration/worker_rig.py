"""A real worker with everything around it but the bridge, whose part the test plays."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

from celery import Celery

from agentsched.celery.queues import CeleryDoorbells
from agentsched.celery.settings import celery_settings
from agentsched.config.settings import Settings
from agentsched.embedded.kafka import EmbeddedKafka
from agentsched.ledger.redis.ledger import RedisLedger
from agentsched.ledger.turns import Member, Plan, PlanOutcome, PoolList
from agentsched.ledger.values import Admission, Limits, State
from agentsched.wire.codec import encode_message, hash_value
from agentsched.wire.doorbell import Doorbell
from tests.support.model_server import ModelServer
from tests.support.replies import RawReplies
from tests.support.requests import facts
from tests.support.waiting import eventually

CELERY = (sys.executable, "-m", "celery", "-A", "agentsched")
DISPATCHER = "the-test"
ORDER = ("high", "medium", "low")
ROOT = Path(__file__).parents[2]
SETTINGS_FILE = "worker.json"


class WorkerRig:
    """Kafka, a ledger, a model server and workers; a context manager.

    Args:
        root: folder for configuration and logs.
        redis_url: any Redis, or the whole section; the rig has a namespace there.
        models: name -> capacity.
        secrets: variable -> API key, in the environment of its processes.
        timing: changes to `timing:`.
    """

    def __init__(
        self,
        root: Path,
        redis_url: str | Mapping[str, Any],
        models: Mapping[str, int],
        *,
        secrets: Mapping[str, str] | None = None,
        **timing: float,
    ) -> None:
        self.root = root
        self.server = ModelServer()
        self._redis = {"url": redis_url} if isinstance(redis_url, str) else redis_url
        self._models = models
        self._secrets = dict(secrets or {})
        self._timing = timing
        self._workers: list[subprocess.Popen[bytes]] = []
        self._offset = self._plans = self._revision = 0
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            kafka = EmbeddedKafka({"results": 1}, self.root / "kafka.log")
            stack.callback(kafka.stop)
            stack.enter_context(self.server)
            self.settings = self._make_settings(kafka.bootstrap)
            (self.root / SETTINGS_FILE).write_text(
                json.dumps(self.settings.model_dump(mode="json"))
            )
            self.ledger = RedisLedger.of(self.settings)
            stack.callback(self.ledger.close)
            self.app = Celery("rig", set_as_current=False)
            self.app.conf.update(celery_settings(self.settings))
            stack.callback(self.app.close)
            self.doorbells = CeleryDoorbells(self.settings)
            stack.callback(self.doorbells.close)
            self.replies = stack.enter_context(RawReplies(kafka.bootstrap, "results"))
            stack.callback(self._kill_workers)
            self.epoch = self.ledger.membership.beat().pulse.epoch
            self.ledger.set_limits(self.epoch, self._limits())
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def environ(self) -> dict[str, str]:
        """What a process of AgentSched needs to find this rig."""
        return (
            os.environ
            | self._secrets
            | {
                "AGENTSCHED_CONFIG": str(self.root / SETTINGS_FILE),
                "PYTHONPATH": str(ROOT),
            }
        )

    def worker(self, *options: str, config: str = "") -> "subprocess.Popen[bytes]":
        """Start `celery -A agentsched worker` with more options; does not wait.

        Args:
            options: of `worker`.
            config: a module of the user's in `root`, for `celery --config`.
        """
        chosen = ["--config", config] if config else []
        return self.start_celery([*chosen, "worker", *options])

    def start_celery(self, words: Sequence[str]) -> "subprocess.Popen[bytes]":
        """Start `celery -A agentsched` with these words; it ends with the rig."""
        number = len(self._workers)
        with (self.root / f"worker{number}.log").open("wb") as log:
            process = subprocess.Popen(
                [*CELERY, *words],
                cwd=self.root,
                env=self.environ,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self._workers.append(process)
        return process

    def ready_worker(
        self, *options: str, config: str = ""
    ) -> "subprocess.Popen[bytes]":
        """Start a worker, and wait until it offers slots."""
        process = self.worker(*options, config=config)
        eventually(
            lambda: self.ledger.membership.live_slots() or process.poll() is not None,
            timeout_s=30,
            message=f"a worker takes work; its log is in {self.root}",
        )
        assert process.poll() is None, self.log()
        return process

    def admitted(self, model: str = "gpt-4", cls: str = "high", **fields: Any) -> str:
        """Admit one request; returns its key. It is not listed yet, and nothing rang."""
        self._offset += 1
        ttl_s = fields.pop("ttl_s", 600)
        key = uuid4().hex
        seconds, micros = self.ledger._client.time()
        now_ms = seconds * 1000 + micros // 1000
        request = facts(
            key,
            cls=cls,
            models=(model,),
            offset=self._offset,
            arrival_ms=now_ms,
            deadline_ms=now_ms + round(ttl_s * 1000),
        )
        payload = encode_message({"id": key, "content": f"prompt of {key}"} | fields)
        self.ledger.admit(
            self.epoch, [Admission(request, payload, hash_value(payload))]
        )
        return key

    def plan(self) -> None:
        """List all that is ready as it was admitted, the better class first."""
        assert self.ledger.membership.lead(DISPATCHER, 60_000)
        ready = sorted(
            self.ledger.snapshot(self.epoch).ready,
            key=lambda one: (ORDER.index(one.facts.cls), one.facts.offset),
        )
        lists = tuple(
            PoolList(
                model,
                self.server.base_url,
                tuple(
                    Member(one.facts.key, one.payload_hash, one.turn, order)
                    for order, one in enumerate(ready)
                    if model in one.facts.models
                ),
            )
            for model in self._models
        )
        self._plans += 1
        plan = Plan(DISPATCHER, self._plans, self._revision, "", lists)
        planned = self.ledger.plan(self.epoch, plan)
        if planned.outcome is PlanOutcome.OLD_REVISION:
            self._revision = planned.revision
            self.plan()
        else:
            assert planned.outcome is PlanOutcome.PLANNED

    def ring(self, *keys: str, model: str = "gpt-4", cls: str = "high") -> None:
        """List what is ready, and send these doorbells."""
        self.plan()
        self.doorbells.ring([self.doorbell(key, model, cls) for key in keys])

    def doorbell(
        self, key: str, model: str = "gpt-4", cls: str = "high", turn: int = 1
    ) -> Doorbell:
        request = facts(key, cls=cls)
        return Doorbell.of(request, turn, self.epoch, model)

    def request(self, model: str = "gpt-4", cls: str = "high", **fields: Any) -> str:
        """Admit, list and ring."""
        key = self.admitted(model, cls, **fields)
        self.ring(key, model=model, cls=cls)
        return key

    def reply_to(self, key: str, timeout_s: float = 15) -> dict[str, Any]:
        """The reply on Kafka, once it is there."""
        return self.replies.wait_for({f"c-{key}"}, timeout_s)[f"c-{key}"]

    def state(self, key: str) -> State | None:
        view = self.ledger.inspect(self.epoch, [key])[0]
        return view.state if view else None

    def wait_for_state(self, key: str, state: State) -> None:
        eventually(
            lambda: self.state(key) is state,
            timeout_s=15,
            message=f"{key} is {state}, not {self.state(key)}",
        )

    def wait_for_calls(self, count: int) -> None:
        eventually(
            lambda: len(self.server.calls) >= count, message=f"{count} calls begin"
        )

    def stop(self, process: "subprocess.Popen[bytes]", timeout_s: float = 240) -> int:
        """SIGTERM, and wait for the end; returns the exit code."""
        process.send_signal(signal.SIGTERM)
        return process.wait(timeout_s)

    def inspect(self) -> dict[str, Any]:
        """What `celery inspect stats` shows, by node name."""
        inspect = self.app.control.inspect(timeout=20)
        # Else it waits all that time for more of them.
        inspect.limit = sum(process.poll() is None for process in self._workers)
        return inspect.stats() or {}

    def celery(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """Run `celery -A agentsched` with these words to its end, which is a good one."""
        return subprocess.run(
            [*CELERY, *words],
            cwd=self.root,
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=240,
            check=True,
        )

    def log(self, number: int = 0) -> str:
        return (self.root / f"worker{number}.log").read_text("utf-8", "replace")

    def _limits(self) -> Limits:
        # More than the workers have: their slots are what binds.
        return replace(
            Limits(capacity={}),
            capacity={(name, self.server.base_url): 200 for name in self._models},
        )

    def _make_settings(self, bootstrap: str) -> Settings:
        endpoint = {
            "base_url": self.server.base_url,
            "api_key_env": next(iter(self._secrets), None),
        }
        return Settings.model_validate(
            {
                "namespace": f"rig-{uuid4().hex[:8]}",
                "kafka": {"bootstrap_servers": [bootstrap]},
                "redis": dict(self._redis),
                "timing": self._timing,
                "models": [
                    {
                        "name": name,
                        "endpoints": [endpoint | {"capacity": capacity}],
                    }
                    for name, capacity in self._models.items()
                ],
            }
        )

    def _kill_workers(self) -> None:
        for process in self._workers:
            if process.poll() is None:
                process.kill()
            process.wait()
