"""Effects: commands become steps of the ledger, doorbells and records."""

from concurrent.futures import Future
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue

import pytest

from agentsched.doorbell import Doorbell
from agentsched.errors import DeliveryFailed, DoorbellFailed, LedgerUnavailable
from agentsched.kafka_records import Mark, OutboundRecord, Partition, RecordAt
from agentsched.ledger.controls import Control, ControlKind
from agentsched.ledger.memory import MemoryLedger
from agentsched.ledger.records import (
    NO_PULSE,
    Admission,
    AdmitOutcome,
    Outcome,
    Pulse,
    ReserveOutcome,
    State,
)
from agentsched.ledger.reports import BridgeReport, Findings, Question
from agentsched.telemetry import metrics
from agentsched.telemetry.meters import Meters
from bridge.core import commands as do
from bridge.core import events as ev
from bridge.core.rules import Rules
from bridge.effects import Effects, Outside
from bridge.observing import BridgeObserver
from tests.support.requests import ARRIVAL_MS, facts, record, settings

ENDPOINT = "http://127.0.0.1:1/v1"
AT = RecordAt("results", 0, 3)


class Unreachable:
    """Stands for a ledger that does not answer."""

    def __getattr__(self, name):
        def step(*_, **__):
            raise LedgerUnavailable("no answer")

        return step


class Doorbells:
    def __init__(self):
        self.rung, self.fails, self.lying, self.known = [], False, {}, []

    def ring(self, doorbells):
        if self.fails:
            raise DoorbellFailed("no broker")
        self.rung += doorbells

    def waiting(self, queue):
        if self.fails:
            raise DoorbellFailed("no broker")
        return self.lying.get(queue, 0)

    def know(self, models):
        self.known += [model.name for model in models]


class Sink:
    """Keeps records; a test answers for Kafka."""

    def __init__(self):
        self.sent = []

    def send(self, record):
        self.sent.append((record, Future()))
        return self.sent[-1][1]

    def flush(self, timeout_s):
        del timeout_s
        return 0

    def close(self, timeout_s):
        del timeout_s
        return 0


@dataclass
class Rig:
    ledger: object = field(
        default_factory=lambda: MemoryLedger(lambda: ARRIVAL_MS + 1_000)
    )
    kept: dict = field(default_factory=dict)
    asked: list = field(default_factory=list)
    answers: object = field(default_factory=dict)

    def __post_init__(self):
        self.now_ms = 7
        self.doorbells, self.sink, self.inbox = Doorbells(), Sink(), SimpleQueue()
        outside = Outside(
            ledger=self.ledger,
            membership=self.ledger,
            operations=self.ledger,
            doorbells=self.doorbells,
            sink=self.sink,
            read_back=self.kept.get,
            look_up=self.look_up,
            now_ms=lambda: self.now_ms,
        )
        self.meters = Meters("bridge")
        observer = BridgeObserver(self.meters)
        self.redis = observer.meter.checks()["redis"]
        rules = Rules(settings())
        self.effects = Effects(outside, rules, "b1", self.inbox.put, observer)

    def look_up(self, wanted, since_ms, stopped):
        self.asked.append((wanted, since_ms))
        if isinstance(self.answers, Exception):
            raise self.answers
        return self.answers

    def open(self):
        self.epoch = self.effects.open().epoch
        self.effects.run(do.MeetPeers(lead=True))
        return self

    def admit(self, *keys):
        admissions = tuple(Admission(facts(key), b"{}", key) for key in keys)
        return self.effects.run(do.Admit(admissions))

    def reserve(self, key):
        command = do.Reserve(facts(key), 1, "m", ENDPOINT)
        (answer,) = self.effects.run(command)
        return answer.outcome

    def inboxed(self, timeout_s=5):
        events = list(self.inbox.get(timeout=timeout_s)())
        while True:
            try:
                events += self.inbox.get_nowait()()
            except Empty:
                return events


@pytest.fixture
def rig():
    return Rig().open()


def done(rig, key="k"):
    """A request whose reply is stored and not published."""
    rig.admit(key)
    rig.reserve(key)
    claimed = rig.ledger.claim(rig.epoch, key, 1, "lease", 15_000)
    assert claimed.outcome == "claimed"
    rig.ledger.complete(rig.epoch, key, "lease", b'{"x": 1}', Outcome(ok=True))


def state_of(rig, key="k"):
    (view,) = rig.ledger.inspect(rig.epoch, [key])
    return view and view.state


def test_admissions_come_back_with_their_places(rig):
    (answer,) = rig.admit("a", "b")
    assert answer.places == (("medium_priority:t1:0", 0),) * 2
    assert [one.outcome for one in answer.answers] == [AdmitOutcome.NEW] * 2


def test_a_reservation_takes_the_lease_of_this_bridge(rig):
    rig.admit("k")
    assert rig.reserve("k") is ReserveOutcome.RESERVED
    assert state_of(rig) is State.RUNG


def test_a_doorbell_that_cannot_be_sent_does_not_stop_the_loop(rig):
    rig.doorbells.fails = True
    bell = Doorbell.of(facts("k"), 1, "e", "m")
    assert rig.effects.run(do.Ring(bell)) == []


def test_ringing_again_raises_the_ring_number_of_ledger_and_doorbell(rig):
    rig.admit("k")
    rig.reserve("k")
    rig.effects.run(do.RingAgain(facts("k"), 1, "m"))
    assert [bell.ring for bell in rig.doorbells.rung] == [2]
    assert rig.ledger.inspect(rig.epoch, ["k"])[0].ring == 2


def test_a_doorbell_is_not_rung_again_when_the_ledger_says_no(rig):
    rig.effects.run(do.RingAgain(facts("gone"), 1, "m"))
    assert rig.doorbells.rung == []


def test_a_look_tells_how_many_doorbells_lie_in_the_queues(rig):
    rig.admit("k")
    rig.reserve("k")
    rig.doorbells.lying["m"] = 4
    (seen,) = rig.effects.run(do.Inspect(("k",)))
    assert (seen.views[0].state, seen.doorbells) == (State.RUNG, {"m": 4})


def test_a_queue_that_cannot_be_asked_counts_as_one_with_doorbells(rig):
    rig.admit("k")
    rig.reserve("k")
    rig.doorbells.fails = True
    (seen,) = rig.effects.run(do.Inspect(("k",)))
    assert seen.doorbells == {"m": 1}


def test_a_stored_reply_is_published_and_then_marked(rig):
    done(rig)
    rig.effects.run(do.SendStored("k"))
    ((sent, delivery),) = rig.sink.sent
    assert (sent.value, sent.key) == (b'{"x": 1}', "c-k")
    assert state_of(rig) is State.DONE
    delivery.set_result(AT)
    assert rig.inboxed() == []
    assert state_of(rig) is State.ANSWERED


def test_a_stored_reply_is_sent_once_at_a_time(rig):
    done(rig)
    rig.effects.run(do.SendStored("k"))
    rig.effects.run(do.SendStored("k"))
    assert len(rig.sink.sent) == 1


def test_a_stored_reply_that_kafka_did_not_take_is_sent_again(rig):
    done(rig)
    rig.effects.run(do.SendStored("k"))
    rig.sink.sent[0][1].set_exception(DeliveryFailed("no"))
    rig.inboxed()
    assert state_of(rig) is State.DONE
    rig.effects.run(do.SendStored("k"))
    assert len(rig.sink.sent) == 2


def letter(offset=5):
    return do.Deliver(OutboundRecord("x.dead_letter", b""), "s", offset)


def test_a_dead_letter_settles_its_offset_after_the_acknowledgement(rig):
    assert rig.effects.run(letter()) == []
    rig.sink.sent[0][1].set_result(AT)
    assert rig.inboxed() == [ev.OffsetSettled("s", 5)]
    assert rig.ledger.partition(rig.epoch, "s", 0, 9).done == (range(5, 6),)


def test_a_dead_letter_that_kafka_did_not_take_is_told_with_the_reason(rig, caplog):
    command = letter()
    rig.effects.run(command)
    rig.sink.sent[0][1].set_exception(DeliveryFailed("the record is too large"))
    assert rig.inboxed() == [ev.SettleFailed(command)]
    assert "the record is too large" in caplog.text


def repeat():
    expired = OutboundRecord("results", b"expired", "c-k")
    return do.SendRepeat(AT, facts("k", offset=9), expired)


def test_a_repeated_request_gets_the_bytes_of_its_reply_again(rig):
    rig.kept[AT] = record(3, b"the very bytes", topic="results")
    rig.effects.run(repeat())
    rig.inboxed()
    ((sent, delivery),) = rig.sink.sent
    assert (sent.value, sent.headers["source_offset"]) == (b"the very bytes", "9")
    delivery.set_result(AT)
    assert rig.inboxed() == [ev.OffsetSettled("medium_priority:t1:0", 9)]


def test_a_repeated_request_whose_reply_has_gone_is_told_so(rig):
    rig.effects.run(repeat())
    rig.inboxed()
    assert rig.sink.sent[0][0].value == b"expired"


def test_while_redis_does_not_answer_steps_count_as_not_done():
    rig = Rig(ledger=Unreachable())
    (admitted,) = rig.admit("k")
    assert [one.outcome for one in admitted.answers] == [AdmitOutcome.FULL]
    assert rig.reserve("k") is ReserveOutcome.NOT_READY
    (withdrawn,) = rig.effects.run(do.Withdraw(("k",)))
    assert withdrawn.gone == (False,)
    (peers,) = rig.effects.run(do.MeetPeers(lead=True))
    assert peers.leading is False
    for command in (do.Inspect(("k",)), do.TakeSnapshot(), do.Expire("k")):
        assert rig.effects.run(command) == []


def test_a_lost_ledger_begins_a_new_epoch_with_its_limits(rig):
    rig.admit("k")
    rig.ledger.lose()
    events = rig.admit("k")
    (opened,) = (event for event in events if isinstance(event, ev.EpochOpened))
    assert opened.epoch == rig.effects.epoch != rig.epoch
    rig.epoch = opened.epoch
    rig.effects.run(do.MeetPeers(lead=True))
    rig.admit("k")
    assert rig.reserve("k") is ReserveOutcome.RESERVED


def test_a_bridge_that_leaves_gives_the_lease_to_the_next(rig):
    assert rig.ledger.lead("b2", 3_000) is False
    rig.effects.close()
    assert rig.ledger.lead("b2", 3_000) is True


def test_commits_and_pauses_go_to_kafka(rig):
    class Reader:
        def __init__(self):
            self.said = []

        def commit(self, marks):
            self.said.append(marks)

        def pause(self, partitions):
            self.said.append(("pause", partitions))

        def resume(self, partitions):
            self.said.append(("resume", partitions))

    reader, partition = Reader(), Partition("t", 0)
    rig.effects.attach(reader)
    for command in (
        do.Commit(partition, 4, "note"),
        do.Pause((partition,)),
        do.Resume((partition,)),
    ):
        rig.effects.run(command)
    assert reader.said == [
        {partition: Mark(4, "note")},
        ("pause", (partition,)),
        ("resume", (partition,)),
    ]


def test_a_new_configuration_reaches_ledger_and_queues(rig):
    rig.effects.adopt(Rules(settings(capacity=1)))
    rig.admit("a")
    rig.effects.run(do.Admit((Admission(facts("b", offset=1), b"{}", "b"),)))
    assert [rig.reserve("a"), rig.reserve("b")] == [
        ReserveOutcome.RESERVED,
        ReserveOutcome.NO_CAPACITY,
    ]
    assert rig.doorbells.known == ["m"]


def test_while_redis_does_not_answer_only_one_step_in_a_while_is_tried():
    rig = Rig()
    tried = []

    def hang(*_):
        tried.append(1)
        raise LedgerUnavailable("time-out")

    rig.open()
    rig.ledger.reserve = hang
    for _ in range(5):
        rig.reserve("k")
    assert len(tried) == 1
    rig.now_ms += 1_000
    rig.reserve("k")
    assert len(tried) == 2


def test_a_new_epoch_is_ours_only_together_with_its_limits(rig):
    rig.ledger.lose()
    write, failures = rig.ledger.set_limits, [LedgerUnavailable("time-out")]

    def flaky(*arguments):
        if failures:
            raise failures.pop()
        write(*arguments)

    rig.ledger.set_limits = flaky
    assert not any(isinstance(e, ev.EpochOpened) for e in rig.admit("k"))
    rig.now_ms += 1_000
    assert any(isinstance(e, ev.EpochOpened) for e in rig.admit("k"))


def test_an_answer_without_a_lease_is_stored_and_published(rig):
    rig.admit("k")
    rig.effects.run(do.Answer(facts("k"), b"removed"))
    ((sent, delivery),) = rig.sink.sent
    assert sent.value == b"removed"
    delivery.set_result(AT)
    rig.inboxed()
    assert state_of(rig) is State.ANSWERED


def test_a_reply_that_could_not_be_read_back_is_not_said_to_be_gone(rig):
    def unreachable(at):
        raise DeliveryFailed(f"no Kafka for {at}")

    object.__setattr__(rig.effects._out, "read_back", unreachable)
    command = repeat()
    rig.effects.run(command)
    assert rig.inboxed() == [ev.SettleFailed(command)]
    assert rig.sink.sent == []


def test_the_orders_of_operators_are_read(rig):
    rig.ledger.impose(Control(ControlKind.PAUSE, "m"))
    rig.ledger.ask(Question(id="1", correlation_id="c"), 1_000)
    (seen,) = rig.effects.run(do.ReadOrders())
    assert list(seen.controls.paused) == ["m"]
    assert [question.id for question in seen.questions] == ["1"]


def test_what_operators_ordered_is_put_back_after_a_loss(rig):
    rig.ledger.impose(Control(ControlKind.PAUSE, "m", "ana", "why"))
    (before,) = rig.effects.run(do.ReadOrders())
    rig.ledger.lose()
    (opened,) = rig.effects.run(do.ReadOrders())
    assert opened.epoch == rig.effects.epoch
    (after,) = rig.effects.run(do.ReadOrders())
    assert after.controls == before.controls


def test_what_was_lifted_before_a_loss_is_not_put_back(rig):
    rig.ledger.impose(Control(ControlKind.PAUSE, "m"))
    rig.effects.run(do.ReadOrders())
    rig.ledger.lift(ControlKind.PAUSE, "m")
    rig.effects.run(do.ReadOrders())
    rig.ledger.lose()
    rig.effects.run(do.ReadOrders())
    (after,) = rig.effects.run(do.ReadOrders())
    assert list(after.controls) == []


def test_a_report_is_written_for_this_bridge(rig):
    report = BridgeReport(leading=True)
    assert rig.effects.run(do.Report(report)) == []
    (reported,) = rig.ledger.reports()
    assert (reported.bridge_id, reported.report) == ("b1", report)


def test_an_answer_to_an_operator_is_told_for_this_bridge(rig):
    rig.effects.run(do.Tell("1", Findings(loading=2)))
    assert rig.ledger.told("1") == {"b1": Findings(loading=2)}


def test_the_calls_of_each_model_are_counted(rig):
    done(rig)
    assert rig.effects.run(do.CountCalls()) == [ev.CallsCounted({"m": 1}, 7)]


def test_what_had_an_effect_is_counted_and_nothing_else(rig):
    rig.admit("k")
    rig.reserve("k")
    rig.effects.run(do.Ring(Doorbell.of(facts("k"), 1, rig.epoch, "m")))
    rig.effects.run(do.RingAgain(facts("k"), 1, "m"))
    rig.effects.run(do.RingAgain(facts("gone"), 1, "m"))
    rig.effects.run(do.Unreserve("k", 7))
    rig.effects.run(do.Unreserve("k", 2))
    assert rig.meters.value(metrics.ADMITTED, "m", "medium") == 1
    assert rig.meters.value(metrics.DOORBELLS_RUNG, "m") == 1
    assert rig.meters.value(metrics.DOORBELLS_RUNG_AGAIN, "m") == 1
    assert rig.meters.value(metrics.RESERVATIONS_RETURNED) == 1


def test_a_lease_that_is_not_over_is_no_expiry(rig):
    rig.admit("k")
    rig.reserve("k")
    rig.ledger.claim(rig.epoch, "k", 1, "lease", 15_000)
    rig.effects.run(do.Expire("k"))
    assert rig.meters.value(metrics.LEASE_EXPIRIES) == 0


def test_a_doorbell_that_was_not_sent_counts_as_a_failure(rig):
    rig.doorbells.fails = True
    rig.effects.run(do.Ring(Doorbell.of(facts("k"), 1, "e", "m")))
    assert rig.meters.value(metrics.DOORBELL_FAILURES) == 1
    assert rig.meters.value(metrics.DOORBELLS_RUNG, "m") is None


def test_a_dead_letter_counts_when_kafka_has_it(rig):
    letter = OutboundRecord("t.dead_letter", b"x", headers={"reason": "MALFORMED"})
    rig.effects.run(do.Deliver(letter, "medium_priority:t1:0", 4))
    assert rig.meters.value(metrics.DEAD_LETTERS, "MALFORMED") == 0
    rig.sink.sent[0][1].set_result(AT)
    rig.inboxed()
    assert rig.meters.value(metrics.DEAD_LETTERS, "MALFORMED") == 1


def test_a_stored_reply_that_is_sent_again_is_counted(rig):
    done(rig)
    rig.effects.run(do.SendStored("k"))
    rig.effects.run(do.SendStored("k"))
    assert rig.meters.value(metrics.REPLIES_SENT_AGAIN) == 1


def test_an_answer_counts_for_who_wins_only(rig):
    rig.admit("k")
    value = b'{"error": {"code": "MODEL_REMOVED"}}'
    rig.effects.run(do.Answer(facts("k"), value))
    rig.effects.run(do.Answer(facts("k"), b"another"))
    labels = ("m", "medium", "MODEL_REMOVED")
    assert rig.meters.value(metrics.ANSWERED, *labels) == 1


def test_redis_is_well_while_the_heartbeat_is_taken(rig):
    assert rig.redis().ok


def test_a_step_without_an_answer_says_that_redis_is_gone():
    rig = Rig(Unreachable())
    rig.effects.run(do.MeetPeers(lead=True))
    assert rig.redis().detail == "no answer"


def bury(rig):
    rig.admit("k")
    dead_letter = OutboundRecord("t.dead_letter", b"bad")
    rig.effects.run(do.Bury(dead_letter, facts("k"), b"poison"))


def test_what_is_buried_is_answered_once_kafka_has_the_dead_letter(rig):
    bury(rig)
    ((sent, delivery),) = rig.sink.sent
    assert sent.topic == "t.dead_letter"
    assert state_of(rig) is State.READY
    delivery.set_result(AT)
    rig.inboxed()
    assert rig.sink.sent[1][0].value == b"poison"
    assert state_of(rig) is State.DONE


def test_it_is_not_answered_when_kafka_did_not_take_the_dead_letter(rig):
    bury(rig)
    rig.sink.sent[0][1].set_exception(DeliveryFailed("no"))
    rig.inboxed()
    assert state_of(rig) is State.READY
    bury(rig)  # the next look tries again
    assert len(rig.sink.sent) == 2


def test_a_cancel_record_marks_its_request_and_settles_its_offset(rig):
    rig.admit("k")
    events = rig.effects.run(do.Cancel("k", 60, "s", 5))
    assert events == [ev.OffsetSettled("s", 5)]
    assert rig.ledger.inspect(rig.epoch, ["k"])[0].ending == "cancelled"
    assert rig.ledger.partition(rig.epoch, "s", 0, 9).done == (range(5, 6),)


def test_a_cancel_without_redis_is_told_to_have_failed():
    command = do.Cancel("k", 60, "s", 5)
    assert Rig(ledger=Unreachable()).effects.run(command) == [ev.SettleFailed(command)]


def test_a_beat_tells_how_far_the_epoch_has_got(rig):
    known = rig.ledger.beat().pulse
    (beaten,) = rig.effects.run(do.BeatEpoch(known, ""))
    assert beaten == ev.EpochBeaten(Pulse(known.epoch, known.beats + 1))


def test_a_rollback_that_the_counter_shows_begins_an_epoch(rig):
    saved = rig.ledger.save()
    rig.effects.run(do.BeatEpoch(NO_PULSE, ""))
    rig.ledger.rollback(saved)
    (opened,) = rig.effects.run(do.BeatEpoch(NO_PULSE, ""))
    assert isinstance(opened, ev.EpochOpened)
    assert opened.epoch == rig.effects.epoch > rig.epoch


def test_a_rollback_that_kafka_shows_begins_an_epoch(rig):
    newer = Pulse(rig.epoch, 1_000)
    (opened,) = rig.effects.run(do.BeatEpoch(newer, ""))
    assert opened.epoch > rig.epoch


def test_after_an_outage_nothing_is_done_before_the_epoch_is_checked(rig):
    saved = rig.ledger.save()
    rig.effects.run(do.BeatEpoch(NO_PULSE, ""))
    rig.ledger.reserve, works = Unreachable().reserve, rig.ledger.reserve
    rig.reserve("k")
    rig.ledger.reserve = works
    rig.ledger.rollback(saved)
    rig.now_ms += 1_000
    events = rig.admit("k")
    assert [type(event) for event in events] == [ev.EpochOpened, ev.AdmitAnswered]
    assert [one.outcome for one in events[1].answers] == [AdmitOutcome.FULL]


def test_answered_offsets_are_told_to_the_ledger(rig):
    assert rig.effects.run(do.RestoreDone("s", (range(2), range(5, 7)))) == []
    assert rig.ledger.partition(rig.epoch, "s", 0, 9).done == (range(2), range(5, 7))


def test_what_the_ledger_did_not_take_is_told_again_later():
    rig = Rig(ledger=Unreachable())
    command = do.RestoreDone("s", (range(2),))
    assert rig.effects.run(command) == [ev.SettleFailed(command)]


LOOK_UP = do.LookUp("e", (do.Wanted("s", 3, 9), do.Wanted("t", 0, 2)), 77)


def test_a_look_up_asks_kafka_for_ranges_and_brings_its_answer(rig):
    rig.answers = {"s": {4}}
    assert rig.effects.run(LOOK_UP) == []
    assert rig.inboxed() == [ev.LookedUp(LOOK_UP, {"s": {4}}, rig.now_ms)]
    assert rig.asked == [({"s": range(3, 9), "t": range(2)}, 77)]


def test_a_look_up_that_failed_is_told(rig):
    rig.answers = DeliveryFailed("no Kafka")
    rig.effects.run(LOOK_UP)
    assert rig.inboxed() == [ev.LookUpFailed(LOOK_UP, "no Kafka")]


def test_a_sent_reply_of_a_request_that_the_ledger_lost_settles_its_offset(rig):
    done(rig)
    rig.effects.run(do.SendStored("k"))
    published = rig.ledger.published
    rig.ledger.published = lambda *_: published(rig.epoch, "unknown", AT)
    rig.sink.sent[0][1].set_result(AT)
    rig.inboxed()
    assert rig.ledger.partition(rig.epoch, facts().source, 0, 9).done == (range(1),)


def test_a_ledger_that_is_lost_again_at_once_is_tried_later(rig):
    rig.ledger.lose()
    write = rig.ledger.set_limits

    def lost_again(*arguments):
        rig.ledger.set_limits = write
        rig.ledger.lose()
        write(*arguments)

    rig.ledger.set_limits = lost_again
    assert not any(isinstance(e, ev.EpochOpened) for e in rig.admit("k"))
    rig.now_ms += 1_000
    assert any(isinstance(e, ev.EpochOpened) for e in rig.admit("k"))
