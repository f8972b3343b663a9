"""The epoch that a bridge works in: when it opens one, and when it takes Redis for lost."""

import pytest

from agentsched.errors import LedgerUnavailable
from agentsched.ledger.memory.ledger import MemoryLedger
from agentsched.ledger.values import Limits
from bridge.effects.epoch_watch import EpochWatch
from tests.support.requests import ARRIVAL_MS


@pytest.fixture
def ledger():
    return MemoryLedger(lambda: ARRIVAL_MS)


def test_what_was_heard_in_a_lost_epoch_does_not_void_the_next_one(ledger):
    failures = []

    def begin(epoch):
        del epoch
        if failures:
            raise failures.pop()

    watch = EpochWatch(ledger.membership, begin)
    first = watch.check().pulse
    watch.remember(first, "1-0")
    ledger.server.lose()
    failures.append(LedgerUnavailable("time-out"))
    with pytest.raises(LedgerUnavailable):
        watch.check()
    second = ledger.membership.beat(first, "").pulse.epoch
    watch.remember(first, "1-0")
    assert watch.check().pulse.epoch == second


def test_a_redis_that_is_put_back_to_before_its_limits_is_a_lost_one(ledger):
    saved = []

    def begin(epoch):
        saved.append(ledger.server.save())
        ledger.set_limits(epoch, Limits({}))

    watch = EpochWatch(ledger.membership, begin)
    first = watch.check().pulse.epoch
    ledger.server.rollback(saved[0])
    assert watch.check().pulse.epoch > first
