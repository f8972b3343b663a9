"""F20: clocks of a bridge and of a worker are wrong by two hours, and jump."""

import pytest

from tests.support import harmed
from tests.support.model_server import Hold, ModelServer
from tests.support.system import System
from tests.support.waiting import eventually

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]

TWO_HOURS_S = 7200
SHORT_LEASE = {"timing": {"lease_s": 6, "renew_s": 1}}
CAPACITY = 3


class Skewed(System):
    """Every process has a clock of its own."""

    def environ_of(self, name):
        return {harmed.CLOCK: str(self._clock(name))}

    def set_clock(self, name, wrong_by_s):
        new = self.root / "clock.new"
        new.write_text(str(wrong_by_s))
        new.rename(self._clock(name))

    def _clock(self, name):
        return self.root / f"{name}.clock"


def test_wrong_clocks_repeat_no_call_and_end_nothing_early(tmp_path, kafka):
    held = True
    with (
        ModelServer(script=lambda asked: Hold(lambda: not held)) as server,
        Skewed(
            tmp_path,
            kafka,
            server,
            {"m": CAPACITY},
            config=SHORT_LEASE,
            python_path=harmed.FOLDER,
        ) as system,
    ):
        system.set_clock("bridge0", -TWO_HOURS_S)
        system.set_clock("worker-m-0", TWO_HOURS_S)
        system.start(bridges=2, workers=2)
        running = set(system.send("high", CAPACITY, ttl_s=600))
        waiting = set(system.send("low", 6, ttl_s=600))
        eventually(lambda: server.in_flight("m") == CAPACITY, timeout_s=30)
        # Long enough for every lease to end that anybody would take for over.
        system.set_clock("bridge1", TWO_HOURS_S)
        system.set_clock("worker-m-0", -TWO_HOURS_S)
        late = set(system.send("high", 2, ttl_s=10))
        replies = system.replies.wait_for(late, 60)
        assert {reply["error"]["code"] for reply in replies.values()} == {
            "DEADLINE_EXCEEDED"
        }
        assert system.replies.counts().keys() == late

        held = False
        replies = system.replies.wait_for(running | waiting, 60)
        assert {reply["status"] for reply in replies.values()} == {"completed"}
        assert set(system.replies.counts().values()) == {1}
        assert len(server.calls) == len(running | waiting)
        assert {reply["attempts"] for reply in replies.values()} == {1}
