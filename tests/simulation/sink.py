"""What bridges and workers write to Kafka with: `RecordSink`, with slow and lost answers.

A record waits in the process first (it dies with it), then it is on the wire (nothing
stops it any more), then it is in the log; the acknowledgement comes back last.
"""

from collections.abc import Callable

from agentsched.errors import DeliveryFailed
from agentsched.wire.records import OutboundRecord
from tests.simulation.kafka import SimKafka
from tests.simulation.waiting import SimFuture
from tests.simulation.world import Process, Ticket, World

LINGER_MS = 5
WIRE_MS = 8


class SimSink:
    """The producer of one process."""

    def __init__(
        self, world: World, kafka: SimKafka, process: Process, delivery_timeout_ms: int
    ) -> None:
        self._world = world
        self._kafka = kafka
        self._process = process
        self._timeout_ms = delivery_timeout_ms
        self._under_way = 0
        self._flushing: list[Ticket] = []
        self.failures: list[str] = []
        """What happens to the next records: `refused` (not written), `lost` (written,
        the answer is lost) or `slow` (written late)."""

    def send(self, record: OutboundRecord) -> SimFuture:
        self._world.boundary()
        failure = self.failures.pop(0) if self.failures else ""
        future = SimFuture(self._world)
        self._under_way += 1
        self._world.after(
            self._some(LINGER_MS),
            self._leave,
            (record, failure, future, self._world.now_ms),
            self._process,
        )
        return future

    def flush(self, timeout_s: float) -> int:
        self._world.boundary()
        if self._under_way:
            self._flushing.append(self._world.ticket())
            self._world.park(round(timeout_s * 1000))
        return self._under_way

    def close(self, timeout_s: float) -> int:
        return self.flush(timeout_s)

    def _leave(self, sending: tuple[OutboundRecord, str, SimFuture, int]) -> None:
        record, failure, future, sent_ms = sending
        late_ms = self._world.now_ms - sent_ms
        given_up = late_ms > self._timeout_ms and self._world.rng.random() < 0.5
        rest_ms = max(0, self._timeout_ms - late_ms)
        if failure == "refused" or given_up:
            self._world.trouble(self._process, "send refused")
            self._world.after(rest_ms, self._fail, future, self._process)
            return
        wire_ms = self._some(WIRE_MS)
        if failure:
            self._world.trouble(self._process, f"send {failure}")
        if failure == "slow":
            wire_ms = self._some(self._timeout_ms)
        self._world.after(wire_ms, self._arrive, (record, future, failure))
        if failure == "lost":
            self._world.after(rest_ms, self._fail, future, self._process)

    def _arrive(self, sending: tuple[OutboundRecord, SimFuture, str]) -> None:
        record, future, failure = sending
        at = self._kafka.append(record)
        if failure != "lost":
            acknowledge = lambda _: self._end(future, lambda: future.set_result(at))  # noqa: E731
            self._world.after(self._some(WIRE_MS), acknowledge, None, self._process)

    def _fail(self, future: SimFuture) -> None:
        error = DeliveryFailed("simulated")
        self._end(future, lambda: future.set_exception(error))

    def _end(self, future: SimFuture, end: Callable[[], None]) -> None:
        if future.done():
            return
        self._under_way -= 1
        end()
        if not self._under_way:
            flushing, self._flushing = self._flushing, []
            for ticket in flushing:
                self._world.wake(ticket)

    def _some(self, most_ms: int) -> int:
        return int(self._world.rng.random() * (most_ms + 1))
