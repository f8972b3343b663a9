"""What a bridge's observer makes of events and commands: numbers and log lines."""

import logging

import pytest

from agentsched.errors import DeliveryFailed, DoorbellFailed, ErrorCode
from agentsched.ledger.operator_orders import Control, ControlKind
from agentsched.ledger.turns import Plan, Planned, PlanOutcome
from agentsched.ledger.values import (
    Admission,
    AdmitOutcome,
    Admitted,
    Change,
    ChangeKind,
    State,
)
from agentsched.telemetry import metrics
from agentsched.telemetry.logs import LogEntry
from agentsched.telemetry.meters import Meters
from agentsched.types import Message, ReplyError
from agentsched.wire.codec import Identity
from agentsched.wire.dead_letters import dead_letter_record
from agentsched.wire.doorbell import Doorbell
from agentsched.wire.records import Partition, RecordAt
from agentsched.wire.replies import failed_reply
from bridge.core import commands as do
from bridge.core import events as ev
from bridge.observer import BridgeObserver
from tests.support.requests import facts, record
from tests.unit.bridge.driver import PARTITION, SOURCE, Driver


class Observed:
    """An observer, its numbers, and the log events that it said."""

    def __init__(self, caplog):
        caplog.set_level(logging.DEBUG, logger="agentsched.events")
        self._caplog = caplog
        self.meters = Meters("bridge")
        self.observer = BridgeObserver(self.meters)
        self.driver = Driver()

    def saw(self, event):
        self.observer.saw(event, self.driver.state)

    @property
    def said(self):
        """(event, fields) of every log event."""
        messages = [record.msg for record in self._caplog.records]
        return [
            (m.event.name, dict(m.values()))
            for m in messages
            if isinstance(m, LogEntry)
        ]


@pytest.fixture
def observed(caplog):
    return Observed(caplog)


def refusal(code, **fields):
    message = Message(id="i", correlation_id="c-k1", content="the-secret", **fields)
    error = ReplyError(code=code, message="no", retryable=False)
    return failed_reply(message, Identity("agent", "c-k1"), error)


def admission(**changes):
    return Admission(facts(), b"{}", "h", **changes)


def test_records_are_counted_by_topic(observed):
    records = (record(0), record(1), record(0, topic="low"))
    observed.saw(ev.Read(records, now_ms=1))
    assert observed.meters.value(metrics.RECORDS_READ, "medium_priority") == 2
    assert observed.meters.value(metrics.RECORDS_READ, "low") == 1


def test_an_admission_is_counted_and_told(observed):
    answer = Admitted(AdmitOutcome.NEW, State.READY)
    observed.observer.admitted([admission()], [answer])
    assert observed.meters.value(metrics.ADMITTED, "m", "medium") == 1
    (name, fields) = observed.said[0]
    assert name == "request_admitted"
    assert fields["correlation_id"] == "c-k1"
    assert (fields["topic"], fields["partition"]) == ("medium_priority", 0)


def test_a_request_that_is_admitted_with_its_answer_counts_as_answered(observed):
    ended = admission(reply=refusal(ErrorCode.DEADLINE_EXCEEDED))
    observed.observer.admitted([ended], [Admitted(AdmitOutcome.NEW, State.DONE)])
    code = "DEADLINE_EXCEEDED"
    assert observed.meters.value(metrics.ANSWERED, "m", "medium", code) == 1
    assert observed.meters.value(metrics.ADMITTED, "m", "medium") is None
    assert observed.said[0][1]["code"] == code


@pytest.mark.parametrize(
    "outcome", [AdmitOutcome.ATTACHED, AdmitOutcome.REPEATED, AdmitOutcome.CONFLICT]
)
def test_duplicates_are_counted_by_their_kind(observed, outcome):
    assert observed.meters.value(metrics.DUPLICATES, outcome) == 0
    observed.observer.admitted([admission()], [Admitted(outcome)])
    assert observed.meters.value(metrics.DUPLICATES, outcome) == 1


def test_the_same_record_read_again_is_no_duplicate(observed):
    observed.observer.admitted([admission()], [Admitted(AdmitOutcome.SAME)])
    assert all(
        observed.meters.value(metrics.DUPLICATES, kind) == 0
        for kind in ("attached", "repeated", "conflict")
    )


BELL = Doorbell.of(facts(), 1, "e1", "m")


def test_a_doorbell_is_counted_and_told(observed):
    observed.observer.did(do.Ring((BELL,)))
    assert observed.meters.value(metrics.DOORBELLS_RUNG, "m") == 1
    assert observed.meters.value(metrics.DOORBELLS_RUNG_AGAIN, "m") is None
    named = {"correlation_id": "c-k1", "agent_id": "agent", "class": "medium"}
    assert observed.said == [("doorbell_rung", named | {"model": "m"})]


def test_a_doorbell_that_is_rung_again_is_counted_apart_too(observed):
    observed.observer.did(do.Ring((BELL,), again=(("m", 1),)))
    assert observed.meters.value(metrics.DOORBELLS_RUNG_AGAIN, "m") == 1


def test_a_doorbell_that_failed_is_counted(observed):
    bell = Doorbell.of(facts(), 1, "e1", "m")
    observed.observer.doorbell_failed(bell, DoorbellFailed("no broker"))
    assert observed.meters.value(metrics.DOORBELL_FAILURES) == 1
    assert observed.said[0][0] == "doorbell_failed"


def test_an_expired_lease_names_its_request(observed):
    observed.driver.own()
    observed.driver.read(0)
    (admit,) = observed.driver.of(do.Admit)
    key = admit.admissions[0].facts.key
    observed.saw(ev.Tick(1))
    observed.observer.did(do.Expire(key))
    assert observed.meters.value(metrics.LEASE_EXPIRIES) == 1
    assert observed.said[-1][0] == "lease_expired"
    assert observed.said[-1][1]["correlation_id"] == "c0"


def test_what_the_index_does_not_know_is_told_without_a_name(observed):
    observed.observer.did(do.Expire("unknown"))
    assert observed.meters.value(metrics.LEASE_EXPIRIES) == 1
    assert observed.said == [("lease_expired", {})]


def test_a_dead_letter_is_counted_by_its_reason(observed):
    assert observed.meters.value(metrics.DEAD_LETTERS, "MALFORMED") == 0
    letter = dead_letter_record(record(5), SOURCE, ErrorCode.MALFORMED, "no JSON")
    observed.observer.did(do.PublishRefusal(letter, SOURCE, 5))
    assert observed.meters.value(metrics.DEAD_LETTERS, "MALFORMED") == 1
    (_, fields) = observed.said[0]
    assert fields == {
        "code": "MALFORMED",
        "detail": "no JSON",
        "topic": "medium_priority",
        "partition": 0,
        "offset": 5,
    }


def admit_with(observed, reply, **changes):
    admission = Admission(facts(**changes), b"{}", "hash", reply)
    new = Admitted(AdmitOutcome.NEW, State.DONE)
    observed.observer.admitted([admission], [new])


def test_a_refusal_counts_as_answered_by_no_model(observed):
    admit_with(observed, refusal(ErrorCode.UNKNOWN_MODEL), models=(), cls="high")
    counted = observed.meters.value(metrics.ANSWERED, "none", "high", "UNKNOWN_MODEL")
    assert counted == 1
    assert observed.said[0][0] == "request_refused"
    assert observed.said[0][1]["correlation_id"] == "c-k1"


def test_a_code_that_is_not_ours_becomes_no_label(observed):
    admit_with(observed, b'{"error": {"code": "made-up"}}', models=())
    counted = observed.meters.value(metrics.ANSWERED, "none", "medium", "UNKNOWN")
    assert counted == 1


def test_an_answer_without_a_lease_counts_with_its_code(observed):
    observed.observer.did(do.EndRequest(facts(), refusal(ErrorCode.MODEL_REMOVED)))
    counted = observed.meters.value(metrics.ANSWERED, "m", "medium", "MODEL_REMOVED")
    assert counted == 1
    assert observed.said[0][0] == "request_failed"


def test_a_repeated_reply_is_told(observed):
    command = do.SendRepeat(RecordAt("results", 0, 1), facts(), record(0), "f" * 32)
    observed.observer.did(command)
    assert observed.said[0][0] == "reply_repeated"


def test_a_stored_reply_that_is_sent_again_is_counted(observed):
    observed.observer.did(do.SendStored("k"))
    assert observed.meters.value(metrics.REPLIES_SENT_AGAIN) == 1


def test_a_plan_is_counted_by_what_came_of_it(observed):
    command = do.PlanStarts(Plan("", 1, 0, "", ()))
    for outcome in (PlanOutcome.PLANNED, PlanOutcome.OLD_REVISION):
        observed.saw(ev.Planned(command, Planned(outcome), 1))
    observed.saw(ev.Planned(command, None, 1))  # no answer
    counted = {one: observed.meters.value(metrics.PLANS, one) for one in PlanOutcome}
    assert [one for one, times in counted.items() if times] == [
        "planned",
        "old_revision",
    ]


def test_a_settled_request_is_told_with_its_place(observed):
    observed.driver.own()
    observed.driver.read(0)
    change = Change(ChangeKind.SETTLED, source=SOURCE, offset=0)
    observed.saw(ev.Changed((change,), 1))
    assert observed.said[-1][0] == "request_settled"
    assert observed.said[-1][1]["correlation_id"] == "c0"


def test_partitions_come_pause_resume_and_go(observed):
    observed.saw(ev.Assigned(PARTITION, SOURCE, 3, 9))
    observed.driver.own()
    observed.observer.did(do.Pause((PARTITION,)))
    observed.observer.did(do.Resume((Partition("low", 2),)))
    observed.saw(ev.Revoked(SOURCE))
    observed.saw(ev.Revoked("not ours"))
    place = {"topic": "medium_priority", "partition": 0}
    assert observed.said == [
        ("partition_assigned", place | {"start": 3, "end": 9}),
        ("partition_paused", place),
        ("partition_resumed", {"topic": "low", "partition": 2}),
        ("partition_revoked", place),
    ]


def test_a_lost_ledger_is_told_and_counted(observed):
    observed.saw(ev.EpochOpened("e2"))
    assert observed.meters.value(metrics.EPOCH_CHANGES) == 1
    assert observed.said == [("epoch_changed", {"epoch": "e2"})]


def test_commits_are_counted_when_they_are_acknowledged(observed):
    observed.saw(ev.Committed(PARTITION, 7))
    assert observed.meters.value(metrics.COMMITS) == 1


def test_a_delivery_that_failed_names_the_topic_and_says_why(observed):
    observed.observer.delivery_failed("results", DeliveryFailed("too large"))
    said = ("delivery_failed", {"topic": "results", "detail": "too large"})
    assert observed.said == [said]


def test_what_operators_order_is_told(observed):
    pause = Control(ControlKind.PAUSE, "m", by="ana", reason="upgrade")
    observed.observer.controlled([pause], [])
    observed.observer.controlled([], [pause])
    assert [name for name, _ in observed.said] == ["control_imposed", "control_lifted"]
    assert observed.said[0][1]["control"] == "pause m (by ana: upgrade)"


def test_an_order_that_cannot_be_read_is_an_alarm(observed):
    alarm = (metrics.ALARMS, "control_unread", "")
    assert observed.meters.value(*alarm) == 0
    unread = Control(ControlKind.UNKNOWN, "throttle m", reason="newer", written=b"{}")
    observed.observer.controlled([unread], [])
    assert observed.meters.value(*alarm) == 1
    assert [name for name, _ in observed.said] == ["control_imposed", "control_unread"]


def test_no_content_of_a_request_is_told(observed, caplog):
    admit_with(observed, refusal(ErrorCode.UNKNOWN_MODEL), models=())
    observed.observer.did(do.EndRequest(facts(), refusal(ErrorCode.MODEL_REMOVED)))
    assert "the-secret" not in caplog.text
