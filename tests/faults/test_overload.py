"""F21: far more than the capacity for a while; Redis stays small, high goes first."""

import threading

import pytest

from tests.support.model_server import ModelServer
from tests.support.system import System
from tests.support.waiting import eventually

pytestmark = [pytest.mark.kafka, pytest.mark.long, pytest.mark.timeout(240)]

CAPACITY, CALL_S = 4, 0.05
LOW, HIGH = 600, 20
HURRIED, HURRIED_TTL_S = 320, 3
"""Four seconds of the whole capacity: not all can be in time."""
FEW_CALLS = 8 * CAPACITY
MAX_READY = 50
FEW = {"limits": {"ready_max_entries": MAX_READY}}


class Peaks(threading.Thread):
    """The most that the ledger ever held of what is unanswered."""

    def __init__(self, system):
        super().__init__(name="peaks")
        self._system, self._over = system, threading.Event()
        self.waiting = self.slots = self.looks = 0

    def run(self):
        while not self._over.wait(0.05):
            ledger = self._system.ledger
            if (epoch := ledger.views.epoch()) is None:
                continue  # the bridge has not begun yet
            found = ledger.snapshot(epoch)
            self.waiting = max(self.waiting, len(found.ready))
            self.slots = max(self.slots, len(found.slots))
            self.looks += 1

    def stop(self):
        self._over.set()
        self.join()


def test_an_overload_waits_in_kafka_and_high_requests_pass_it(tmp_path, kafka):
    with (
        ModelServer(delay_s=CALL_S) as server,
        System(tmp_path, kafka, server, {"m": CAPACITY}, config=FEW) as system,
    ):
        system.start()
        peaks = Peaks(system)
        peaks.start()
        try:
            low = set(system.send("low", LOW))
            hurried = set(
                system.send("low", HURRIED, label="hurried", ttl_s=HURRIED_TTL_S)
            )
            eventually(lambda: len(server.calls) > 20, timeout_s=30)
            high = set(system.send("high", HIGH))
            system.replies.wait_for(high, 60)
            left = len(low - system.replies.counts().keys())
            replies = system.replies.wait_for(low | hurried | high, 120)
        finally:
            peaks.stop()
        # So many were still waiting when the last high one had its answer.
        assert left > LOW // 4
        assert {replies[id_]["status"] for id_ in low | high} == {"completed"}
        assert set(system.replies.counts().values()) == {1}
        late = [id_ for id_ in hurried if replies[id_]["status"] == "failed"]
        codes = {replies[id_]["error"]["code"] for id_ in late}
        assert codes == {"DEADLINE_EXCEEDED"}
        called = [call.prompt for call in server.calls]
        assert len(called) == len(set(called))
        # Called at all were only the late ones that ran when their time was over.
        assert len(set(called).intersection(late)) <= FEW_CALLS
        places = [at for at, id_ in enumerate(called) if id_ in high]
        passed = places[-1] - places[0] + 1 - HIGH
        assert passed <= FEW_CALLS
        assert peaks.looks > 20
        assert peaks.waiting <= MAX_READY
        assert peaks.slots <= CAPACITY
        eventually(lambda: system.committed("low") == LOW + HURRIED, timeout_s=30)
        found = system.ledger.snapshot(system.ledger.views.epoch() or "")
        assert (len(found.ready), len(found.slots)) == (0, 0)
