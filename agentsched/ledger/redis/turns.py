"""How `plan` and `turn` look as arguments and answers of their scripts; pure."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from agentsched.ledger.redis import codec
from agentsched.ledger.redis.scripts import Argument
from agentsched.ledger.turns import (
    MAX_LISTED,
    Parked,
    Plan,
    Planned,
    PlanOutcome,
    PoolList,
    Taken,
    Turn,
    TurnAnswer,
)


def encode_plan(plan: Plan) -> list[Argument]:
    """Write the arguments of `plan.lua`."""
    lists = [_encode_list(one) for one in plan.lists]
    return [
        plan.dispatcher_id,
        plan.number,
        plan.revision,
        plan.seen,
        *(argument for one in lists for argument in one),
    ]


def _encode_list(one: PoolList) -> list[Argument]:
    members = [
        f"{member.order} {member.turn} {member.key} {member.payload_hash}"
        for member in one.members[:MAX_LISTED]
    ]
    return [codec.encode_model(one.model), one.endpoint, len(members), *members]


def decode_planned(answer: Sequence[Any]) -> Planned:
    """Read the answer of `plan.lua`."""
    outcome, revision, *rows = answer
    parked = sorted(map(_parked, rows), key=lambda one: one.worker_id)
    return Planned(PlanOutcome(outcome.decode()), int(revision), tuple(parked))


def _parked(row: Sequence[bytes]) -> Parked:
    worker_id, slots, models = row
    return Parked(worker_id.decode(), int(slots), tuple(json.loads(models)))


def encode_turn(turn: Turn) -> list[Argument]:
    """Write the arguments of `turn.lua`."""
    return [
        turn.worker_id,
        turn.number,
        turn.seen,
        turn.lease_ms,
        turn.free_children,
        turn.free_slots,
        *_counted(
            (one.key, codec.encode_record_at(one.reply_at)) for one in turn.published
        ),
        *_counted(
            (
                one.key,
                f"lease:{one.lease_id}",
                one.reply,
                int(one.outcome.called),
                int(not one.outcome.ok),
                one.outcome.model_ms,
                int(one.keeps_slot),
            )
            for one in turn.completions
        ),
        *_counted(
            (one.key, one.lease_id, one.delay_ms, one.why.value, one.crashes_most)
            for one in turn.hand_backs
        ),
        *_counted((codec.encode_model(model),) for model in turn.models),
        *_counted((lease_id,) for lease_id in turn.lease_ids),
    ]


def _counted(steps: Iterable[Sequence[Argument]]) -> list[Argument]:
    rows = list(steps)
    return [len(rows), *(argument for row in rows for argument in row)]


def decode_turn(answer: Sequence[Any]) -> TurnAnswer:
    """Read the answer of `turn.lua`."""
    refused, published, completed, put_back, rows, more = answer
    return TurnAnswer(
        tuple(map(bool, published)),
        tuple(map(bool, completed)),
        tuple(map(bool, put_back)),
        tuple(map(_taken, rows)),
        refused=bool(refused),
        more=bool(more),
    )


def _taken(row: Sequence[bytes]) -> Taken:
    key, lease_id, pool, turn, starts, facts, payload, payload_hash, *times = row
    time_left_ms, queued_ms, crashes = map(int, times)
    model, endpoint = codec.decode_pool(pool.decode())
    return Taken(
        key.decode(),
        lease_id.decode(),
        codec.decode_facts(facts),
        payload,
        payload_hash.decode(),
        model,
        endpoint,
        turn=int(turn),
        attempt=int(starts),
        time_left_ms=time_left_ms,
        queued_ms=queued_ms,
        crashes=crashes,
    )
