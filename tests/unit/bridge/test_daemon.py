"""The bridge's loop on a machine that is too slow for what it hears of."""

from collections import Counter

from agentsched.kafka.group.assignment import AssignedPartition
from agentsched.ledger.values import Change, ChangeKind
from agentsched.telemetry.meters import Meters
from agentsched.wire.epoch import NO_EPOCH
from agentsched.wire.records import OutboundRecord, Partition, RecordAt
from bridge.core import commands as do
from bridge.core import events as ev
from bridge.core.rules import Rules
from bridge.daemon import Daemon
from bridge.observer import BridgeObserver
from tests.support.requests import record, settings
from tests.unit.bridge.effects_rig import Rig

PARTITION = Partition("medium_priority", 0)
REQUESTS = 20
TURNS = 1_500


class Slow(BridgeObserver):
    """Each event takes 10 ms, and is counted."""

    def __init__(self, clock):
        super().__init__(Meters("bridge"))
        self._clock = clock

    def saw(self, event, state):
        super().saw(event, state)
        self._clock.now_ms += 10


class Source:
    """Kafka: some requests at once, then nothing; it ends the loop after some turns."""

    joined = True

    def __init__(self, daemon, rig):
        self._daemon, self._rig, self._turns = daemon, rig, 0

    def subscribe(self, topics):
        assert PARTITION.topic in topics
        one = AssignedPartition(PARTITION, "t1", None, 0, REQUESTS)
        self._daemon.on_assigned([one])

    def poll(self, most, timeout_s):
        del most, timeout_s
        self._rig.now_ms += 1
        self._turns += 1
        if self._turns == TURNS:
            self._daemon.stop()
        if self._turns != 1:
            return []
        return [record(offset, {"content": "x"}) for offset in range(REQUESTS)]

    def commit(self, marks):
        committed = {where: mark.offset for where, mark in marks.items()}
        self._daemon.on_committed(committed)

    def pause(self, partitions):
        pass

    def close(self):
        pass


class Revoking(Source):
    """Kafka: the partition is taken away in the second turn."""

    def poll(self, most, timeout_s):
        read = super().poll(most, timeout_s)
        if self._turns == 2:
            self._daemon.on_revoked([PARTITION])
            sent = self._rig.sink.sent
            self._rig.acknowledged = [one.topic for one, done in sent if done.done()]
            self._daemon.stop()
        return read


class Reader:
    """Hears of nothing: the test puts changes into the inbox."""

    def start(self, epoch, cursor):
        pass

    def switch(self, epoch):
        pass

    def stop(self):
        pass


def test_while_much_waits_to_be_handled_no_doorbell_is_rung_twice():
    rig = Rig()
    rig.ledger.membership.beat_worker("w1", {"m": REQUESTS}, 10**9)
    rules = Rules(
        settings(capacity=REQUESTS, timing={"drain_s": 0}, limits={"ttl_s": 3600})
    )
    rig.effects.adopt(rules)

    daemon = Daemon(
        rules=rules,
        effects=rig.effects,
        make_source=lambda daemon: Source(daemon, rig),
        make_reader=lambda deliver: Reader(),
        now_ms=lambda: rig.now_ms,
        known_pulse=lambda: NO_EPOCH,
        inbox=rig.inbox,
        observer=Slow(rig),
    )
    last_change = Change(ChangeKind.LEFT, "0-1", "another")
    rig.inbox.put(lambda: [ev.Changed((last_change,), rig.now_ms, "")] * 2_000)
    daemon.run()
    rung = Counter(each.key for each in rig.doorbells.rung)
    assert len(rung) == REQUESTS
    assert set(rung.values()) == {1}


def test_who_gives_a_partition_up_waits_for_what_follows_a_record_too():
    """The dead letter of a conflict is sent when the conflict is told."""
    rig = Rig()
    rig.effects.adopt(Rules(settings(timing={"drain_s": 0})))
    flushed = []

    def flush(timeout_s):
        flushed.append(timeout_s)
        for _, delivery in list(rig.sink.sent):
            if not delivery.done():
                delivery.set_result(RecordAt("results", 0, len(flushed)))
        return 0

    rig.sink.flush = flush
    conflict = OutboundRecord("results", b"{}", "c", {"kind": "conflict"})
    letter = OutboundRecord("x.dead_letter", b"{}", "c")
    refusal = do.PublishRefusal(letter, "medium_priority:t1:0", 0, conflict)
    daemon = Daemon(
        rules=Rules(settings(timing={"drain_s": 0})),
        effects=rig.effects,
        make_source=lambda daemon: Revoking(daemon, rig),
        make_reader=lambda deliver: Reader(),
        now_ms=lambda: rig.now_ms,
        known_pulse=lambda: NO_EPOCH,
        inbox=rig.inbox,
        observer=BridgeObserver(Meters("bridge")),
    )
    rig.inbox.put(lambda: rig.effects.run(refusal))
    daemon.run()
    assert rig.acknowledged[:2] == ["results", "x.dead_letter"]
