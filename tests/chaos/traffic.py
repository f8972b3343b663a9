"""Agents: they put requests on Kafka at a pace, some twice, some bad; and remember all."""

import contextlib
import json
import math
import random
import threading
import time
import uuid
from collections import deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from agentsched.client.errors import RequestFailed, RequestNotAccepted
from agentsched.errors import AgentSchedError
from agentsched.types import Reply
from tests.chaos.scene import CANARY, MODELS, TTL_S, Scene
from tests.support.system import CLASSES

if TYPE_CHECKING:
    from concurrent.futures import Future

RECENT = 5_000
"""Of the latest requests, some are sent again."""
CONFLICT_RATIO, REPEAT_RATIO, BAD_RATIO, ASK_RATIO = 0.01, 0.03, 0.01, 0.2
PATIENCE_S = 600.0
"""How long the client waits: faults may add to the time to live, and how much they did is
another question than how many replies it saw."""

BAD = {
    b"no json": "MALFORMED",
    b"[1]": "MALFORMED",
    b'{"content": "nobody"}': "MISSING_IDENTITY",
    b"\xff": "MALFORMED",
    b"[" * 10_000: "MALFORMED",
}
"""Values that name no request, and what their dead letters have to say."""


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
    sent_s: float = 0.0
    """On the monotonic clock."""
    asked: bool = False
    """By a client of ours, which alone knows partition and offset."""
    reason: str = ""
    """Of the dead letter that it has to become; "": of none."""


@dataclass
class Traffic:
    """Sends on a thread until `stop`.

    Args:
        scene: where to.
        seed: decides what is sent, not when.
        pace_hz: records a second.
        repeat_within_s: what is older is not sent again.
    """

    scene: Scene
    seed: int
    pace_hz: float
    repeat_within_s: float = math.inf
    sent: list[Sent] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)
        self._under_way: list[tuple[Sent, Future]] = []
        self._asked: list[tuple[Sent, Future]] = []
        self._recent: deque[tuple[float, Sent]] = deque(maxlen=RECENT)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="traffic")

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Send no more; afterwards `sent` holds all that was acknowledged."""
        self._over.set()
        self._thread.join()
        self.sent += [sent for sent, future in self._asked if not _refused(future)]
        for id_, cls, future in self.scene.poison:
            sent = Sent(id_, "", "", cls, "poison", reason="POISON")
            self._under_way.append((sent, future))
        for sent, future in self._under_way:
            try:
                at = future.result(60)
            except (AgentSchedError, TimeoutError):
                continue  # nothing was promised
            sent.partition, sent.offset = at.partition, at.offset
            self.sent.append(sent)

    def tried(self) -> set[str]:
        """The ids of all that was sent, acknowledged or not."""
        return {sent.id for sent, _ in self._under_way + self._asked if sent.id}

    def seen(self) -> dict[str, list[Reply]]:
        """What the client has handed to its callers so far; failed replies, too."""
        seen: dict[str, list[Reply]] = {}
        for sent, future in self._asked:
            if future.done() and not _refused(future):
                error = future.exception()
                replies = seen.setdefault(sent.id, [])
                if error is None:
                    replies.append(future.result())
                elif isinstance(error, RequestFailed):
                    replies.append(error.reply)
        return seen

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
        since_s = time.monotonic() - self.repeat_within_s
        earlier = [sent for at_s, sent in self._recent if at_s >= since_s]
        if draw < BAD_RATIO:
            cls = self._chance.choice(CLASSES)
            value, reason = self._chance.choice(list(BAD.items()))
            self._put(Sent(None, "", "", cls, "bad", reason=reason), value)
        elif draw < BAD_RATIO + REPEAT_RATIO and earlier:
            self._again(self._chance.choice(earlier), "repeat")
        elif draw < BAD_RATIO + REPEAT_RATIO + CONFLICT_RATIO and earlier:
            self._again(self._chance.choice(earlier), "conflict")
        elif draw < BAD_RATIO + REPEAT_RATIO + CONFLICT_RATIO + ASK_RATIO:
            self._ask(self._request(self._chance.choice(CLASSES)))
        else:
            self._put(self._request(self._chance.choice(CLASSES)))

    def _ask(self, sent: Sent) -> None:
        """Through the client, as agents do; the others are bare records."""
        with contextlib.suppress(RequestNotAccepted):  # nothing was sent
            future = self.scene.client.submit(
                sent.prompt,
                id=sent.id,
                correlation_id=sent.id,
                model_id=sent.model,
                priority=sent.cls,
                ttl_s=TTL_S,
                timeout_s=PATIENCE_S,
            )
            self._asked.append((replace(sent, asked=True), future))

    def _request(self, cls: str) -> Sent:
        id_ = f"{cls}-{uuid.uuid4().hex[:12]}"
        model = self._chance.choice(list(MODELS))
        prompt, now_s = f"{CANARY} {id_}", time.monotonic()
        return Sent(id_, model, prompt, cls, "request", sent_s=now_s)

    def _again(self, first: Sent, kind: str) -> None:
        other = " another" if kind == "conflict" else ""
        prompt, now_s = first.prompt + other, time.monotonic()
        self._put(Sent(first.id, first.model, prompt, first.cls, kind, sent_s=now_s))

    def _put(self, sent: Sent, value: bytes | None = None) -> Sent:
        body = {"id": sent.id, "correlation_id": sent.id, "model_id": sent.model}
        body["content"] = sent.prompt
        value = json.dumps(body).encode() if value is None else value
        headers = {"correlation_id": sent.id} if sent.id else {}
        topic = self.scene.topics[sent.cls]
        future = self.scene.producer.produce(value, topic, headers)
        self._under_way.append((sent, future))
        if sent.kind == "request":
            self._recent.append((time.monotonic(), sent))
        return sent


def _refused(future: "Future") -> bool:
    """Whether Kafka did not acknowledge it: nothing was promised."""
    return future.done() and isinstance(future.exception(), RequestNotAccepted)
