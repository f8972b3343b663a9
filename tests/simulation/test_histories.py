"""`plan` and `turn` keep their rules in any history, and each of their checks is needed."""

import secrets

import pytest

from agentsched.ledger.memory.ledger import MemoryLedger
from tests.simulation.histories import History
from tests.simulation.turn_mutations import MUTATIONS
from tests.support.ledgers import InMemory

SEEDS = 20
SEEDS_OF_A_MUTATION = 60
MORE_SEEDS = 5_000
MORE_AT_ONCE = 500


def history(seed: int, ledger: type[MemoryLedger] = MemoryLedger) -> History:
    backend = InMemory()
    backend.ledger = ledger(backend.now_ms)
    return History(seed, backend).run()


def keep_the_rules(seeds: range) -> None:
    for seed in seeds:
        violations = history(seed).violations
        assert not violations, f"history {seed}: {sorted(violations)}"


def test_no_history_breaks_a_rule():
    keep_the_rules(range(SEEDS))


def test_histories_start_much():
    assert all(history(seed).starts > 10 for seed in range(5))


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize("number", range(MORE_SEEDS // MORE_AT_ONCE))
def test_no_history_breaks_a_rule_that_nobody_has_tried(number: int):
    first = secrets.randbelow(2**40)
    keep_the_rules(range(first, first + MORE_AT_ONCE))


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_check_that_is_missing_shows(name: str):
    ledger, shows = MUTATIONS[name]
    assert any(
        shows in history(seed, ledger).violations for seed in range(SEEDS_OF_A_MUTATION)
    ), f"{SEEDS_OF_A_MUTATION} histories did not show {shows!r}"
