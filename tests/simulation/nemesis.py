"""The hand that lets faults strike, and heals at the end; it knows the live processes."""

from agentsched.ledger.operator_orders import Control, ControlKind
from tests.simulation.bridge import SimBridge
from tests.simulation.kafka import Group
from tests.simulation.plan import MODELS, Fault
from tests.simulation.redis import Kept, SimRedis
from tests.simulation.worker import SimWorker
from tests.simulation.world import Process, World

HEALED_RESTART_MS = 500
RESTART_MS = 400
RESTORED_MS = 20_000
"""Bridges put back what Redis has lost of orders, also one that was lifted meanwhile."""


class Nemesis:
    """Carries out the faults of a plan."""

    def __init__(
        self,
        world: World,
        redis: SimRedis,
        group: Group,
        live: dict[str, SimBridge | SimWorker],
    ) -> None:
        self._world = world
        self._redis = redis
        self._group = group
        self._live = live
        self._operations = redis.ledger.operations
        self._quiet = False
        self._restart_ms: dict[str, int] = {}

    def strike(self, fault: Fault) -> None:
        """Let one fault happen, now or at one of the next boundaries."""
        if not self._quiet:
            self._world.note("fault", str(fault))
            getattr(self, f"_{fault.kind}")(fault)

    def restart_ms(self, name: str) -> int:
        """Return after how long a process that ended begins again."""
        after_ms = self._restart_ms.pop(name, HEALED_RESTART_MS)
        return HEALED_RESTART_MS if self._quiet else after_ms

    def heal(self) -> None:
        """No fault any more: everybody runs and reaches everybody."""
        self._world.note("fault", "all is healed")
        self._quiet = True
        self._redis.down_until_ms = 0
        for model in MODELS:
            for later_ms in range(0, RESTORED_MS, 1_000):
                self._world.after(later_ms, self._lift, model)
        for one in self._live.values():
            one.process.paused_until_ms = 0
            one.process.traps.clear()
            one.ledger.down_until_ms = 0
            for failing in (one.ledger, one.sink):
                failing.failures.clear()
            if isinstance(one, SimBridge):
                one.doorbells.failures.clear()
                one.source.failures.clear()

    def _trap(self, fault: Fault) -> Process | None:
        one = self._live.get(fault.target)
        return one.process if one else None

    def _kill(self, fault: Fault) -> None:
        if process := self._trap(fault):
            self._restart_ms[fault.target] = fault.ms
            process.traps.append((fault.count, self._do_kill))

    def _do_kill(self, process: Process) -> None:
        self._world.trouble(process, "killed")
        self._world.kill(process)

    def _pause(self, fault: Fault) -> None:
        if process := self._trap(fault):
            pause = lambda process: self._world.pause(process, fault.ms)  # noqa: E731
            process.traps.append((fault.count, pause))

    def _stop(self, fault: Fault) -> None:
        if one := self._live.get(fault.target):
            self._world.trouble(one.process, "stopped")
            self._restart_ms[fault.target] = fault.ms
            one.stop()

    def _steps(self, fault: Fault) -> None:
        if one := self._live.get(fault.target):
            one.ledger.failures += [fault.how] * fault.count

    def _orders(self, fault: Fault) -> None:
        """Operators pause a model for a while."""
        self._world.trouble(None, f"{fault.target} paused", fault.ms)
        self._operations.impose(Control(ControlKind.PAUSE, fault.target))
        self._redis.wake_readers()
        self._world.after(fault.ms, self._lift, fault.target)

    def _lift(self, model: str) -> None:
        self._operations.lift(ControlKind.PAUSE, model)
        self._redis.wake_readers()

    def _outage(self, fault: Fault) -> None:
        until_ms = self._world.now_ms + fault.ms
        one = self._live.get(fault.target)
        where = self._redis if fault.target == "redis" else one and one.ledger
        if where:
            process = one.process if one else None
            self._world.trouble(process, "redis unreachable", fault.ms)
            where.down_until_ms = max(where.down_until_ms, until_ms)

    def _flush(self, fault: Fault) -> None:
        self._world.trouble(None, "redis emptied")
        self._redis.lose()
        self._shake(fault)

    def _rollback(self, fault: Fault) -> None:
        self._world.after(fault.ms, self._put_back, (fault, self._redis.keep()))

    def _put_back(self, what: tuple[Fault, Kept]) -> None:
        fault, kept = what
        self._world.trouble(None, f"redis put back by {fault.ms} ms")
        self._redis.put_back(kept)
        self._shake(fault)

    def _shake(self, fault: Fault) -> None:
        """A server that starts anew is away for a moment; a promoted one may not be."""
        if fault.how == "restart":
            self._redis.down_until_ms = self._world.now_ms + RESTART_MS

    def _doorbells(self, fault: Fault) -> None:
        one = self._live.get(fault.target)
        if isinstance(one, SimBridge):
            one.doorbells.failures += [fault.how] * fault.count

    def _delivery(self, fault: Fault) -> None:
        if one := self._live.get(fault.target):
            one.sink.failures += [fault.how] * fault.count

    def _commits(self, fault: Fault) -> None:
        one = self._live.get(fault.target)
        if isinstance(one, SimBridge):
            one.source.failures += [fault.how] * fault.count

    def _rebalance(self, fault: Fault) -> None:
        del fault
        self._group.rebalance()

    def _session(self, fault: Fault) -> None:
        one = self._live.get(fault.target)
        if isinstance(one, SimBridge):
            one.source.kick()
