"""Measures what the bridge's core costs: microseconds a step, whatever the installation's size.

Run ``python benchmarks/core_cost.py`` (a minute; ``--full`` goes to 1,000,000 waiting, and
takes 2 GB and some minutes). One axis varies at a time, the others stay small:

- `slots`: slots of one model, all in use;
- `models`: models with four endpoints each;
- `agents`: agents that the configuration names, and that have sent something;
- `waiting`: indexed requests that wait in Kafka.

`idle` is an event that starts nothing, with its round. `start` is one request from its
record to its answer, in rounds of eight: read, admitted, listed, taken, freed, settled.
`dispatch` is the dispatcher's part of it alone: another bridge's request becomes READY, is
taken and freed. Processor time, the best of three; `ratio` is the largest to the smallest.
Last, the dispatcher alone at 1,000 slots over 50 models with two endpoints, starts a second.
"""

import argparse
import gc
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count, islice

from agentsched.config.settings import Settings
from agentsched.ledger.operator_orders import Controls
from agentsched.ledger.turns import Planned, PlanOutcome
from agentsched.ledger.values import (
    AdmitOutcome,
    Admitted,
    Change,
    ChangeKind,
    PartitionView,
    ReadyEntry,
    Slot,
    Snapshot,
    State,
)
from agentsched.wire.records import InboundRecord, Partition
from agentsched.wire.request_facts import RequestFacts
from bridge.core import commands as do
from bridge.core import events as ev
from bridge.core.rules import Rules
from bridge.core.state import BridgeState
from bridge.core.step import step

NOW_MS = 1_900_000_000_000
PARTITION, SOURCE = Partition("low", 0), "low:t:0"
ROUND = 8
REPEATS = 3
PAYLOAD = "x" * 100


class Core:
    """One bridge that leads, owns a partition and has every slot in use.

    Args:
        slots: over all models.
        models: how many.
        endpoints: of each model.
        agents: how many are configured, and have sent something.
        waiting: requests in Kafka beyond those of the ready set.
    """

    def __init__(
        self, slots: int, models: int, endpoints: int, agents: int, waiting: int
    ) -> None:
        self.models, self.endpoints, self.agents = models, endpoints, agents
        capacity = max(1, slots // (models * endpoints))
        self.state = BridgeState(Rules(self._settings(capacity)), epoch="e1")
        self.state.controls = Controls()
        self.numbers, self.places = count(), count(1)
        self.running: list[tuple[str, int, str]] = []
        """Key, offset (-1: another bridge's) and model of what runs, oldest first."""
        self.said: list[do.Command] = []
        self.spent_s = 0.0
        """Processor time in the core alone."""
        live = {f"m{n}": capacity * endpoints for n in range(models)}
        self.feed(ev.PeersSeen(1, leading=True, live_slots=live, now_ms=NOW_MS))
        self.feed(ev.Assigned(PARTITION, SOURCE, 0, 0))
        self.feed(ev.PartitionLoaded(SOURCE, PartitionView((), {})))
        self.feed(ev.Committed(PARTITION, 0))
        self.feed(ev.Synced(Snapshot("0-0", NOW_MS, (), ()), NOW_MS))
        self._fill(capacity * endpoints * models, waiting)

    def feed(self, event: ev.Event) -> None:
        """Give it an event, and collect what it says."""
        began = time.process_time()
        self.state, said = step(self.state, event)
        self.spent_s += time.process_time() - began
        self.said += said

    def round(self) -> None:
        """End a turn of the loop; play the ledger until nothing more is asked."""
        self.feed(ev.Round(NOW_MS))
        while self.said:
            said, self.said = self.said, []
            for command in said:
                self._answer(command)

    def _answer(self, command: do.Command) -> None:
        match command:
            case do.Admit(admissions):
                places = tuple((a.facts.source, a.facts.offset) for a in admissions)
                new = (Admitted(AdmitOutcome.NEW, State.READY),) * len(places)
                self.feed(ev.AdmitAnswered(places, new, NOW_MS))
                self.change(
                    Change(ChangeKind.READY, key=a.facts.key, ready=ReadyEntry(a.facts))
                    for a in admissions
                )
            case do.PlanStarts():
                answer = Planned(PlanOutcome.PLANNED)
                self.feed(ev.Planned(command, answer, NOW_MS))

    def change(self, changes: Iterator[Change]) -> None:
        """Say what happened, as one entry of the change log."""
        at = f"{next(self.places)}-0"
        told = tuple(replace(change, at=at) for change in changes)
        self.feed(ev.Changed(told, NOW_MS, "e1"))

    def records(self, number: int) -> tuple[InboundRecord, ...]:
        """Make so many records of all agents and models in turn."""
        return tuple(map(self._record, islice(self.numbers, number)))

    def ready(self) -> ReadyEntry:
        """Make an entry of another bridge."""
        number = next(self.numbers)
        model, agent = f"m{number % self.models}", f"a{number % self.agents}"
        facts = RequestFacts(
            key=f"k{number:030}",
            agent_id=agent,
            correlation_id=f"c{number}",
            group=agent,
            cls="low",
            models=(model,),
            task_type="text_generation",
            tokens=10,
            arrival_ms=NOW_MS,
            deadline_ms=NOW_MS + 600_000,
            topic="low",
            partition=1,
            offset=number,
            source="low:t:1",
            reply_topic="results",
        )
        return ReadyEntry(facts)

    def taken(self, key: str, model: str, offset: int) -> Change:
        """A slot takes a request."""
        self.running.append((key, offset, model))
        endpoint = self.state.rules.models[model].endpoints[0].name
        return Change(ChangeKind.TAKEN, key=key, slot=Slot(key, model, endpoint, "low"))

    def first_listed(self, model: str) -> tuple[str, int]:
        """Return the key of what stands first at a model, and its offset here."""
        lead = self.state.lead
        member = next(lead.lists.first(lead.board, model))
        entry = self.state.by_key.get(member.key)
        return member.key, -1 if entry is None else entry.offset

    def _record(self, number: int) -> InboundRecord:
        body = {
            "id": f"i{number}",
            "content": PAYLOAD,
            "correlation_id": f"c{number}",
            "agent_id": f"a{number % self.agents}",
            "model_id": f"m{number % self.models}",
            "priority": "low",
        }
        value = json.dumps(body).encode()
        return InboundRecord("low", 0, number, NOW_MS, value)

    def _settings(self, capacity: int) -> Settings:
        def endpoint(model: int, number: int) -> dict[str, object]:
            url = f"http://127.0.0.1:{1 + number}/{model}/v1"
            return {"base_url": url, "capacity": capacity}

        models = [
            {
                "name": f"m{model}",
                "endpoints": [endpoint(model, n) for n in range(self.endpoints)],
            }
            for model in range(self.models)
        ]
        agents = [{"id": f"a{number}", "weight": 1} for number in range(self.agents)]
        topics = {"input_topics": ["low"]}
        return Settings.model_validate(
            {
                "models": models,
                "agents": agents,
                "kafka": topics,
                "connection_pool": {"max_connections": 10_000},
            }
        )

    def _fill(self, slots: int, waiting: int) -> None:
        ready = self.state.rules.ready_max_entries
        for _ in range((slots + ready + waiting) // 500 + 1):
            self.feed(ev.Read(self.records(500), NOW_MS))
            self.round()
        models = [f"m{number}" for number in range(self.models)]
        for number in range(slots):
            model = models[number % self.models]
            key, offset = self.first_listed(model)
            self.change(iter([self.taken(key, model, offset)]))
            if number % ROUND == 0:
                self.round()
        self.round()


def idle(core: Core) -> None:
    """An event that starts nothing, and its round."""
    core.feed(ev.OffsetSettled("unknown", 1))
    core.round()


def start(core: Core) -> None:
    """Some requests end, others start, and as many are read."""
    core.feed(ev.Read(core.records(ROUND), NOW_MS))
    ended, core.running = core.running[:ROUND], core.running[ROUND:]
    told: list[Change] = []
    for key, offset, model in ended:
        told.append(Change(ChangeKind.FREED, key=key))
        told.append(Change(ChangeKind.SETTLED, key=key, source=SOURCE, offset=offset))
        following, at = core.first_listed(model)
        core.change(iter([core.taken(following, model, at)]))
    core.change(iter(told))
    core.round()


def dispatch(core: Core) -> None:
    """As `start`, of another bridge's requests."""
    ready = [core.ready() for _ in range(ROUND)]
    core.change(
        Change(ChangeKind.READY, key=entry.facts.key, ready=entry) for entry in ready
    )
    told: list[Change] = []
    ended, core.running = core.running[:ROUND], core.running[ROUND:]
    for (key, _, _), entry in zip(ended, ready, strict=True):
        told.append(Change(ChangeKind.FREED, key=key))
        facts = entry.facts
        told.append(core.taken(facts.key, facts.models[0], -1))
    core.change(iter(told))
    core.round()


def cost_us(core: Core, what: Callable[[Core], None], times: int, each: int) -> float:
    """Return the processor time of one, in microseconds: the best of three."""
    best = float("inf")
    for _ in range(REPEATS):
        core.spent_s = 0.0
        for _ in range(times):
            what(core)
        best = min(best, core.spent_s / times / each)
    return best * 1e6


BASE = {"slots": 64, "models": 1, "endpoints": 4, "agents": 10, "waiting": 1_000}
AXES = {
    "slots": ("slots", (8, 100, 1_000, 10_000)),
    "models": ("models", (1, 10, 100)),
    "agents": ("agents", (10, 1_000, 100_000)),
    "waiting": ("waiting", (1_000, 10_000, 100_000)),
}


def measured(**sizes: int) -> tuple[float, float, float]:
    """Return what an idle event, a start and the dispatcher's part of one cost."""
    core = Core(**(BASE | sizes))
    gc.collect()
    gc.freeze()
    costs = (
        cost_us(core, idle, 2_000, 1),
        cost_us(core, start, 60, ROUND),
        cost_us(core, dispatch, 100, ROUND),
    )
    gc.unfreeze()
    return costs


def main() -> None:
    """Print a table for each axis."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true", help="1,000,000 waiting, too")
    parser.add_argument("--axis", choices=AXES, action="append", help="only this one")
    options = parser.parse_args()
    for axis in options.axis or AXES:
        name, sizes = AXES[axis]
        if options.full and axis == "waiting":
            sizes = (*sizes, 1_000_000)
        rows = []
        for size in sizes:
            more = {"slots": 64 * size} if axis == "models" else {}
            rows.append(measured(**{name: size}, **more))
            print(
                f"{axis:8} {size:>9,}", *(f"{us:7.1f}" for us in rows[-1]), flush=True
            )
        ratios = (max(column) / min(column) for column in zip(*rows, strict=True))
        print(f"{axis:8} {'ratio':>9}", *(f"{ratio:7.2f}" for ratio in ratios))
    core = Core(1_000, 50, 2, 10, 1_000)
    print(
        f"dispatcher alone: {1e6 / cost_us(core, dispatch, 100, ROUND):,.0f} starts/s"
    )


if __name__ == "__main__":
    print(f"{'':18} {'idle':>7} {'start':>7} {'dispatch':>8}  us")
    main()
