"""The scripts keep the rules of `plan` and `turn` in random histories, as memory does.

On Redis's own clock: a slow machine has other histories, and the rules hold in each.
"""

import pytest

from tests.simulation.histories import History
from tests.support.ledgers import OnRedis

STEP_MS = 5


@pytest.mark.parametrize("seed", range(2))
def test_no_history_breaks_a_rule(redis_url: str, seed: int):
    history = History(seed, OnRedis(redis_url), STEP_MS).run()
    assert not history.violations
    assert history.starts > 5
