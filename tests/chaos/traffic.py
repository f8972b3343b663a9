"""Agents: they put requests on Kafka at a pace, some twice, some bad; and remember all."""

import json
import random
import threading
import time
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from agentsched.errors import AgentSchedError
from tests.chaos.scene import CANARY, MODELS, Scene
from tests.support.system import CLASSES

if TYPE_CHECKING:
    from concurrent.futures import Future

CONFLICT_RATIO, REPEAT_RATIO, BAD_RATIO = 0.01, 0.03, 0.01
BAD = (b"no json", b"[1]", b'{"content": "nobody"}', b"\xff", b"[" * 10_000)


@dataclass
class Sent:
    """One record that Kafka acknowledged."""

    id: str | None
    """None: it names no request, and becomes a dead letter."""
    model: str
    prompt: str
    cls: str
    kind: str
    partition: int = -1
    offset: int = -1


@dataclass
class Traffic:
    """Sends on a thread until `stop`.

    Args:
        scene: where to.
        seed: decides what is sent, not when.
        pace_hz: records a second.
    """

    scene: Scene
    seed: int
    pace_hz: float
    sent: list[Sent] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)
        self._under_way: list[tuple[Sent, Future]] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="traffic")

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Send no more; afterwards `sent` holds all that was acknowledged."""
        self._over.set()
        self._thread.join()
        for sent, future in self._under_way:
            try:
                at = future.result(60)
            except (AgentSchedError, TimeoutError):
                continue  # nothing was promised
            sent.partition, sent.offset = at.partition, at.offset
            self.sent.append(sent)

    def one(self, cls: str = "high") -> str:
        """Send one plain request now; returns its id."""
        return self._put(self._request(cls)).id

    def _run(self) -> None:
        next_s = time.monotonic()
        while not self._over.wait(max(0.0, next_s - time.monotonic())):
            next_s += 1 / self.pace_hz
            self._step()

    def _step(self) -> None:
        draw = self._chance.random()
        earlier = [sent for sent, _ in self._under_way if sent.kind == "request"]
        if draw < BAD_RATIO:
            bad = Sent(None, "", "", self._chance.choice(CLASSES), "bad")
            self._put(bad, self._chance.choice(BAD))
        elif draw < BAD_RATIO + REPEAT_RATIO and earlier:
            self._again(self._chance.choice(earlier), "repeat")
        elif draw < BAD_RATIO + REPEAT_RATIO + CONFLICT_RATIO and earlier:
            self._again(self._chance.choice(earlier), "conflict")
        else:
            self._put(self._request(self._chance.choice(CLASSES)))

    def _request(self, cls: str) -> Sent:
        id_ = f"{cls}-{uuid.uuid4().hex[:12]}"
        model = self._chance.choice(list(MODELS))
        return Sent(id_, model, f"{CANARY} {id_}", cls, "request")

    def _again(self, first: Sent, kind: str) -> None:
        other = " another" if kind == "conflict" else ""
        self._put(Sent(first.id, first.model, first.prompt + other, first.cls, kind))

    def _put(self, sent: Sent, value: bytes | None = None) -> Sent:
        body = {"id": sent.id, "correlation_id": sent.id, "model_id": sent.model}
        body["content"] = sent.prompt
        value = json.dumps(body).encode() if value is None else value
        headers = {"correlation_id": sent.id} if sent.id else {}
        topic = self.scene.topics[sent.cls]
        future = self.scene.producer.produce(value, topic, headers)
        self._under_way.append((sent, future))
        return sent
