"""Makes a failing plan small: leaves out whatever is not needed for the same failure."""

from collections.abc import Callable, Sequence

from tests.simulation.plan import Plan
from tests.simulation.system import Parts, Run, run

MAX_RUNS = 400
"""A few seconds."""


class Shrunk:
    """A plan, and what is left of it: numbers of requests and faults."""

    def __init__(self, plan: Plan, parts: Parts) -> None:
        self._plan = plan
        self._parts = parts
        self._runs = 0
        self.submissions = list(range(len(plan.submissions)))
        self.faults = list(range(len(plan.faults)))
        self.kind = kind_of(run(plan, parts))
        self._shrink()

    @property
    def plan(self) -> Plan:
        """The plan without what is not needed."""
        return self._plan.only(self.submissions, self.faults)

    def _shrink(self) -> None:
        before = None
        while before != (before := (len(self.submissions), len(self.faults))):
            self.faults = self._fewer(
                self.faults, lambda left: self._plan.only(self.submissions, left)
            )
            self.submissions = self._fewer(
                self.submissions, lambda left: self._plan.only(left, self.faults)
            )

    def _fewer(
        self, numbers: Sequence[int], plan_of: Callable[[list[int]], Plan]
    ) -> list[int]:
        """Leave out halves, quarters ... single ones, as long as it still fails."""
        kept = list(numbers)
        size = max(1, len(kept) // 2)
        while size and self._runs < MAX_RUNS:
            for first in range(0, len(kept), size):
                left = kept[:first] + kept[first + size :]
                if len(left) < len(kept) and self._fails(plan_of(left)):
                    kept = left
                    break
            else:
                size //= 2
        return kept

    def _fails(self, plan: Plan) -> bool:
        self._runs += 1
        return kind_of(run(plan, self._parts)) == self.kind


def kind_of(result: Run) -> str:
    """Name the first broken promise without its particulars."""
    if not result.violations:
        return ""
    return result.violations[0].partition(" ms: ")[2].partition(":")[0]


def report(result: Run) -> str:
    """Say what a failing run broke, and how to see its history."""
    seed = result.plan.seed
    shrunk = Shrunk(result.plan, Parts())
    parts = (
        f"--requests {_listed(shrunk.submissions)} --faults {_listed(shrunk.faults)}"
    )
    broken = "\n".join(f"  {one}" for one in result.violations[:5])
    return (
        f"seed {seed} broke a promise:\n{broken}\n"
        f"See all of it:   .venv/bin/python -m tests.simulation {seed}\n"
        f"What is needed:  .venv/bin/python -m tests.simulation {seed} {parts}"
    )


def _listed(numbers: Sequence[int]) -> str:
    return ",".join(map(str, numbers)) or "none"
