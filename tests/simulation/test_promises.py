"""Thousands of systems with faults, and what must be true of every one of them."""

import os
import secrets
import subprocess
import sys
import time

import pytest

from tests.simulation.plan import draw
from tests.simulation.shrink import report
from tests.simulation.system import run

SEEDS = 2_000
AT_ONCE = 100
"""Seeds in one test: a few seconds."""
MORE_SEEDS = 20_000
MORE_AT_ONCE = 500


def keep_their_promises(first: int, count: int) -> None:
    for seed in range(first, first + count):
        result = run(draw(seed))
        if result.violations:
            pytest.fail(report(result), pytrace=False)


@pytest.mark.parametrize("first", range(0, SEEDS, AT_ONCE))
def test_nothing_is_lost_and_each_request_has_one_answer(first: int):
    keep_their_promises(first, AT_ONCE)


@pytest.mark.parametrize(
    "seed",
    [
        760762111453,  # a withdrawn request took along what was attached to it
        577792405645,  # Redis was put back to before its limits were written
        857146356004,  # an answered request came back, and nobody knew it
        186970971681,
        455974079632,  # a paused bridge admitted what was answered, into a new epoch
        265335641133,  # an overdue request's doubled doorbell (the rule was wrong)
        240700648529,  # a worker slept while Redis forgot its call (the rule was wrong)
    ],
)
def test_what_rare_seeds_have_shown_stays_mended(seed: int):
    keep_their_promises(seed, 1)


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize("number", range(MORE_SEEDS // MORE_AT_ONCE))
def test_that_is_so_for_seeds_that_nobody_has_tried(number: int):
    keep_their_promises(secrets.randbelow(2**40), MORE_AT_ONCE)


def test_a_seed_has_the_same_history_in_every_process():
    digests = set()
    for hash_seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-m", "tests.simulation", "12", "--digest"],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        )
        digests.add(done.stdout)
    assert len(digests) == 1


def test_no_process_reads_the_clock_of_its_machine(monkeypatch: pytest.MonkeyPatch):
    """So a clock that jumps is no fault here; `SKEWS_MS` stands for a wrong one."""

    def read() -> None:
        raise AssertionError("something reads the machine's clock")

    with monkeypatch.context() as patched:
        for clock in ("time", "time_ns", "monotonic", "monotonic_ns"):
            patched.setattr(time, clock, read)
        violations = [run(draw(seed)).violations for seed in range(20)]
    assert not any(violations)


def test_the_seeds_together_see_every_kind_of_fault():
    kinds = {fault.kind for seed in range(100) for fault in draw(seed).faults}
    assert len(kinds) >= 10


def test_a_failing_run_says_how_to_see_it():
    result = run(draw(3))
    result.violations.append("0 ms: made up")
    assert "python -m tests.simulation 3" in report(result)
