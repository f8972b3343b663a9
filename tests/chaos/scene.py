"""What chaos happens to: three Kafka nodes, Valkey, bridges, workers, a model server.

Bridges and workers reach Kafka and Redis through fault proxies of their own; the tests'
own clients go straight. What dies is started again, as a supervisor would.
"""

import contextlib
import os
import random
import shutil
import signal
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Self

import redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry

from agentsched.client.client import AgentClient
from agentsched.embedded.child_process import GuardedChild
from agentsched.embedded.services import environment
from agentsched.embedded.valkey import EmbeddedValkey
from agentsched.errors import EmbeddedError, LedgerError
from tests.chaos.proxy import FaultProxy
from tests.support import harmed
from tests.support.kafka_cluster import KafkaCluster, free_ports
from tests.support.model_server import Answer, ModelServer
from tests.support.system import System

if TYPE_CHECKING:
    from concurrent.futures import Future

BRIDGE, WORKER = "bridge", "worker"
ROLES = (BRIDGE, WORKER)
MODELS = {"alpha": 8, "beta": 4}
RESTART_S = 1.0
SUPERVISE_S = 0.1
TTL_S = 90
"""Ends calls that hang: outlasts every outage, and ends before the quiet phase does."""
CANARY = "canary-7d1f"
"""Stands in every prompt, and may stand in no log."""


class ProxiedKafka(KafkaCluster):
    """Nodes with one listener more for each role, which is reached through a proxy."""

    def __init__(self, nodes: int) -> None:
        self._inner = {role: free_ports(nodes) for role in ROLES}
        outer = {role: free_ports(nodes) for role in ROLES}
        self.proxies = {
            role: [
                FaultProxy(*pair)
                for pair in zip(self._inner[role], outer[role], strict=True)
            ]
            for role in ROLES
        }
        ports = free_ports(nodes)
        self._own_ports = ports
        super().__init__(nodes, ports=ports, overrides=self._listeners)

    def bootstrap_of(self, role: str) -> str:
        return ",".join(f"127.0.0.1:{proxy.port}" for proxy in self.proxies[role])

    def start(self) -> Self:
        self._opened = contextlib.ExitStack()
        for proxies in self.proxies.values():
            for proxy in proxies:
                self._opened.enter_context(proxy)
        return super().start()

    def stop(self, *, keep_logs: bool = False) -> None:
        super().stop(keep_logs=keep_logs)
        self._opened.close()

    def _listeners(self, index: int) -> dict[str, object]:
        own, controller = self._own_ports[index], self._controllers[index]
        names = {role: role.upper() for role in ROLES}
        listens = [
            f"PLAINTEXT://127.0.0.1:{own}",
            f"CONTROLLER://127.0.0.1:{controller}",
        ]
        says = [f"PLAINTEXT://127.0.0.1:{own}"]
        for role, name in names.items():
            listens.append(f"{name}://127.0.0.1:{self._inner[role][index]}")
            says.append(f"{name}://127.0.0.1:{self.proxies[role][index].port}")
        plain = ["CONTROLLER", "PLAINTEXT", *names.values()]
        return {
            "listeners": ",".join(listens),
            "advertised.listeners": ",".join(says),
            "listener.security.protocol.map": ",".join(f"{n}:PLAINTEXT" for n in plain),
            "inter.broker.listener.name": "PLAINTEXT",
            "group.min.session.timeout.ms": 3000,
        }


class Scene(System):
    """The system, with handles for the nemesis.

    Args:
        root: folder for everything.
        kafka: the cluster.
        seed: for the model server's delays.
        lease_s: of the workers; shorter makes a run denser.
        horizon_s: how long an answered request is remembered.
        spared: the names of processes that no fault kills.
    """

    def __init__(
        self,
        root: Path,
        kafka: ProxiedKafka,
        seed: int,
        lease_s: float,
        horizon_s: int = 3600,
        spared: frozenset[str] = frozenset(),
    ) -> None:
        self._spared = spared
        self._chance = random.Random(seed)
        self.misbehaves = None
        """Decides what the model server does instead; None: nothing."""
        server = ModelServer(script=self._script)
        config = {
            "timing": {"lease_s": lease_s, "renew_s": lease_s / 3},
            "limits": {"ttl_s": TTL_S, "horizon_s": horizon_s},
            "logging": {"level": "debug", "format": "json"},
        }
        super().__init__(
            root,
            kafka,
            server,
            MODELS,
            partitions=2,
            config=config,
            python_path=harmed.FOLDER,
        )
        self.poison: list[tuple[str, str, Future]] = []
        """Id, class and place of requests that kill whoever reads them."""
        self._held: set[str] = set()
        self._roles: dict[str, tuple[str, list[str]]] = {}
        self._over = threading.Event()
        self._lock = threading.RLock()
        self._supervisor = threading.Thread(target=self._supervise, name="supervisor")

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            stack.enter_context(self.server)
            ports = free_ports(2)
            self.redis_proxies = {
                role: stack.enter_context(FaultProxy(0, port))
                for role, port in zip(ROLES, ports, strict=True)
            }
            super().__enter__()
            stack.callback(self._stop_valkey)
            stack.push(super().__exit__)
            for proxy in self.redis_proxies.values():
                proxy._target_port = self.valkey.port
            self.client = AgentClient.of(self.settings, agent_id="asking")
            stack.callback(self.client.close)
            self.start(bridges=2, workers=2)
            self._supervisor.start()
            stack.callback(self._stop_supervising)
            self._outer = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._outer.close()

    def _stop_supervising(self) -> None:
        self._over.set()
        self._supervisor.join()

    def _stop_valkey(self) -> None:
        self.valkey.stop()  # the one that was started last

    # -- processes ----------------------------------------------------------------

    def names(self, role: str) -> list[str]:
        """The processes of a role that run now."""
        with self._lock:
            return sorted(n for n in self.children if n.startswith(role))

    def mortals(self, role: str) -> list[str]:
        """Those that a fault may end."""
        return [name for name in self.names(role) if name not in self._spared]

    def pids(self) -> dict[str, int]:
        """The process ids by name."""
        with self._lock:
            return {name: child.pid for name, child in self.children.items()}

    def set_clock(self, name: str, wrong_by_s: float) -> None:
        """Make a process's wall clock wrong, or (0) right again."""
        new = self.root / f"{name}.clock.new"
        new.write_text(str(wrong_by_s))
        new.rename(self._clock(name))

    def send_poison(self, cls: str) -> None:
        """Send a request that kills whoever reads it."""
        id_ = f"poison-{uuid.uuid4().hex[:12]}"
        body = {"id": id_, "correlation_id": id_, "messages": harmed.POISON}
        body |= {"ttl_s": 10 * TTL_S}
        headers = {"correlation_id": id_}
        future = self.producer.produce(body, self.topics[cls], headers)
        self.poison.append((id_, cls, future))

    def _clock(self, name: str) -> Path:
        return self.root / f"{name}.clock"

    def signal(self, name: str, number: int) -> None:
        with self._lock:
            if child := self.children.get(name):
                child.signal(number)

    @contextlib.contextmanager
    def held(self, name: str) -> Iterator[None]:
        """The supervisor leaves this one alone meanwhile."""
        with self._lock:
            self._held.add(name)
        try:
            yield
        finally:
            with self._lock:
                self._held.discard(name)

    def add_bridge(self, name: str) -> None:
        with self._lock:
            self.bridge(name)

    def retire(self, name: str) -> None:
        """End one in order, and do not start it again."""
        with self._lock:
            child = self.children.pop(name, None)
            self._roles.pop(name, None)
        if child is not None:
            child.stop(40)

    def live_slots(self) -> dict[str, int]:
        """Slots per model; none while Redis does not answer."""
        with contextlib.suppress(LedgerError):
            return self.ledger.membership.live_slots()
        return {}

    def left_over(self) -> dict[str, int]:
        """What should be nothing once all is answered."""
        found = self.ledger.snapshot(self.ledger.views.epoch() or "")
        return {"READY entries": len(found.ready), "slots in use": len(found.slots)}

    # -- Redis --------------------------------------------------------------------

    def kill_redis(self) -> None:
        self.valkey.child.signal(signal.SIGKILL)
        self.valkey.child.stop()

    def start_redis(self) -> None:
        folder, log = self.root / "valkey", self.root / "valkey.log"
        self.valkey = EmbeddedValkey(folder, log, self.valkey.port)
        with self.redis_client() as client:
            client.dbsize()

    def redis_client(self) -> redis.Redis:
        """A client that waits while Redis is loading its file."""
        return redis.Redis.from_url(
            self.valkey.url, retry=Retry(ConstantBackoff(0.1), 300)
        )

    def copy_redis(self) -> Path:
        """Keep a copy of the append-only file as it is now."""
        copy = self.root / "valkey-copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(self.root / "valkey" / "appendonlydir", copy)
        return copy

    def roll_back_redis(self, copy: Path) -> None:
        """Kill Redis, and start it with an older state: a late replica was promoted."""
        self.kill_redis()
        now = self.root / "valkey" / "appendonlydir"
        shutil.rmtree(now)
        shutil.copytree(copy, now)
        self.start_redis()

    # -- inside -------------------------------------------------------------------

    def _script(self, asked):
        misbehaves = self.misbehaves
        if misbehaves is not None and (step := misbehaves(asked)) is not None:
            return step
        return Answer(delay_s=self._chance.uniform(0.02, 0.4))

    def _start(self, name: str, command: list[str]) -> GuardedChild:
        role = BRIDGE if name.startswith(BRIDGE) else WORKER
        proxy = self.redis_proxies[role]
        child = GuardedChild(
            [sys.executable, *command],
            log_path=self.root / f"{name}.log",
            env=environment(
                os.environ | {"PYTHONPATH": os.pathsep.join(self._python_path)},
                self.root / "agentsched.yaml",
                {
                    "BOOTSTRAP_SERVERS": self.kafka.bootstrap_of(role),
                    "REDIS_URL": f"redis://127.0.0.1:{proxy.port}/0",
                    harmed.CLOCK: str(self._clock(name)),
                },
            ),
            cwd=self.root,
        )
        with self._lock:
            self.children[name] = child
            self._roles[name] = (role, command)
        return child

    def _supervise(self) -> None:
        dead_since: dict[str, float] = {}
        while not self._over.wait(SUPERVISE_S):
            with self._lock:
                dead = [
                    name
                    for name, child in self.children.items()
                    if not child.alive and name not in self._held
                ]
                now = time.monotonic()
                dead_since = {name: dead_since.get(name, now) for name in dead}
                for name, since in list(dead_since.items()):
                    if now - since >= RESTART_S:
                        self._start_again(name)

    def _start_again(self, name: str) -> None:
        self.children.pop(name).stop()
        with contextlib.suppress(EmbeddedError):
            self._start(name, self._roles[name][1])
