"""One system that runs on the test stand: started, warmed up, watched, killed, ended."""

import contextlib
import os
import signal
from collections.abc import Mapping

from agentsched.embedded.child_process import GuardedChild
from benchmarks.suite.load import Load
from benchmarks.suite.model import Model
from benchmarks.suite.numbers import Call
from benchmarks.suite.systems import Program, Setting, System
from benchmarks.suite.usage import Usage, trees

READY_S = 120.0
STOP_S = 30.0
WARM_UP_ROUNDS = 4
"""Requests for each slot before anything is measured."""


class Session:
    """One system that runs, and what is needed to measure it."""

    def __init__(
        self,
        system: System,
        setting: Setting,
        load: Load,
        model: Model,
        servers: Mapping[str, int],
    ) -> None:
        self.system = system
        self.setting = setting
        self.load = load
        self.model = model
        self._servers = servers
        self._programs = {each.name: each for each in system.programs(setting)}
        self._children: dict[str, GuardedChild] = {}

    @property
    def slots(self) -> int:
        """Of all models together."""
        return sum(self.setting.slots.values())

    def start(self) -> None:
        """Start every process; does not wait for them."""
        for program in self._programs.values():
            self._start(program)

    def stop(self) -> None:
        """End every process in order; may be called twice."""
        for child in self._children.values():
            child.ask_to_stop()
        for child in self._children.values():
            child.stop(STOP_S)
        self._children.clear()

    def warm_up(self) -> None:
        """Wait until requests of every class are answered, and all slots were used."""
        self.model.set_delay(20)
        for cls in self.setting.topics:
            self.load.wait(self.load.send(cls, 2), READY_S, self.check)
        count = WARM_UP_ROUNDS * self.slots
        self.load.wait(self.load.send("medium", count), READY_S, self.check)
        self.model.take_calls()

    def check(self) -> None:
        """Raise EmbeddedError, with the log's end, where a process has ended."""
        for child in self._children.values():
            if not child.alive:
                raise child.failure("has ended")

    def usage(self) -> Usage:
        """Begin to count CPU time, of each process by its role."""
        return Usage(
            {name: child.pid for name, child in self._children.items()}
            | dict(self._servers)
        )

    def by_role(self, values: Mapping[str, float]) -> dict[str, float]:
        """Add up what was counted for processes of the same role."""
        summed: dict[str, float] = {}
        for name, value in values.items():
            role = self._programs[name].role if name in self._programs else name
            summed[role] = summed.get(role, 0.0) + value
        return summed

    def own(self, by_role: Mapping[str, float]) -> float:
        """Return the sum over the system's own processes, without the servers."""
        return sum(v for role, v in by_role.items() if role not in self._servers)

    def calls(self, ids: Mapping[str, int]) -> list[Call]:
        """Take the model server's calls; those of these requests."""
        return [call for call in self.model.take_calls() if call.id in ids]

    def kill_a_worker(self) -> str:
        """End one worker and all below it without a chance to say goodbye."""
        name = next(n for n, p in self._programs.items() if p.role == "worker")
        child = self._children.pop(name)
        for pid in trees([child.pid])[child.pid]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        child.stop()
        return name

    def restart(self, name: str) -> None:
        """Start a process that was killed."""
        self._start(self._programs[name])

    def _start(self, program: Program) -> None:
        self._children[program.name] = GuardedChild(
            program.argv,
            log_path=self.setting.folder / f"{program.name}.log",
            env=program.env,
            cwd=self.setting.folder,
        )
