"""Every step in every state leads exactly where the table says."""

from dataclasses import replace

import pytest

from agentsched.ledger.transitions import STATES, STEP_TABLE, STEPS
from agentsched.ledger.values import State
from tests.support.ledgers import GPT, GPT_AT, REPLY_AT, SOURCE, World

FAR = 10**6


def _entries(world: World, state: State | None) -> list[str]:
    """Entries in one state that differ in what a step may ask for."""
    if state is State.RUNNING:
        # The crashed one last: its slot must not be swept by making the other.
        return [world.running(), world.crashed()]
    if state is State.READY:
        return [world.ready(), world.returned()]
    make = {
        None: world.unknown,
        State.DONE: world.done,
        State.ANSWERED: world.answered,
    }[state]
    return [make()]


def _admit(world: World, key: str) -> None:
    world.admit(world.admission(key=key))


def _admit_when_full(world: World, key: str) -> None:
    world.limit(ready_max_entries=0)
    _admit(world, key)


def _admit_other_payload(world: World, key: str) -> None:
    world.admit(world.admission(key=key, payload=b"{}"))


def _admit_with_its_reply(world: World, key: str) -> None:
    world.admit(replace(world.admission(key=key), reply=b"r"))


def _turn_without_capacity(world: World, key: str) -> None:
    world.limit(capacity={(GPT, GPT_AT): 0})
    world.take(key, "other")


def _turn_of_an_old_list(world: World, key: str) -> None:
    world.plan(replace(world.member(key), turn=9))
    world.turn("other")


def _forget_at(world: World, key: str) -> None:
    live = world.ledger.partition(world.epoch, SOURCE, 0, FAR).live
    offset = next((at for at, each in live.items() if each == key), FAR)
    world.ledger.forget_answered(world.epoch, SOURCE, [range(offset, offset + 1)])


CALLS = {
    "admit": [_admit, _admit_when_full, _admit_other_payload, _admit_with_its_reply],
    "withdraw": [lambda w, key: w.ledger.withdraw(w.epoch, [key])],
    "plan": [
        lambda w, key: w.plan(key),
        lambda w, key: w.plan(key, dispatcher_id="another"),
    ],
    "turn": [
        lambda w, key: w.take(key, "other"),
        _turn_without_capacity,
        _turn_of_an_old_list,
    ],
    "expire": [lambda w, key: w.ledger.expire(w.epoch, key)],
    "renew": [
        lambda w, key: w.ledger.renew(w.epoch, {key: "L1"}, 60_000),
        lambda w, key: w.ledger.renew(w.epoch, {key: "other"}, 60_000),
    ],
    "put_back": [
        lambda w, key: w.ledger.put_back(w.epoch, key, "L1"),
        lambda w, key: w.ledger.put_back(w.epoch, key, "other"),
    ],
    "complete": [
        lambda w, key: w.complete(key),
        lambda w, key: w.complete(key, "L1"),
        lambda w, key: w.complete(key, "other"),
    ],
    "cancel": [lambda w, key: w.ledger.cancel(w.epoch, key, 60)],
    "published": [lambda w, key: w.publish(key, REPLY_AT)],
    "forget_answered": [_forget_at],
}


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("step", STEPS)
def test_a_step_leads_where_the_table_says_and_nowhere_else(
    world: World, step: str, state: State | None
):
    reached = set()
    for call in CALLS[step]:
        for key in _entries(world, state):
            assert world.state(key) == state
            call(world, key)
            reached.add(world.state(key))
        world.limit()
    assert STEP_TABLE[step, state] == reached


# These keep the state and move its lease or a mark: they have tests of their own.
NO_OPS = [
    (step, state)
    for (step, state), reached in STEP_TABLE.items()
    if reached == {state} and step not in {"renew", "cancel"}
]


@pytest.mark.parametrize(("step", "state"), NO_OPS)
def test_what_the_table_does_not_allow_changes_nothing(
    world: World, step: str, state: State | None
):
    for key in _entries(world, state):
        world.ledger.snapshot(world.epoch)  # what is left of old slots goes now
        before = world.trace(key)
        for call in CALLS[step]:
            call(world, key)
            world.limit()
        assert world.trace(key) == before
