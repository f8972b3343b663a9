"""The ledger on Redis or Valkey: steps as Lua scripts, each atomic.

It turns values into arguments and answers into values; what a step does is decided
in `lua/` alone.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Self

import redis
from typing_extensions import override

from agentsched.config.settings import RedisSettings, Settings
from agentsched.errors import EpochChanged
from agentsched.ledger.answered_offsets import decode_blocks, encode_blocks, within
from agentsched.ledger.protocol import Ledger, always
from agentsched.ledger.redis import codec, turns
from agentsched.ledger.redis.membership import RedisMembership
from agentsched.ledger.redis.operator_orders import RedisOperations
from agentsched.ledger.redis.scripts import OnStep, Scripts, translated
from agentsched.ledger.redis.server import ServerFacts, server_facts
from agentsched.ledger.redis.views import RedisViews
from agentsched.ledger.redis.voided_leases import RedisVoidedLeases
from agentsched.ledger.turns import Plan, Planned, Turn, TurnAnswer
from agentsched.ledger.values import (
    CHANGES_KEPT,
    START_OF_LOG,
    Admission,
    AdmitOutcome,
    Admitted,
    CallOutcome,
    Change,
    EntryView,
    Limits,
    ModelTotals,
    PartitionView,
    PutBack,
    Snapshot,
    State,
    StoredReply,
)
from agentsched.redis.client import close_client, redis_client
from agentsched.wire.codec import hash_value
from agentsched.wire.records import RecordAt

MAX_ADMITTED = 64
"""Requests in one script call: some 4 ms of Redis."""
MAX_ADMITTED_BYTES = 4_194_304
"""Payloads and replies in one script call; one alone may be larger."""
MAX_BLOCK_MS = 4000
"""A blocking read must end before the socket's time-out."""


class RedisLedger(Ledger):
    """`Ledger` on Redis; beside it, over the same connections, what else meets there.

    Args:
        client: must return bytes (no `decode_responses`); it should not retry by
            itself, since callers repeat steps.
        namespace: prefix of all keys.
        on_step: is called with every step but `changes`, which waits by design.

    Attributes:
        membership: epoch, dispatcher lease, heartbeats.
        operations: orders, reports and questions.
        views: what operators may look at.
    """

    def __init__(
        self,
        client: redis.Redis,
        namespace: str = "agentsched",
        on_step: OnStep | None = None,
    ) -> None:
        self._client = client
        self._namespace = namespace
        self._scripts = Scripts(client, namespace, on_step)
        shared = client, namespace, self._scripts
        self.membership = RedisMembership(*shared)
        self.operations = RedisOperations(*shared)
        self.views = RedisViews(*shared)

    @classmethod
    def from_url(
        cls, url: str, namespace: str = "agentsched", on_step: OnStep | None = None
    ) -> Self:
        """Build the client too; nothing is opened until the first step."""
        return cls(redis_client(RedisSettings(url=url)), namespace, on_step)

    @classmethod
    def of(cls, settings: Settings, on_step: OnStep | None = None) -> Self:
        """Build it from the configuration; nothing is opened until the first step."""
        return cls(redis_client(settings.redis), settings.namespace, on_step)

    def server_facts(self, keys: Sequence[str]) -> ServerFacts:
        """Return what the server says of itself."""
        return server_facts(self._client, keys)

    def close(self) -> None:
        """Close all connections; a later step would open new ones."""
        close_client(self._client)

    @override
    def admit(self, epoch: str, admissions: Sequence[Admission]) -> list[Admitted]:
        calls = [
            [argument for admission in page for argument in _admit_row(admission)]
            for page in _pages(admissions)
        ]
        answers = self._scripts.run_each("admit", epoch, calls)
        return [_admitted(row) for rows in answers for row in rows]

    @override
    def withdraw(self, epoch: str, keys: Sequence[str]) -> list[bool]:
        answers = self._scripts.run_each("withdraw", epoch, [(key,) for key in keys])
        return [bool(answer) for answer in answers]

    @override
    def expire(self, epoch: str, key: str) -> bool:
        return bool(self._scripts.run("expire", epoch, key))

    @override
    def plan(self, epoch: str, plan: Plan) -> Planned:
        answer = self._scripts.run("plan", epoch, *turns.encode_plan(plan))
        return turns.decode_planned(answer)

    @override
    def turn(self, epoch: str, turn: Turn) -> TurnAnswer:
        answer = self._scripts.run("turn", epoch, *turns.encode_turn(turn))
        return turns.decode_turn(answer)

    @override
    def renew(
        self, epoch: str, leases: Mapping[str, str], lease_ms: int
    ) -> dict[str, bool]:
        pairs = [text for pair in leases.items() for text in pair]
        answers = self._scripts.run("renew", epoch, lease_ms, *pairs)
        return {key: bool(answer) for key, answer in zip(leases, answers, strict=True)}

    @override
    def put_back(
        self,
        epoch: str,
        key: str,
        lease_id: str,
        delay_ms: int = 0,
        why: PutBack = PutBack.STOPPED,
        crashes_most: int = 0,
    ) -> bool:
        counted = (delay_ms, why.value, crashes_most)
        return bool(self._scripts.run("put_back", epoch, key, lease_id, *counted))

    @override
    def complete(
        self,
        epoch: str,
        key: str,
        lease_id: str | None,
        reply: bytes,
        outcome: CallOutcome,
    ) -> bool:
        facts = (int(outcome.called), int(not outcome.ok), outcome.model_ms)
        by = _by(lease_id, reply)
        return bool(self._scripts.run("complete", epoch, key, by, reply, *facts))

    @override
    def cancel(self, epoch: str, key: str, keep_s: int) -> State | None:
        state = self._scripts.run("cancel", epoch, key, keep_s)
        return State(state.decode()) if state else None

    def voided(self) -> RedisVoidedLeases:
        """Return what tells which leases are voided; the caller closes it."""
        return RedisVoidedLeases(self._client, self._namespace)

    @override
    def reply(self, epoch: str, key: str) -> StoredReply | None:
        answer = self._scripts.run("reply", epoch, key)
        if not answer:
            return None
        facts, value, payload_hash = answer
        return StoredReply(codec.decode_facts(facts), value, payload_hash.decode())

    @override
    def published(self, epoch: str, key: str, reply_at: RecordAt) -> bool:
        at = codec.encode_record_at(reply_at)
        return bool(self._scripts.run("published", epoch, key, at))

    @override
    def settle(self, epoch: str, source: str, offset: int) -> None:
        self._scripts.run("settle", epoch, source, offset)

    @override
    def partition(
        self, epoch: str, source: str, watermark: int, end: int
    ) -> PartitionView:
        members, blocks, known = self._scripts.run(
            "partition", epoch, source, watermark, end
        )
        bitmaps = zip(map(int, blocks[::2]), blocks[1::2], strict=True)
        done = within(decode_blocks(bitmaps), watermark, end)
        pairs = (member.decode().split(" ", 1) for member in members)
        live = {int(offset): key for offset, key in pairs}
        return PartitionView(tuple(done), live, int(known))

    @override
    def restore_done(self, epoch: str, source: str, runs: Iterable[range]) -> None:
        rows = [(source, *block) for block in encode_blocks(runs).items()]
        self._scripts.run_each("restore_done", epoch, rows)

    @override
    def forget_answered(self, epoch: str, source: str, runs: Sequence[range]) -> None:
        ends = [end for run in runs for end in (run.start, run.stop)]
        self._scripts.run("forget_answered", epoch, source, *ends)

    @override
    def forget_done(self, epoch: str, source: str, watermark: int) -> None:
        self._scripts.run("forget_done", epoch, source, watermark)

    @override
    def inspect(self, epoch: str, keys: Sequence[str]) -> list[EntryView | None]:
        rows = self._scripts.run("inspect", epoch, *keys)
        return [codec.decode_view(row) for row in rows]

    @override
    def snapshot(self, epoch: str) -> Snapshot:
        cursor, now_ms, ready, slots = self._scripts.run("snapshot", epoch)
        pairs = zip(slots[::2], slots[1::2], strict=True)
        return Snapshot(
            cursor.decode(),
            int(now_ms),
            tuple(codec.decode_ready(value) for value in ready),
            tuple(codec.decode_slot(key.decode(), value) for key, value in pairs),
        )

    @override
    def changes(
        self,
        epoch: str,
        cursor: str,
        block_ms: int,
        limit: int = 1000,
        detailed: Callable[[], bool] = always,
    ) -> tuple[str, list[Change]]:
        """Waits 4 s at most."""
        stream = f"{self._namespace}:{epoch}:changes"
        # To Redis, BLOCK 0 means to wait for ever.
        block = min(block_ms, MAX_BLOCK_MS) if block_ms > 0 else None
        with translated("changes"):
            found: Any = self._client.xread({stream: cursor}, count=limit, block=block)
        if not found:
            return cursor, []
        # RESP3 answers with a mapping of lists of pages, RESP2 with pairs.
        rows = found[stream.encode()][0] if isinstance(found, dict) else found[0][1]
        if cursor != START_OF_LOG and self._has_lost(stream, cursor):
            raise EpochChanged("Redis was put back: what was read is gone")
        decode = partial(codec.decode_changes, detailed=detailed())
        changes = (one for row in rows for one in decode(*row))
        return rows[-1][0].decode(), list(changes)

    def _has_lost(self, stream: str, cursor: str) -> bool:
        """Return whether an entry is gone that was not trimmed; `beat.lua` asks alike."""
        with translated("changes"):
            if self._client.xrange(stream, cursor, cursor):
                return False  # mostly so, and asked with each read: one command
        with translated("changes"), self._client.pipeline(transaction=False) as pipe:
            pipe.xrange(stream, cursor, cursor)
            pipe.xlen(stream)
            pipe.xrange(stream, "-", cursor, count=1)
            there, length, older = pipe.execute()
        return not there and (length < CHANGES_KEPT or bool(older))

    @override
    def set_limits(self, epoch: str, limits: Limits) -> None:
        self._scripts.run("set_limits", epoch, *codec.encode_limits(limits))

    @override
    def totals(self, epoch: str) -> dict[str, ModelTotals]:
        return {
            codec.decode_model(model.decode()): ModelTotals(*map(int, sums))
            for model, *sums in self._scripts.run("totals", epoch)
        }


def _pages(admissions: Sequence[Admission]) -> Iterator[list[Admission]]:
    """Cut a batch into what one script call may take: Redis does nothing else meanwhile."""
    page: list[Admission] = []
    size = 0
    for one in admissions:
        more = len(one.payload) + len(one.reply)
        if page and (len(page) >= MAX_ADMITTED or size + more > MAX_ADMITTED_BYTES):
            yield page
            page, size = [], 0
        page.append(one)
        size += more
    if page:
        yield page


def _admit_row(admission: Admission) -> tuple[str | bytes | int, ...]:
    facts = admission.facts
    return (
        facts.key,
        codec.encode_facts(facts),
        admission.payload,
        admission.payload_hash,
        facts.source,
        facts.offset,
        facts.cls,
        facts.arrival_ms,
        facts.deadline_ms,
        facts.group,
        facts.tokens,
        admission.reply,
        _by(None, admission.reply),
    )


def _by(lease_id: str | None, reply: bytes) -> str:
    """Say whose reply it is, so that a repeated step is known for one."""
    return f"reply:{hash_value(reply)}" if lease_id is None else f"lease:{lease_id}"


def _admitted(row: Sequence[bytes]) -> Admitted:
    outcome, *more = row
    return Admitted(
        AdmitOutcome(outcome.decode()),
        State(more[0].decode()) if more else None,
        codec.decode_record_at(more[1]) if any(more[1:]) else None,
    )
