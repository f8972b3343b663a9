"""What a bridge shows of itself: a log event and the metrics of whatever happens.

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
)
from agentsched.telemetry import events, metrics
from agentsched.telemetry.logs import (
    doorbell_fields,
    place_fields,
    request_fields,
    say,
)
from agentsched.telemetry.meters import Meters
from agentsched.wire.doorbell import Doorbell
from agentsched.wire.records import OutboundRecord, Partition
from agentsched.wire.request_facts import RequestFacts
from bridge.core import commands as do
from bridge.core import events as ev
from bridge.core import index
from bridge.core.state import BridgeState, Indexed
from bridge.gauges import BridgeMeter, model_of

DUPLICATES = (AdmitOutcome.ATTACHED, AdmitOutcome.REPEATED, AdmitOutcome.CONFLICT)
ALARMS = {
    do.Alarm.RECORDS_DELETED: events.RECORDS_DELETED,
    do.Alarm.OFFSETS_EXPIRED: events.OFFSETS_EXPIRED,
    do.Alarm.LOG_TRUNCATED: events.LOG_TRUNCATED,
}


class BridgeObserver:
    """Follows events and commands; for the loop's thread.

    Args:
        meters: what is counted into; by default nobody sees the numbers.
        meter: measures the state; it follows the loop and Redis.
    """

    def __init__(
        self, meters: Meters | None = None, meter: BridgeMeter | None = None
    ) -> None:
        self._meters = meters or Meters("bridge")
        self.meter = meter or BridgeMeter(self._meters)
        self._state: BridgeState | None = None

    # -- events, before the core takes them -------------------------------------------

    def saw(self, event: ev.Event, state: BridgeState) -> None:  # noqa: C901  (a table)
        """Count and log an event; `state` is as it was before it."""
        self._state, count = state, self._meters.count
        match event:
            case ev.Read():
                for topic, records in Counter(r.topic for r in event.records).items():
                    count(metrics.RECORDS_READ, topic, by=records)
            case ev.Changed():
                for change in event.changes:
                    if change.kind is ChangeKind.SETTLED:
                        self._settled(index.find(state, change.source, change.offset))
            case ev.Planned(_, answer) if answer is not None:
                count(metrics.PLANS, answer.outcome)
            case ev.Committed():
                count(metrics.COMMITS)
            case ev.EpochOpened():
                count(metrics.EPOCH_CHANGES)
                say(events.EPOCH_CHANGED, epoch=event.epoch)
            case ev.LookedUp():
                say(events.LOOKED_UP, answered=sum(map(len, event.found.values())))
            case ev.LookUpFailed():
                say(events.LOOK_UP_FAILED, detail=event.detail)
            case ev.Assigned(partition, _, start, end):
                place = _place(partition)
                say(events.PARTITION_ASSIGNED, start=start, end=end, **place)
            case ev.Revoked(source) if owned := state.partitions.get(source):
                say(events.PARTITION_REVOKED, **_place(owned.partition))

    def _settled(self, entry: Indexed | None) -> None:
        if entry is not None:
            say(events.REQUEST_SETTLED, **place_fields(entry.facts))

    # -- commands that had an effect ---------------------------------------------------

    def did(self, command: do.Command) -> None:  # noqa: C901, PLR0912  (a table)
        """Count and log a command that was carried out and changed something."""
        count = self._meters.count
        match command:
            case do.Ring(doorbells, again):
                for doorbell in doorbells:
                    count(metrics.DOORBELLS_RUNG, doorbell.model)
                    say(events.DOORBELL_RUNG, **doorbell_fields(doorbell))
                for model, bells in again:
                    count(metrics.DOORBELLS_RUNG_AGAIN, model, by=bells)
            case do.Expire(key):
                count(metrics.LEASE_EXPIRIES)
                say(events.LEASE_EXPIRED, **self._known(key))
            case do.SendStored(key):
                count(metrics.REPLIES_SENT_AGAIN)
                say(events.REPLY_SENT_AGAIN, **self._known(key))
            case do.EndRequest(facts, value):
                self._answered(facts, value)
            case do.BuryPoison(letter, facts, value):
                self._buried(letter, place_fields(facts))
                self._answered(facts, value)
            case do.PublishRefusal(letter, _, offset):
                self._buried(letter, _source(letter) | {"offset": offset})
            case do.SendRepeat(_, facts):
                say(events.REPLY_REPEATED, **place_fields(facts))
            case do.Cancel(key):
                say(events.CANCEL_RECEIVED, **self._known(key))
            case do.RaiseAlarm(alarm, partition, records, start):
                count(metrics.ALARMS, alarm, partition.topic)
                concerned = _place(partition) | {"records": records, "start": start}
                say(ALARMS[alarm], **concerned)
            case do.Pause(partitions):
                for partition in partitions:
                    say(events.PARTITION_PAUSED, **_place(partition))
            case do.Resume(partitions):
                for partition in partitions:
                    say(events.PARTITION_RESUMED, **_place(partition))

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
                place = place_fields(facts)
                say(events.REQUEST_ADMITTED, models=facts.models, **place)
            elif answer.outcome in DUPLICATES:
                self._meters.count(metrics.DUPLICATES, answer.outcome)
            if answer.outcome is AdmitOutcome.ATTACHED:
                say(events.REQUEST_ATTACHED, **place_fields(facts))

    def controlled(self, imposed: Iterable[Control], lifted: Iterable[Control]) -> None:
        """Operators have paused, blocked or drained something, or no longer do."""
        for control in imposed:
            say(events.CONTROL_IMPOSED, control=str(control))
            if control.written:
                self._meters.count(metrics.ALARMS, metrics.CONTROL_UNREAD, "")
                say(events.CONTROL_UNREAD, control=str(control))
        for control in lifted:
            say(events.CONTROL_LIFTED, control=str(control))

    def not_noted(self, error: LedgerError) -> None:
        """What Kafka acknowledged is not in the ledger; something repeats it."""
        say(events.NOT_NOTED, detail=str(error))

    def delivery_failed(self, topic: str, error: BaseException) -> None:
        """Kafka did not take a record, or did not give back one that is sent again."""
        say(events.DELIVERY_FAILED, topic=topic, detail=str(error))

    def doorbell_failed(self, doorbell: Doorbell, error: Exception) -> None:
        """Celery's broker did not take a doorbell."""
        self._meters.count(metrics.DOORBELL_FAILURES)
        say(events.DOORBELL_FAILED, detail=str(error), **doorbell_fields(doorbell))

    def _answered(self, facts: RequestFacts, value: bytes) -> None:
        code, model = read_code(value), model_of(facts.models)
        self._meters.count(metrics.ANSWERED, model, facts.cls, code)
        if facts.models:
            say(events.REQUEST_FAILED, model=model, code=code, **request_fields(facts))
        else:
            say(events.REQUEST_REFUSED, code=code, **place_fields(facts))

    def _buried(self, letter: OutboundRecord, place: Mapping[str, object]) -> None:
        reason = letter.headers.get("reason", metrics.UNKNOWN)
        self._meters.count(metrics.DEAD_LETTERS, reason)
        detail = letter.headers.get("reason_detail")
        say(events.DEAD_LETTERED, code=reason, detail=detail, **place)

    def _known(self, key: str) -> dict[str, object]:
        """Return what the index knows of a request."""
        entry = self._state.by_key.get(key) if self._state else None
        return request_fields(entry.facts) if entry else {}


def read_code(value: bytes) -> str:
    """Return the code of a failed reply; only codes of ours, it becomes a label."""
    with suppress(ValueError, TypeError, KeyError):
        return ErrorCode(json.loads(value)["error"]["code"]).value
    return metrics.UNKNOWN


def _place(partition: Partition) -> dict[str, object]:
    return {"topic": partition.topic, "partition": partition.partition}


def _source(letter: OutboundRecord) -> dict[str, object]:
    partition = letter.headers.get("source_partition", "")
    number = int(partition) if partition.isdigit() else None
    return {"topic": letter.headers.get("source_topic"), "partition": number}
