"""What a seed decides: the shape of the system, what agents send, which faults strike.

A plan is a value: leave out faults or requests, and run it again.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import lru_cache
from random import Random
from typing import Any

from agentsched.config.settings import Settings

TOPICS = ("high_priority", "medium_priority", "low_priority")
MODELS = ("gpt-4", "llama3")
AGENT = "planner"
POISON = "poison"
"""A request with this content ends the process that runs it."""
POISON_RATIO = 0.01
SEND_MS = 8_000
"""Agents send within this time."""
FAULTS_MS = 10_000
"""No fault strikes later."""


@dataclass(frozen=True)
class Shape:
    """How large the system is."""

    bridges: int
    serves: tuple[tuple[str, ...], ...]
    """The models of each worker."""
    slots: int
    capacity: tuple[int, int]
    ready_max_entries: int
    slow_ms: int


@dataclass(frozen=True)
class Submission:
    """One record that an agent sends."""

    number: int
    at_ms: int
    topic: str
    correlation_id: str
    label: str
    """The request's `id`: another one for another payload."""
    body: tuple[tuple[str, Any], ...] = ()
    kind: str = "request"
    """Or `malformed`, or `cancel`."""


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong, or may."""

    kind: str
    at_ms: int
    target: str = ""
    how: str = ""
    count: int = 1
    ms: int = 0

    @property
    def ends_ms(self) -> int:
        """When it has struck at the latest."""
        return self.at_ms + (self.ms if self.kind == "rollback" else 0)

    def __str__(self) -> str:
        facts = {"how": self.how, "count": self.count, "ms": self.ms}
        text = ", ".join(f"{name} {value}" for name, value in facts.items() if value)
        return f"{self.at_ms:6d} ms  {self.kind} {self.target} ({text})"


@dataclass(frozen=True)
class Plan:
    """All that a run depends on."""

    seed: int
    shape: Shape
    submissions: tuple[Submission, ...]
    faults: tuple[Fault, ...]

    def only(self, submissions: Collection[int], faults: Collection[int]) -> "Plan":
        """Leave all others out, by number."""
        return replace(
            self,
            submissions=tuple(self.submissions[number] for number in submissions),
            faults=tuple(self.faults[number] for number in faults),
        )


def draw(seed: int, kinds: tuple[str, ...] = ()) -> Plan:
    """Make the plan of a seed; `kinds` are the faults it may have, many of them."""
    rng = Random(seed)
    shape = _shape(rng)
    return Plan(seed, shape, _submissions(rng), _faults(rng, shape, kinds))


@lru_cache(maxsize=256)
def settings_of(shape: Shape) -> Settings:
    """Return the configuration of a system of this shape; times are short."""
    return Settings.model_validate(
        {
            "models": [
                {
                    "name": name,
                    "endpoints": [
                        {"base_url": f"http://{name}.example/v1", "capacity": capacity}
                    ],
                }
                for name, capacity in zip(MODELS, shape.capacity, strict=True)
            ],
            "limits": {"ready_max_entries": shape.ready_max_entries},
            "timing": {
                "lease_s": 3.0,
                "renew_s": 1.0,
                "heartbeat_ttl_s": 3.0,
                "ring_again_s": 1.5,
                "delivery_timeout_s": 2.0,
                "loss_grace_s": 5.0,
                "drain_s": 1.0,
            },
        }
    )


def workers_of(shape: Shape) -> list[str]:
    """Return the names of the workers."""
    return [f"worker-{number + 1}" for number in range(len(shape.serves))]


def bridges_of(shape: Shape) -> list[str]:
    """Return the names of the bridges."""
    return [f"bridge-{number + 1}" for number in range(shape.bridges)]


def _shape(rng: Random) -> Shape:
    serves = [(MODELS[0],), MODELS, (MODELS[1],)][: rng.choice((2, 3))]
    return Shape(
        bridges=rng.choice((1, 2, 2)),
        serves=tuple(serves),
        slots=rng.choice((1, 2)),
        capacity=(rng.choice((1, 2, 3)), rng.choice((1, 2))),
        ready_max_entries=rng.choice((0, 0, 4, 7)),
        slow_ms=rng.choice((200, 800, 4_000)),
    )


def _submissions(rng: Random) -> tuple[Submission, ...]:
    sent: list[Submission] = []
    count = rng.randrange(6, 22)
    while len(sent) < count:
        kind = rng.random()
        if sent and kind < 0.10:
            sent.append(_again(rng, len(sent), rng.choice(sent)))
        elif sent and kind < 0.13:
            sent.append(_conflict(rng, len(sent), rng.choice(sent)))
        elif sent and kind < 0.18:
            sent.append(_cancel(rng, len(sent), rng.choice(sent)))
        else:
            sent.append(_new(rng, len(sent), "malformed" if kind > 0.97 else "request"))
    return tuple(sent)


def _new(rng: Random, number: int, kind: str) -> Submission:
    name = f"c{number}"
    poison = rng.random() < POISON_RATIO
    body: dict[str, Any] = {"content": POISON if poison else f"prompt of {name}"}
    model = rng.random()
    if model < 0.7:
        body["model_id"] = rng.choice(MODELS)
    elif model < 0.74:
        body["model_id"] = "unknown"
    if rng.random() < 0.15:
        body["ttl_s"] = rng.randrange(500, 6_000) / 1000
    return Submission(
        number,
        rng.randrange(SEND_MS),
        rng.choice(TOPICS),
        name,
        f"{name}-a",
        tuple(body.items()),
        kind,
    )


def _again(rng: Random, number: int, first: Submission) -> Submission:
    at_ms = first.at_ms + rng.choice((1, 500, 5_000))
    return Submission(
        number,
        at_ms,
        rng.choice((first.topic, *TOPICS)),
        first.correlation_id,
        first.label,
        first.body,
        first.kind,
    )


def _conflict(rng: Random, number: int, first: Submission) -> Submission:
    if first.kind == "cancel":
        return _cancel(rng, number, first)
    body = dict(first.body) | {"content": f"another prompt ({number})"}
    return Submission(
        number,
        first.at_ms + rng.choice((1, 500, 5_000)),
        rng.choice(TOPICS),
        first.correlation_id,
        f"{first.correlation_id}-b{number}",
        tuple(body.items()),
    )


def _cancel(rng: Random, number: int, first: Submission) -> Submission:
    at_ms = max(0, first.at_ms + rng.choice((-500, 1, 50, 500, 5_000)))
    topic = rng.choice((first.topic, *TOPICS))
    return Submission(number, at_ms, topic, first.correlation_id, "", (), "cancel")


def _faults(rng: Random, shape: Shape, kinds: tuple[str, ...]) -> tuple[Fault, ...]:
    """Draw from a few kinds only: what is rare together is common alone."""
    count = 9 if kinds else rng.choice((0, 1, 2, 4, 6, 9))
    kinds = kinds or tuple(rng.sample(tuple(_DRAW), rng.randrange(1, 5)))
    drawn = [_DRAW[rng.choice(kinds)](rng, shape) for _ in range(count)]
    return tuple(sorted(drawn, key=lambda fault: fault.at_ms))


def _when(rng: Random) -> int:
    return rng.randrange(200, FAULTS_MS)


def _any_process(rng: Random, shape: Shape) -> str:
    return rng.choice([*bridges_of(shape), *workers_of(shape)])


def _kill(rng: Random, shape: Shape) -> Fault:
    return Fault(
        "kill",
        _when(rng),
        _any_process(rng, shape),
        count=rng.randrange(12),
        ms=rng.choice((100, 1_000, 5_000)),
    )


def _pause(rng: Random, shape: Shape) -> Fault:
    return Fault(
        "pause",
        _when(rng),
        _any_process(rng, shape),
        count=rng.randrange(12),
        ms=rng.choice((300, 2_000, 4_000, 8_000)),
    )


def _stop(rng: Random, shape: Shape) -> Fault:
    return Fault("stop", _when(rng), _any_process(rng, shape), ms=1_500)


def _steps(rng: Random, shape: Shape) -> Fault:
    return Fault(
        "steps",
        _when(rng),
        _any_process(rng, shape),
        how=rng.choice(("lost", "refused", "late")),
        count=rng.randrange(1, 4),
    )


def _orders(rng: Random, shape: Shape) -> Fault:
    del shape
    return Fault("orders", _when(rng), rng.choice(MODELS), ms=rng.randrange(100, 4_000))


def _outage(rng: Random, shape: Shape) -> Fault:
    target = rng.choice(("redis", _any_process(rng, shape)))
    return Fault("outage", _when(rng), target, ms=rng.choice((300, 2_000, 5_000)))


def _flush(rng: Random, shape: Shape) -> Fault:
    del shape
    return Fault("flush", _when(rng), how=rng.choice(("restart", "unseen")))


def _rollback(rng: Random, shape: Shape) -> Fault:
    del shape
    return Fault(
        "rollback",
        _when(rng),
        how=rng.choice(("restart", "unseen")),
        ms=rng.choice((20, 200, 800, 3_000)),
    )


def _doorbells(rng: Random, shape: Shape) -> Fault:
    return Fault(
        "doorbells",
        _when(rng),
        rng.choice(bridges_of(shape)),
        how=rng.choice(("lost", "doubled", "delayed", "refused", "unsure")),
        count=rng.randrange(1, 5),
    )


def _delivery(rng: Random, shape: Shape) -> Fault:
    return Fault(
        "delivery",
        _when(rng),
        _any_process(rng, shape),
        how=rng.choice(("refused", "lost", "slow")),
        count=rng.randrange(1, 4),
    )


def _commits(rng: Random, shape: Shape) -> Fault:
    return Fault(
        "commits",
        _when(rng),
        rng.choice(bridges_of(shape)),
        how=rng.choice(("refused", "lost")),
        count=rng.randrange(1, 4),
    )


def _rebalance(rng: Random, shape: Shape) -> Fault:
    del shape
    return Fault("rebalance", _when(rng))


def _session(rng: Random, shape: Shape) -> Fault:
    return Fault("session", _when(rng), rng.choice(bridges_of(shape)))


_DRAW = {
    "kill": _kill,
    "pause": _pause,
    "stop": _stop,
    "steps": _steps,
    "orders": _orders,
    "outage": _outage,
    "flush": _flush,
    "rollback": _rollback,
    "doorbells": _doorbells,
    "delivery": _delivery,
    "commits": _commits,
    "rebalance": _rebalance,
    "session": _session,
}
