"""The bridge's loop: what it takes in which order, and how long it is silent."""

from collections import Counter
from itertools import chain, repeat

import pytest

import bridge.daemon
from agentsched.errors import LedgerUnavailable
from agentsched.kafka.errors import KafkaFailed
from agentsched.ledger.values import Change, ChangeKind
from agentsched.telemetry.meters import Meters
from agentsched.wire.records import OutboundRecord, RecordAt
from bridge.core import commands as do
from bridge.core import events as ev
from bridge.core.rules import Rules
from bridge.observer import BridgeObserver
from tests.support.requests import record, settings
from tests.unit.bridge.daemon_rig import PLACE, build
from tests.unit.bridge.effects_rig import Rig

REQUESTS = 20


def nothing(_daemon):
    """Nothing happens meanwhile."""


class Slow(BridgeObserver):
    """Each event takes 10 ms, and is kept."""

    def __init__(self, clock):
        super().__init__(Meters("bridge"))
        self._clock, self.seen = clock, []

    def saw(self, event, state):
        super().saw(event, state)
        self._clock.now_ms += 10
        self.seen.append(event)


def test_while_much_waits_to_be_handled_what_is_admitted_is_listed_and_rung_for():
    rig = Rig()
    rig.ledger.membership.beat_worker("w1", {"m": REQUESTS}, 10**9, parked=REQUESTS)
    rules = Rules(
        settings(capacity=REQUESTS, timing={"drain_s": 0}, limits={"ttl_s": 3600})
    )
    rig.effects.adopt(rules)
    requests = [record(offset, {"content": "x"}) for offset in range(REQUESTS)]
    last_change = Change(ChangeKind.LEFT, "0-1", "another")
    waited = []

    def much(daemon):
        rig.inbox.put(lambda: daemon.on_read(requests) or [])
        rig.inbox.put(lambda: [ev.Changed((last_change,), rig.now_ms, "")] * 2_000)
        rig.inbox.put(lambda: waited.extend(rig.doorbells.rung) or [])

    daemon, _ = build(rig, rules, [much, nothing], records=REQUESTS, observer=Slow(rig))
    daemon.run()
    rung = Counter(each.key for each in waited)
    assert len(rung) == REQUESTS
    # Again only after 250 ms, 500 ms, 1 s and so on.
    assert max(rung.values()) <= 8


def test_who_gives_a_partition_up_waits_for_what_follows_a_record_too():
    """The dead letter of a conflict is sent when the conflict is told."""
    rig = Rig()
    rules = Rules(settings(timing={"drain_s": 0}))
    rig.effects.adopt(rules)
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
    acknowledged = []

    def revoke(daemon):
        daemon.on_revoked([PLACE])
        acknowledged.extend(one.topic for one, done in rig.sink.sent if done.done())

    script = [lambda _: rig.effects.run(refusal), revoke]
    daemon, _ = build(rig, rules, script)
    daemon.run()
    assert acknowledged[:2] == ["results", "x.dead_letter"]


def test_each_turn_ends_with_one_round_after_all_that_had_come():
    rig, seen = Rig(), []
    rules = Rules(settings(timing={"drain_s": 0}))
    observer = Slow(rig)

    def two(_daemon):
        for offset in (3, 4):
            settled = ev.OffsetSettled("s", offset)
            rig.inbox.put(lambda event=settled: [event])

    daemon, _ = build(rig, rules, [two, nothing], observer=observer)
    daemon.run()
    wanted = (ev.OffsetSettled, ev.Round)
    seen = [type(one).__name__ for one in observer.seen if isinstance(one, wanted)]
    at = seen.index("OffsetSettled")
    assert seen[at : at + 3] == ["OffsetSettled", "OffsetSettled", "Round"]


def test_between_thousands_of_commands_the_dispatcher_keeps_its_lease(monkeypatch):
    rig = Rig()
    rules = Rules(settings(timing={"drain_s": 0}))
    beats, undone = [], []

    def step(state, event):
        match event:
            case ev.Read():
                return state, [do.Expire(str(number)) for number in range(3_000)]
            case ev.Tick():
                return state, [do.MeetPeers(lead=True), do.CountCalls()]
        return state, []

    def run(command, epoch=None):
        rig.now_ms += 5
        if isinstance(command, do.MeetPeers):
            beats.append(rig.now_ms)
        else:
            undone.append(type(command))
        return []

    monkeypatch.setattr(bridge.daemon, "step", step)
    daemon, _ = build(rig, rules, [lambda daemon: daemon.on_read([])])
    monkeypatch.setattr(rig.effects, "run", run)
    began_ms = rig.now_ms
    daemon.run()
    gaps = [b - a for a, b in zip([began_ms, *beats], beats, strict=False)]
    assert max(gaps) <= 1_000, "its lease of 3 s would have ended"
    # What is not vital waits for its turn.
    last = max(at for at, kind in enumerate(undone) if kind is do.Expire)
    assert undone[:last].count(do.CountCalls) <= 2


def test_a_loop_that_kafka_fails_for_good_ends_and_gives_up_what_it_has():
    rig = Rig()
    rules = Rules(settings(timing={"drain_s": 0}))

    def fail(_daemon):
        def broken():
            raise KafkaFailed("broken for good")

        rig.inbox.put(broken)

    daemon, kafka = build(rig, rules, [fail])
    with pytest.raises(KafkaFailed, match="broken for good"):
        daemon.run()
    assert kafka.closed
    assert rig.ledger.membership.beat_bridge("another", 1_000) == 1


def test_what_only_a_dispatcher_needs_is_read_before_its_first_snapshot(monkeypatch):
    rig = Rig()
    rules = Rules(settings(timing={"drain_s": 0}))
    run, seen = rig.effects.run, []

    def watch(command, epoch=None):
        if isinstance(command, do.TakeSnapshot):
            seen.append(daemon._reader.detailed)
        return run(command, epoch)

    daemon, _ = build(rig, rules, [nothing] * 200)
    monkeypatch.setattr(rig.effects, "run", watch)
    daemon.run()
    assert set(seen) == {True}


class Restless(BridgeObserver):
    """Ends a loop that does not sleep."""

    def __init__(self):
        super().__init__(Meters("bridge"))
        self.rounds = 0

    def saw(self, event, state):
        super().saw(event, state)
        self.rounds += isinstance(event, ev.Round)
        assert self.rounds < 200, "the loop spins"


def test_a_bridge_that_lost_its_lead_in_the_middle_of_a_plan_sleeps():
    rig = Rig()
    rules = Rules(settings(timing={"drain_s": 0}))

    def cut(daemon):
        daemon._state.leading = False
        daemon._state.lead.lists.was_cut = True

    daemon, _ = build(rig, rules, [cut, *[nothing] * 5], observer=Restless())
    daemon.run()


def test_while_redis_is_silent_the_loop_sleeps_though_much_wants_to_be_admitted():
    rig = Rig()
    rig.ledger.membership.beat_worker("w1", {"m": REQUESTS}, 10**9)
    rules = Rules(settings(timing={"drain_s": 0}, limits={"ttl_s": 3600}))
    rig.effects.adopt(rules)

    def silent(*_):
        raise LedgerUnavailable("time-out")

    def read(daemon):
        rig.ledger.admit = silent
        requests = [record(offset, {"content": "x"}) for offset in range(REQUESTS)]
        daemon.on_read(requests)

    script = [nothing, nothing, read, *[nothing] * 60]
    daemon, _ = build(
        rig, rules, script, step_ms=60, records=REQUESTS, observer=Restless()
    )
    daemon.run()
    assert rig.redis().detail == "time-out"


def ends_in_order(rig, kafka):
    """Whether a bridge left its group and gave up what it had in Redis."""
    return kafka.closed and rig.ledger.membership.beat_bridge("another", 1_000) == 1


@pytest.mark.parametrize("fails", ["reader", "flush", "late", "work"])
def test_whatever_fails_while_a_bridge_ends_it_leaves_all_the_same(fails, monkeypatch):
    rig = Rig()
    rules = Rules(settings(timing={"drain_s": 0}))
    closed = []

    def broken(*_):
        raise RuntimeError("unforeseen")

    def end(daemon):
        if fails == "reader":
            monkeypatch.setattr(daemon._reader, "stop", broken)
        elif fails == "flush":
            flushes = chain([broken], repeat(lambda: 0))
            monkeypatch.setattr(rig.effects, "flush", lambda _: next(flushes)())
        elif fails == "late":
            monkeypatch.setattr(daemon._reader, "stop", lambda: rig.inbox.put(broken))
        daemon.stop()

    daemon, kafka = build(rig, rules, [end])
    leave = kafka.close

    def close():
        """The group member asks what to commit, after a failure of something else."""
        rig.inbox.put(broken)
        if fails == "work":
            rig.inbox.put(lambda: [object()])
        rig.inbox.put(lambda: leave() or [])

    kafka.close = close
    monkeypatch.setattr(rig.sink, "close", closed.append)
    if fails in ("reader", "flush"):
        with pytest.raises(RuntimeError):
            daemon.run()
    else:
        daemon.run()
    assert ends_in_order(rig, kafka)
    assert closed


def test_a_failure_before_the_end_ends_the_bridge_though_it_leaves_in_order():
    rig = Rig()

    def fail(_daemon):
        def broken():
            raise RuntimeError("unforeseen")

        rig.inbox.put(broken)

    daemon, kafka = build(rig, Rules(settings(timing={"drain_s": 0})), [fail])
    with pytest.raises(RuntimeError):
        daemon.run()
    assert ends_in_order(rig, kafka)


def test_a_bridge_that_is_stopped_while_redis_is_away_closes_what_it_has(monkeypatch):
    rig, closed = Rig(), []

    def silent(*_):
        raise LedgerUnavailable("time-out")

    monkeypatch.setattr(rig.effects, "open", silent)
    monkeypatch.setattr(rig.sink, "close", closed.append)
    daemon, kafka = build(rig, Rules(settings(timing={"drain_s": 0})), [nothing])
    daemon.run()
    assert kafka.closed
    assert closed
