"""A voided lease stops its call at once."""

from agentsched.errors import LedgerUnavailable
from agentsched.ledger.memory.voided_leases import MemoryVoidedLeases
from agentsched.worker import abort_listener
from agentsched.worker.abort_listener import AbortListener
from agentsched.worker.leases import LeaseBook, Stop
from tests.support.waiting import eventually


class Stumbling(MemoryVoidedLeases):
    """Redis is away at the first look."""

    def __init__(self):
        super().__init__()
        self.asked = 0

    def take(self, wait_s):
        self.asked += 1
        if self.asked == 1:
            raise LedgerUnavailable("away")
        return super().take(wait_s)


def listening(voided):
    leases = LeaseBook()
    listener = AbortListener(voided, leases)
    listener.start()
    return leases, listener


def test_the_call_under_it_is_stopped_and_no_other():
    voided = MemoryVoidedLeases()
    leases, listener = listening(voided)
    gone, kept = leases.hold("e", "k1", "L1"), leases.hold("e", "k2", "L2")
    voided.put("of another worker")
    voided.put("L1")
    eventually(lambda: gone.stopped)
    assert (gone.stopped, kept.stopped) == (Stop.LOST, None)
    listener.stop(5)


def test_it_goes_on_after_redis_was_away(monkeypatch):
    monkeypatch.setattr(abort_listener, "RETRY_S", 0.01)
    voided = Stumbling()
    leases, listener = listening(voided)
    lease = leases.hold("e", "k1", "L1")
    eventually(lambda: voided.asked > 1)
    voided.put("L1")
    eventually(lambda: lease.stopped)
    listener.stop(5)
