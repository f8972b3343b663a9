"""Faults at random times, by a seed: what is promised holds. `make chaos` runs others."""

import pytest

from tests.chaos.faults import FAULTS
from tests.chaos.run import run
from tests.chaos.scene import ProxiedKafka

pytestmark = [pytest.mark.kafka, pytest.mark.long, pytest.mark.alone]

SLICE_S = 180
ALL_S = 480
"""Enough for every kind of fault, and for most of them twice."""


@pytest.fixture(scope="module")
def nodes(kafka):
    del kafka  # says what was not tested where there is no real Kafka
    with ProxiedKafka(3) as cluster:
        yield cluster


@pytest.mark.timeout(SLICE_S + 400)
def test_a_slice_of_chaos_breaks_no_promise(tmp_path, nodes):
    verdict = run(tmp_path, nodes, seed=11, seconds=SLICE_S)
    # How many there is time for depends on the machine; which come first, on the seed.
    print("struck:", *verdict.struck)  # noqa: T201
    assert verdict.broken == []
    assert verdict.figures["accepted"] > SLICE_S


@pytest.mark.timeout(ALL_S + 400)
def test_all_faults_break_no_promise(tmp_path, nodes):
    verdict = run(tmp_path, nodes, seed=12, seconds=ALL_S, at_least=len(FAULTS))
    assert verdict.broken == []
    assert set(verdict.struck) == {fault.number for fault in FAULTS}


@pytest.mark.timeout(ALL_S + 400)
def test_while_redis_keeps_its_data_duplicates_are_the_same_bytes(tmp_path, nodes):
    kept = [fault for fault in FAULTS if not fault.loses_redis]
    verdict = run(tmp_path, nodes, seed=13, seconds=ALL_S, faults=kept)
    assert verdict.broken == []
    assert verdict.figures["differing"] == 0
