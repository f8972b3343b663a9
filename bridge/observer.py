"""What a bridge tells of itself: a log event and the metrics of whatever happens.

It sees the events before the core does, and the commands that had an effect. It decides
nothing, and changes no state: the bridge works the same without it.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress

from agentsched.errors import ErrorCode, LedgerError
from agentsched.ledger.operator_orders import Control
from agentsched.ledger.values import (
    Admission,
    AdmitOutcome,
    Admitted,
    ChangeKind,
    ReserveOutcome,
)
from agentsched.telemetry import events as log
from agentsched.telemetry import metrics
from agentsched.telemetry.fields import (
    doorbell_fields,
    place_fields,
    request_fields,
)
from agentsched.telemetry.logs import say
from agentsched.telemetry.meters import Meters
from agentsched.wire.doorbell import Doorbell
from agentsched.wire.records import OutboundRecord
from agentsched.wire.request_facts import RequestFacts
from bridge.core import commands as do
from bridge.core import events as ev
from bridge.core import index
from bridge.core.state import BridgeState
from bridge.gauges import BridgeMeter, model_of

DEAD_LETTER_REASONS = (
    ErrorCode.MALFORMED,
    ErrorCode.TOO_LARGE,
    ErrorCode.MISSING_IDENTITY,
    ErrorCode.CONFLICT,
    ErrorCode.POISON,
)
DUPLICATES = (AdmitOutcome.ATTACHED, AdmitOutcome.REPEATED, AdmitOutcome.CONFLICT)
UNKNOWN = "UNKNOWN"
CONTROL_UNREAD = "control_unread"
"""The alarm that concerns no topic."""


class BridgeObserver:
    """Is told of events and commands; for the loop's thread.

    Args:
        meters: what is counted into; by default nobody sees the numbers.
        meter: measures the state; it is told of the loop and of Redis.
    """

    def __init__(
        self, meters: Meters | None = None, meter: BridgeMeter | None = None
    ) -> None:
        self._meters = meters or Meters("bridge")
        self.meter = meter or BridgeMeter(self._meters)
        # An alert on an increase does not see a series that begins with 1.
        for reason in DEAD_LETTER_REASONS:
            self._meters.count(metrics.DEAD_LETTERS, reason, by=0)
        for kind in DUPLICATES:
            self._meters.count(metrics.DUPLICATES, kind, by=0)
        self._meters.count(metrics.ALARMS, CONTROL_UNREAD, "", by=0)
        self._state: BridgeState | None = None

    # -- events, before the core takes them -------------------------------------------

    def saw(self, event: ev.Event, state: BridgeState) -> None:  # noqa: C901  (a table)
        """Tell of an event; `state` is as it was before it."""
        self._state = state
        match event:
            case ev.Read():
                for topic, count in Counter(r.topic for r in event.records).items():
                    self._meters.count(metrics.RECORDS_READ, topic, by=count)
            case ev.Changed():
                self._saw_settled(event, state)
            case ev.ReserveAnswered() if event.outcome is not ReserveOutcome.RESERVED:
                self._meters.count(metrics.RESERVATIONS_REFUSED, event.outcome)
            case ev.Committed():
                self._meters.count(metrics.COMMITS)
            case ev.EpochOpened():
                self._meters.count(metrics.EPOCH_CHANGES)
                say(log.EPOCH_CHANGED, epoch=event.epoch)
            case ev.LookedUp():
                say(log.LOOKED_UP, answered=sum(map(len, event.found.values())))
            case ev.LookUpFailed():
                say(log.LOOK_UP_FAILED, detail=event.detail)
            case ev.Assigned():
                topic, partition = event.partition
                for alarm in do.Alarm:
                    self._meters.count(metrics.ALARMS, alarm, topic, by=0)
                say(
                    log.PARTITION_ASSIGNED,
                    topic=topic,
                    partition=partition,
                    start=event.start,
                    end=event.end,
                )
            case ev.Revoked() if owned := state.partitions.get(event.source):
                topic, partition = owned.partition
                say(log.PARTITION_REVOKED, topic=topic, partition=partition)

    def _saw_settled(self, event: ev.Changed, state: BridgeState) -> None:
        for change in event.changes:
            if change.kind is not ChangeKind.SETTLED:
                continue
            entry = index.find(state, change.source, change.offset)
            if entry is not None:
                say(log.REQUEST_SETTLED, **place_fields(entry.facts))

    # -- commands that had an effect ---------------------------------------------------

    def did(self, command: do.Command) -> None:  # noqa: C901, PLR0912  (a table)
        """Tell of a command that was carried out and changed something."""
        match command:
            case do.Ring(doorbell):
                self._meters.count(metrics.DOORBELLS_RUNG, doorbell.model)
                say(log.REQUEST_RUNG, ring=doorbell.ring, **doorbell_fields(doorbell))
            case do.RingAgain(facts, ring, model):
                self._meters.count(metrics.DOORBELLS_RUNG_AGAIN, model)
                say(
                    log.REQUEST_RUNG_AGAIN,
                    model=model,
                    ring=ring + 1,
                    **request_fields(facts),
                )
            case do.Unreserve(key, ring):
                self._meters.count(metrics.RESERVATIONS_RETURNED)
                say(log.RESERVATION_RETURNED, ring=ring, **self._known(key))
            case do.Expire(key):
                self._meters.count(metrics.LEASE_EXPIRIES)
                say(log.LEASE_EXPIRED, **self._known(key))
            case do.SendStored(key):
                self._meters.count(metrics.REPLIES_SENT_AGAIN)
                say(log.REPLY_SENT_AGAIN, **self._known(key))
            case do.EndRequest(facts, value):
                self._answered(facts, value)
            case do.BuryPoison(dead_letter, facts, value):
                self._buried(dead_letter, place_fields(facts))
                self._answered(facts, value)
            case do.PublishRefusal(letter, _, offset):
                headers = letter.headers
                partition = _number(headers.get("source_partition"))
                place = {"topic": headers.get("source_topic"), "partition": partition}
                self._buried(letter, place | {"offset": offset})
            case do.SendRepeat(_, facts):
                say(log.REPLY_REPEATED, **place_fields(facts))
            case do.Cancel(key):
                say(log.CANCEL_RECEIVED, **self._known(key))
            case do.RaiseAlarm():
                self._alarmed(command)
            case do.Pause(partitions):
                for topic, partition in partitions:
                    say(log.PARTITION_PAUSED, topic=topic, partition=partition)
            case do.Resume(partitions):
                for topic, partition in partitions:
                    say(log.PARTITION_RESUMED, topic=topic, partition=partition)

    def admitted(
        self, admissions: Sequence[Admission], answers: Sequence[Admitted]
    ) -> None:
        """The ledger answered for a batch of admissions."""
        for admission, answer in zip(admissions, answers, strict=True):
            facts = admission.facts
            if answer.outcome is AdmitOutcome.NEW and admission.reply:
                self._answered(facts, admission.reply)
            elif answer.outcome is AdmitOutcome.NEW:
                self._meters.count(metrics.ADMITTED, model_of(facts.models), facts.cls)
                say(log.REQUEST_ADMITTED, models=facts.models, **place_fields(facts))
            elif answer.outcome in DUPLICATES:
                self._meters.count(metrics.DUPLICATES, answer.outcome)
            if answer.outcome is AdmitOutcome.ATTACHED:
                say(log.REQUEST_ATTACHED, **place_fields(facts))

    def controlled(self, imposed: Iterable[Control], lifted: Iterable[Control]) -> None:
        """Operators have paused, blocked or drained something, or no longer do."""
        for control in imposed:
            say(log.CONTROL_IMPOSED, control=str(control))
            if control.written:
                self._meters.count(metrics.ALARMS, CONTROL_UNREAD, "")
                say(log.CONTROL_UNREAD, control=str(control))
        for control in lifted:
            say(log.CONTROL_LIFTED, control=str(control))

    def not_noted(self, error: LedgerError) -> None:
        """What Kafka acknowledged is not in the ledger; something repeats it."""
        say(log.NOT_NOTED, detail=str(error))

    def delivery_failed(self, topic: str, error: BaseException) -> None:
        """Kafka did not take a record, or did not give back one that is sent again."""
        say(log.DELIVERY_FAILED, topic=topic, detail=str(error))

    def doorbell_failed(self, doorbell: Doorbell, error: Exception) -> None:
        """Celery's broker did not take a doorbell."""
        self._meters.count(metrics.DOORBELL_FAILURES)
        say(log.DOORBELL_FAILED, detail=str(error), **doorbell_fields(doorbell))

    def _answered(self, facts: RequestFacts, value: bytes) -> None:
        code, model = read_code(value), model_of(facts.models)
        self._meters.count(metrics.ANSWERED, model, facts.cls, code)
        if facts.models:
            say(log.REQUEST_FAILED, model=model, code=code, **request_fields(facts))
        else:
            say(log.REQUEST_REFUSED, code=code, **place_fields(facts))

    def _buried(self, record: OutboundRecord, place: Mapping[str, object]) -> None:
        reason = record.headers.get("reason", UNKNOWN)
        self._meters.count(metrics.DEAD_LETTERS, reason)
        detail = record.headers.get("reason_detail")
        say(log.DEAD_LETTERED, code=reason, detail=detail, **place)

    def _alarmed(self, command: do.RaiseAlarm) -> None:
        topic, partition = command.partition
        self._meters.count(metrics.ALARMS, command.alarm, topic)
        place = {"topic": topic, "partition": partition}
        concerned = {"records": command.records, "start": command.start}
        match command.alarm:
            case do.Alarm.RECORDS_DELETED:
                say(log.RECORDS_DELETED, **place, **concerned)
            case do.Alarm.OFFSETS_EXPIRED:
                say(log.OFFSETS_EXPIRED, **place, **concerned)
            case do.Alarm.LOG_TRUNCATED:
                say(log.LOG_TRUNCATED, **place, **concerned)

    def _known(self, key: str) -> dict[str, object]:
        """Return what the index knows of a request."""
        entry = self._state.by_key.get(key) if self._state else None
        return request_fields(entry.facts) if entry else {}


def read_code(value: bytes) -> str:
    """Return the code of a failed reply; only codes of ours, it becomes a label."""
    with suppress(ValueError, TypeError, KeyError):
        return ErrorCode(json.loads(value)["error"]["code"]).value
    return UNKNOWN


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isdigit() else None
