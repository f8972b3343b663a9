"""The order of starts, measured at the model server, on the real stack."""

import random
import time
from functools import partial

import pytest

from tests.support.model_server import ModelServer
from tests.support.system import System
from tests.support.waiting import eventually, is_timed

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]

CAPACITY = 3
LATEST_S = 0.25
ROUNDS = 5


def uneven(asked):
    """Calls of 0.3 to 0.7 s, so that slots become free one by one."""
    return random.Random(asked["messages"][0]["content"]).uniform(0.3, 0.7)


def owns(system, bridge):
    return bool(system.events(bridge, "partition_assigned"))


@pytest.mark.timed
@pytest.mark.parametrize("bridges", [1, 2])
def test_a_high_request_is_the_next_to_start(tmp_path, kafka, bridges):
    with (
        ModelServer(delay_s=uneven) as server,
        System(
            tmp_path, kafka, server, {"m": CAPACITY}, classes=("high", "low")
        ) as system,
    ):
        system.start(bridges=bridges)
        # Two topics of one partition: of two bridges each owns one of them.
        names = [f"bridge{number}" for number in range(bridges)]
        eventually(lambda: all(owns(system, name) for name in names), timeout_s=30)
        low = system.send("low", 30)
        eventually(lambda: len(server.calls) >= 2 * CAPACITY, timeout_s=20)
        high, prompt = [], 0
        for _ in range(ROUNDS):
            low += system.send("low", 12)  # there are always some that wait
            (one,) = system.send("high", 1)
            appended_s = time.monotonic()
            high.append(one)
            calls = eventually(partial(calls_until, server, one), timeout_s=20)
            ahead = [call.started_s for call in calls if call.started_s > appended_s]
            assert len(ahead) <= CAPACITY
            prompt += all(start_s <= appended_s + LATEST_S for start_s in ahead)
        # A machine may stall for a moment; a scheduler that is late is so every time.
        assert prompt > ROUNDS / 2 or not is_timed()

        system.replies.wait_for({*low, *high}, 60)
        (last,) = (i for i, call in enumerate(server.calls) if call.prompt == high[-1])
        assert last + 1 < len(server.calls), "low ones waited while the last high ran"
        system.replies.wait_for({*low, *high}, 60)
        assert server.peak_in_flight("m") == CAPACITY
        assert len(server.calls) == len(low) + len(high)


def calls_until(server, prompt):
    """The calls that began before the one with this prompt; None until it began."""
    calls = server.calls
    for number, call in enumerate(calls):
        if call.prompt == prompt:
            return calls[:number]
    return None
