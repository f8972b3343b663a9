"""The simulation finds known bugs: else its silence would mean nothing."""

from dataclasses import replace
from random import Random

import pytest

from tests.simulation.mutations import (
    MUTATIONS,
    TAKE_OVERS,
    AttachesToWhatIsStored,
    ForgetsSoon,
    Greedy,
    LooksLate,
)
from tests.simulation.plan import Fault, Plan, draw, workers_of
from tests.simulation.shrink import Shrunk
from tests.simulation.system import Parts, run

SEEDS = 600
SEEDS_OF_ONE = 60


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_known_bug_is_found(name: str):
    mutation = MUTATIONS[name]
    for seed in range(SEEDS):
        found = run(draw(seed, mutation.kinds), mutation.parts).violations
        if any(mutation.shows in violation for violation in found):
            return
    pytest.fail(f"{SEEDS} seeds did not show {mutation.shows!r}")


def crowded(seed: int) -> Plan:
    """Much work, few slots and no fault: what is overdue still waits for its slot.

    With slots to spare a worker claims it soon, and hides a bridge that is late.
    """
    plan = draw(seed)
    shape = replace(plan.shape, capacity=(1, 1), slots=1, slow_ms=8_000)
    return replace(plan, shape=shape, faults=())


def test_a_bridge_that_answers_a_minute_late_is_found():
    for seed in range(SEEDS_OF_ONE):
        assert run(crowded(seed)).violations == []
    late = [
        violation
        for seed in range(SEEDS_OF_ONE)
        for violation in run(crowded(seed), Parts(effects=LooksLate)).violations
    ]
    assert any("L1 answered later than the grace" in one for one in late)


def impatient(seed: int) -> Plan:
    """Each request is sent again about when it is answered, and workers note that late."""
    plan, rng = draw(seed), Random(seed)
    shape = replace(plan.shape, slow_ms=200)
    firsts = {
        one.correlation_id: one
        for one in reversed(plan.submissions)
        if one.kind == "request"
    }.values()
    again = [replace(one, at_ms=one.at_ms + rng.randrange(30, 800)) for one in firsts]
    sent = tuple(replace(one, number=n) for n, one in enumerate([*firsts, *again]))
    late = tuple(
        Fault("steps", at_ms, rng.choice(workers_of(shape)), how="refused")
        for at_ms in range(500, 9_000, 150)
    )
    return replace(plan, shape=shape, submissions=sent, faults=late)


def test_who_sends_a_request_again_while_its_reply_goes_out_does_not_wait_in_vain():
    for seed in range(SEEDS_OF_ONE):
        assert run(impatient(seed)).violations == []
    parts = Parts(ledger=AttachesToWhatIsStored)
    assert any(
        "L2 a client waits in vain" in violation
        for seed in range(SEEDS_OF_ONE)
        for violation in run(impatient(seed), parts).violations
    )


def test_a_dispatcher_that_asks_for_too_much_breaks_nothing():
    for seed in range(SEEDS_OF_ONE):
        assert run(draw(seed), Parts(rules=Greedy)).violations == []


def test_what_is_noted_as_done_outlives_the_horizon():
    for seed in range(SEEDS_OF_ONE):
        plan = draw(seed, TAKE_OVERS)
        assert run(plan, Parts(ledger=ForgetsSoon)).violations == []


def test_a_failing_plan_is_made_small():
    mutation = MUTATIONS["commit one too far"]
    plan = draw(0)
    shrunk = Shrunk(plan, mutation.parts)
    assert len(shrunk.submissions) <= 3 < len(plan.submissions)
    assert run(shrunk.plan, mutation.parts).violations
