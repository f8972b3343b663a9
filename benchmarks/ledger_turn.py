"""Measures what a request costs Redis and its caller in `admit`, `plan` and `turn`.

Run ``python -m benchmarks.ledger_turn [SLOTS ...]`` (default: 16 and 200). One worker runs
all its slots over and over: a batch is admitted and listed; a turn publishes the replies
before the last, completes the last and takes the batch. Printed are microseconds a
request: CPU time of the server, and of this process.
"""

import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import redis

from agentsched.embedded.valkey import EmbeddedValkey
from agentsched.ledger.redis.ledger import RedisLedger
from agentsched.ledger.turns import (
    MAX_STEPS,
    Completion,
    Member,
    Plan,
    PoolList,
    Publication,
    Taken,
    Turn,
)
from agentsched.ledger.values import Admission, CallOutcome, Limits
from agentsched.wire.codec import hash_value
from agentsched.wire.records import RecordAt
from agentsched.wire.request_facts import RequestFacts

MODEL, ENDPOINT = "gpt-4", "https://gpt.example/v1"
POOL = (MODEL, ENDPOINT)
LONG_MS = 3_600_000
REQUESTS = 3_000
WARM_UP_ROUNDS = 3
PAYLOAD = b'{"content":"' + b"x" * 500 + b'"}'
REPLY = b'{"content":"' + b"y" * 500 + b'"}'
CALLED = CallOutcome(ok=True, model_ms=40)


class Rounds:
    """Rounds of one worker on one ledger."""

    def __init__(self, client: redis.Redis, slots: int) -> None:
        self._client, self._ledger = client, RedisLedger(client, f"b{slots}")
        self.batch = min(slots, MAX_STEPS // 2)
        self.client_s: dict[str, float] = {}
        self._offset = self._number = 0
        self._running: tuple[Taken, ...] = ()
        self._done: tuple[Taken, ...] = ()
        membership = self._ledger.membership
        self._epoch = membership.beat().pulse.epoch
        limits = Limits(capacity={POOL: slots}, max_in_flight=2 * slots)
        self._ledger.set_limits(self._epoch, limits)
        membership.lead("dispatcher", LONG_MS)
        membership.beat_worker("worker", {MODEL: slots}, LONG_MS)
        orders = self._ledger.operations.orders(self._epoch, "bridge")
        self._revision = orders.revision

    def run(self) -> None:
        """Do one round."""
        self._number += 1
        admissions = [self._admission() for _ in range(self.batch)]
        self._timed("admit", admissions)
        members = tuple(
            Member(one.facts.key, one.payload_hash, 0, one.facts.offset)
            for one in admissions
        )
        lists = (PoolList(MODEL, ENDPOINT, members),)
        self._timed("plan", Plan("dispatcher", self._number, self._revision, "", lists))
        answer = self._timed("turn", self._turn())
        assert len(answer.taken) == self.batch
        self._done, self._running = self._running, answer.taken

    def _turn(self) -> Turn:
        sent = (Publication(one.key, RecordAt("r", 0, 1)) for one in self._done)
        ended = (
            Completion(one.key, one.lease_id, REPLY, CALLED) for one in self._running
        )
        return Turn(
            "worker",
            self._number,
            self._number - 1,
            LONG_MS,
            published=tuple(sent),
            completions=tuple(ended),
            models=(MODEL,),
            lease_ids=tuple(uuid4().hex for _ in range(self.batch)),
            free_slots=self.batch,
        )

    def _admission(self) -> Admission:
        self._offset += 1
        now_ms = int(time.time() * 1000)
        facts = RequestFacts(
            key=uuid4().hex,
            agent_id="planner",
            correlation_id=f"c-{self._offset}",
            group="planning",
            cls="high",
            models=(MODEL,),
            task_type="text_generation",
            tokens=120,
            arrival_ms=now_ms,
            deadline_ms=now_ms + LONG_MS,
            topic="high_priority",
            partition=0,
            offset=self._offset,
            source="high_priority:T1:0",
            reply_topic="results",
        )
        return Admission(facts, PAYLOAD, hash_value(PAYLOAD))

    def _timed(self, step: str, argument: Any) -> Any:
        client_s = time.process_time()
        answer = getattr(self._ledger, step)(self._epoch, argument)
        took_s = time.process_time() - client_s
        self.client_s[step] = self.client_s.get(step, 0) + took_s
        return answer

    def server_s(self) -> float:
        """CPU time of the server so far."""
        used = self._client.info("cpu")
        return float(used["used_cpu_sys"] + used["used_cpu_user"])


def measure(client: redis.Redis, slots: int) -> None:
    """Print what a request costs with so many slots."""
    rounds = Rounds(client, slots)
    for _ in range(WARM_UP_ROUNDS):
        rounds.run()
    rounds.client_s.clear()
    server_s = rounds.server_s()
    count = max(1, REQUESTS // rounds.batch)
    for _ in range(count):
        rounds.run()
    each_us = 1e6 / (count * rounds.batch)
    server_us = round((rounds.server_s() - server_s) * each_us)
    ours = {step: round(took_s * each_us) for step, took_s in rounds.client_s.items()}
    print(
        f"{slots:4} slots: Redis {server_us} us a request,"
        f" caller {sum(ours.values())} us {ours}"
    )


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        at = Path(folder)
        with (
            EmbeddedValkey(at / "data", at / "log") as server,
            redis.Redis.from_url(server.url) as connected,
        ):
            for wanted in map(int, sys.argv[1:] or ("16", "200")):
                measure(connected, wanted)
