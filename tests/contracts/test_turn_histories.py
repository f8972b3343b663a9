"""The scripts keep the rules of `plan` and `turn` in random histories, as memory does.

They run on Redis's own clock, which goes on while a slow machine makes a step: the rules
that depend on how long a step lasts are those of the histories in memory alone.
"""

import pytest

from tests.simulation.histories import TIMED, History
from tests.support.ledgers import OnRedis

STEP_MS = 5


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", range(2))
def test_no_history_breaks_a_rule(redis_url: str, seed: int):
    history = History(seed, OnRedis(redis_url), STEP_MS).run()
    assert history.violations - TIMED == set()
    assert history.starts > 5
