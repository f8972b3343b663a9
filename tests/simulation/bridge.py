"""A bridge process: the real daemon, effects and change reader, around simulated adapters."""

from collections.abc import Callable
from typing import Any

from agentsched.kafka.group.assignment import PartitionOwner
from bridge.change_log import ChangeReader
from bridge.core.rules import Rules
from bridge.daemon import Daemon
from bridge.effects import Effects, Outside
from bridge.kafka_thread import KafkaThread
from tests.simulation.doorbells import SimDoorbells, SimQueues
from tests.simulation.kafka import Group, SimKafka
from tests.simulation.redis import LedgerClient, SimRedis
from tests.simulation.sink import SimSink
from tests.simulation.source import SimSource
from tests.simulation.waiting import (
    SimEvent,
    SimExecutor,
    SimInbox,
    SimThread,
    Unobserved,
)
from tests.simulation.world import Process, World


class SimBridge:
    """One bridge, from its start to its end.

    Args:
        skew_ms: how far the wall clock of its machine is off.
    """

    def __init__(
        self,
        world: World,
        redis: SimRedis,
        kafka: SimKafka,
        group: Group,
        queues: SimQueues,
        rules: Rules,
        name: str,
        skew_ms: int,
        effects: type[Effects] = Effects,
    ) -> None:
        self._world = world
        self.process = process = world.start(name)
        self.ledger = LedgerClient(redis, process)
        self.doorbells = SimDoorbells(world, queues, process, rules.settings.models)
        timeout_ms = round(rules.settings.timing.delivery_timeout_s * 1000)
        self.sink = SimSink(world, kafka, process, timeout_ms)
        now_ms = lambda: world.now_ms + skew_ms  # noqa: E731
        outside = Outside(
            ledger=self.ledger,  # type: ignore[arg-type]
            membership=self.ledger,  # type: ignore[arg-type]
            operations=self.ledger,  # type: ignore[arg-type]
            doorbells=self.doorbells,
            sink=self.sink,  # type: ignore[arg-type]
            read_back=kafka.read_back,
            look_up=kafka.look_up,
            now_ms=now_ms,
            make_thread=lambda _: SimExecutor(world, process),  # type: ignore[arg-type,return-value]
        )
        self._inbox = inbox = SimInbox(world)
        observer: Any = Unobserved()
        self._effects = effects(outside, rules, f"{process}", inbox.put, observer)
        self.daemon = Daemon(
            rules=rules,
            effects=self._effects,
            make_source=lambda daemon: self._kafka_thread(kafka, group, daemon),
            reader=self._reader(now_ms),
            now_ms=now_ms,
            known_pulse=group.known_pulse,
            inbox=inbox,  # type: ignore[arg-type]
            observer=observer,
        )
        world.spawn(process, self._run)

    def stop(self) -> None:
        """Ask it to drain and end, as SIGTERM does."""
        self._world.note(self.process, "leaves")
        self.daemon.stop()

    def _run(self) -> None:
        self.daemon.run()
        self._world.after(0, lambda _: self._world.kill(self.process))

    def _kafka_thread(
        self, kafka: SimKafka, group: Group, daemon: Daemon
    ) -> KafkaThread:
        world, process = self._world, self.process

        def make_source(owner: PartitionOwner) -> SimSource:
            self.source = SimSource(world, kafka, group, process, owner)
            return self.source

        return KafkaThread(
            make_source,
            daemon,
            self._inbox.put,
            make_event=lambda: SimEvent(world),  # type: ignore[arg-type,return-value]
            make_thread=lambda run: SimThread(world, process, run),  # type: ignore[arg-type,return-value]
        )

    def _reader(self, now_ms: Callable[[], int]) -> ChangeReader:
        world, process = self._world, self.process
        return ChangeReader(
            self.ledger,  # type: ignore[arg-type]
            self._inbox.put,
            now_ms,
            make_event=lambda: SimEvent(world),  # type: ignore[arg-type,return-value]
            make_thread=lambda run: SimThread(world, process, run),  # type: ignore[arg-type,return-value]
        )


def dead(process: Process) -> bool:
    """Return whether a process has ended."""
    return not process.alive
